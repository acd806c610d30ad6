"""Looking for counterexamples to claims about the long run: a small language, samples, exact proofs."""
