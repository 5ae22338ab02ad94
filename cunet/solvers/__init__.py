"""What updates parameters from gradients: SGD, Adam, and learning rates."""
