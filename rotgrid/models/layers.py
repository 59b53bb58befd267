"""The layer that every architecture shares."""

from torch import Tensor, nn


class Normalize(nn.Module):
    """Standardise pixels in [0, 1] with MNIST's training mean and deviation.

    The first layer of every model, so that eps keeps its unit: nothing outside ever normalises.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(images - 0.1307) / 0.3081."""
        return (images - 0.1307) / 0.3081
