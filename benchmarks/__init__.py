"""Side-by-side measurements: every figure is a ratio from one run, on one core, of interleaved medians."""
