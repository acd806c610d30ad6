"""Exact expectations under a Gaussian: what a layer does on average."""
