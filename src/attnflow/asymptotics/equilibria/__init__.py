"""Equilibria of the covariance under constant parameters, with error bounds and verdicts on stability."""
