"""Many small Gaussian systems at once."""
