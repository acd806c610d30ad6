"""Steering: `steer`, the plans that it returns, and the layers that they compile into."""
