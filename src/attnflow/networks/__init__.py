"""PyTorch modules; the only room that imports torch (extra `networks`)."""
