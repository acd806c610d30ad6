"""Which Gaussians a Transformer can reach in finite time, and exact controls that do it (paper, Section 3)."""
