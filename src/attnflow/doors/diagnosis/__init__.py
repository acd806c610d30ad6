"""Real networks: measure, predict, compare, and say how far the theory can be trusted."""
