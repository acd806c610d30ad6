"""What is moved: Gaussian measures."""
