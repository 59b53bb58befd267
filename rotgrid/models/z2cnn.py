"""Z2CNN: the planar baseline that Cohen & Welling compare their P4CNN with.

Cohen & Welling 2016, "Group Equivariant Convolutional Networks", section 8.1; tscohen/
gconv_experiments ca88c58, `MNIST_ROT/models/Z2CNN.py`. Seven layers without padding, 20 channels:
six 3x3 convolutions, each with batch norm and ReLU, a 2x2 maximum after the second, and a 4x4
convolution whose single pixel is the logits (on images of another size, it is as large as what is
left of them). Dropout 0.3 after layers 1, 3, 4, 5 and 6.
The original standardised its inputs by one mean and one deviation: `Normalize`.

Departs from it in one way: the original estimated the statistics of batch norm anew by an extra
pass over the training images before each test; here they are the running ones.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.layers import Invariants, Normalize
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

BN_EPS = 2e-5
"""Chainer's default; its decay of 0.9 is torch's momentum of 0.1."""


class ChainerLayer(nn.Module):
    """A convolution of any kind, batch norm, ReLU."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv = convolution
        self.bn = norm

    def forward(self, maps: Tensor) -> Tensor:
        """The maps of the convolution, normalised and rectified."""
        return F.relu(self.bn(self.conv(maps)))


def start_as_chainer(convolution: nn.Module) -> None:
    """Weights N(0, 1 / fan-in), bias 0."""
    weight, bias = convolution.weight, convolution.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    nn.init.zeros_(bias)


def top_size(shape: Shape) -> int:
    """Rows and columns of the last maps and of the kernel that reads them: 4 of MNIST's 28."""
    return (shape.size - 4) // 2 - 8


class Z2CNN(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = {f"layer{n}": nn.Identity() for n in range(1, 7)}

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.normalize = Normalize(shape)
        self.layer1 = self.layer(shape.channels, width)  # of MNIST: 26 x 26
        self.layer2 = self.layer(width, width)  # 24 x 24, pooled to 12 x 12
        self.layer3 = self.layer(width, width)  # 10 x 10
        self.layer4 = self.layer(width, width)  # 8 x 8
        self.layer5 = self.layer(width, width)  # 6 x 6
        self.layer6 = self.layer(width, width)  # 4 x 4
        self.top = nn.Conv2d(width, shape.classes, top_size(shape))
        start_as_chainer(self.top)
        self.dropout = nn.Dropout(0.3)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a missing overload

    @staticmethod
    def layer(in_channels: int, out_channels: int) -> ChainerLayer:
        """A 3x3 layer."""
        convolution = nn.Conv2d(in_channels, out_channels, 3)
        start_as_chainer(convolution)
        return ChainerLayer(convolution, nn.BatchNorm2d(out_channels, eps=BN_EPS))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = self.normalize(images).contiguous(memory_format=torch.channels_last)
        maps = F.max_pool2d(self.layer2(self.dropout(self.layer1(maps))), 2)
        for layer in (self.layer3, self.layer4, self.layer5, self.layer6):
            maps = self.dropout(layer(maps))
        return self.top(maps).flatten(1)


def build(variant: str = "base", shape: Shape = MNIST_SHAPE) -> Z2CNN:
    """A Z2CNN (21,750 parameters).

    Raises:
        KeyError: there is no such variant.
    """
    return Z2CNN({"base": 20}[variant], shape)
