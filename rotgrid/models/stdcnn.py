"""StdCNN: the standard convolutional network of the paper's Table 1.

conv3x3, ReLU, conv3x3, ReLU, max-pool 2, conv3x3, ReLU, conv3x3, ReLU, max-pool 2, FC(50), ReLU,
dropout(0.5), FC(10). The paper leaves the padding open; none is used, as in the MNIST example of
adambielski/pytorch-gconv-experiments, which its GCNN follows layer for layer.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from rotgrid.models.layers import ImageConv2d, Invariants, Normalize
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

WIDTHS: dict[str, tuple[int, int]] = {
    "table1": (10, 20),  # 23,010 parameters
    "doubled": (20, 40),  # 58,060; the paper's partner of the halved GCNN (38,935)
    "matched-table1": (27, 54),  # 90,092; GCNN table1 has 89,910
    "matched-halved": (15, 30),  # 38,960; GCNN halved has 38,935
}
"""Channels before and after the first pooling, by variant."""


def last_size(shape: Shape) -> int:
    """Rows and columns of the last maps: 4 of MNIST's 28."""
    return ((shape.size - 4) // 2 - 4) // 2


class StdCNN(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = {f"features.{at}": nn.Identity() for at in (1, 3, 6, 8)}

    def __init__(self, first: int, second: int, shape: Shape) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Normalize(shape),
            ImageConv2d(shape.channels, first, 3),  # of MNIST: 26 x 26
            nn.ReLU(),
            nn.Conv2d(first, first, 3),  # 24 x 24
            nn.MaxPool2d(2),  # 12 x 12; before ReLU the same, on a quarter of the pixels
            nn.ReLU(),
            nn.Conv2d(first, second, 3),  # 10 x 10
            nn.ReLU(),
            nn.Conv2d(second, second, 3),  # 8 x 8
            nn.MaxPool2d(2),  # 4 x 4
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Linear(second * last_size(shape) ** 2, 50),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(50, shape.classes),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a missing overload

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        images = images.contiguous(memory_format=torch.channels_last)
        return self.head(self.features(images).flatten(1))


def build(variant: str = "table1", shape: Shape = MNIST_SHAPE) -> StdCNN:
    """A StdCNN of the widths of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    return StdCNN(*WIDTHS[variant], shape)
