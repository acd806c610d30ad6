"""The friendly functions and the objects that they return: checked input, float64 inside, NumPy out."""
