"""Section 2 of the paper: the velocity field of a Transformer, layer by layer."""
