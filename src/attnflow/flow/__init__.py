"""Moving a measure: the flow of a Gaussian."""
