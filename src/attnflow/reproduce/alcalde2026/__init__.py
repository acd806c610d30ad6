"""Figures of "Reachability and asymptotics of Gaussian Transformer dynamics" (Alcalde, Ji, Zuazua, 2026)."""
