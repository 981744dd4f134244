"""Training: samplers, losses, augmentation and the loop. Methods call them."""
