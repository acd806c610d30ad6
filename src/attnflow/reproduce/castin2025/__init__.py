"""Experiments of "A unified perspective on the dynamics of deep Transformers" (Castin, Ablin, Carrillo, Peyré)."""
