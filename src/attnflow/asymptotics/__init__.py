"""The long run under constant parameters: regimes, equilibria, blow-up, limits of the mean (paper, Section 4)."""
