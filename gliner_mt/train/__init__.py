"""Training: sampling of examples and labels, the loss, and the loop on Accelerate."""
