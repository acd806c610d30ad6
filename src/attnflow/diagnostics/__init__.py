"""What a real network does to the Gaussian picture: how far it departs, and for how long the picture can be trusted."""
