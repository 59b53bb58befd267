"""Pictures of test images: rotated, perturbed, and on their way from one class to another."""
