"""ResNet: the 20-layer residual network for small colour images.

He, Zhang, Ren & Sun 2016, "Deep Residual Learning for Image Recognition", section 4.2, with n = 3;
after akamaster/pytorch_resnet_cifar10 4e4f8da, `resnet.py`, which has the paper's 0.27M parameters
on CIFAR-10 (269,722). A 3 x 3 convolution, three stages of three blocks of two 3 x 3 convolutions
with batch norm, the mean over space, a fully connected layer; shortcuts without parameters, zeros
standing for the channels that a stage adds. All but batch norm starts by He's method.

Departs from it in one way: the second and the third stage begin with the mean over 2 x 2 pixels,
where the original has strides of 2 (and leaves three quarters of the pixels out of the shortcut).
Strides take other pixels of a rotated map if its size is even: the equivariant `p4resnet` must not
have them, and the two should differ in nothing else. Inputs were standardised by channel:
`Normalize`.
"""

import itertools
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.layers import ImageConv2d, Invariants, Normalize
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

WIDTHS: dict[str, tuple[int, ...]] = {
    "base": (16, 32, 64),  # 269,434 parameters on MNIST, 269,722 on CIFAR-10
}
"""Channels of the three stages, by variant."""

DEPTH = 3
"""Blocks of a stage."""

LAYERS = ("conv1", *(f"blocks.{at}" for at in range(3 * DEPTH)))
"""Whose outputs are compared between rotations."""


class Block(nn.Module):
    """Two convolutions beside a shortcut; if they add channels, on half the rows and columns."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.added = after - before
        self.conv1 = self.convolution(before, after)
        self.bn1 = self.norm(after)
        self.conv2 = self.convolution(after, after)
        self.bn2 = self.norm(after)

    @staticmethod
    def convolution(before: int, after: int) -> nn.Module:
        """3 x 3, from and to numbers of channels."""
        return nn.Conv2d(before, after, 3, padding=1, bias=False)

    @staticmethod
    def norm(channels: int) -> nn.Module:
        """Batch norm of each channel."""
        return nn.BatchNorm2d(channels)

    @staticmethod
    def halved(maps: Tensor) -> Tensor:
        """The mean over 2 x 2 pixels."""
        return F.avg_pool2d(maps, 2)

    def shortcut(self, maps: Tensor) -> Tensor:
        """The maps, with zeros for half of the added channels before and for half behind them."""
        before = self.added // 2
        return F.pad(maps, (0, 0) * (maps.ndim - 2) + (before, self.added - before))

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, before, ...) -> (batch, after, ...)."""
        if self.added:
            maps = self.halved(maps)
        inner = F.relu(self.bn1(self.conv1(maps)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(maps))


class ResNet(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = dict.fromkeys(LAYERS, nn.Identity())
    block: type[Block] = Block
    memory_format = torch.channels_last

    def __init__(self, widths: tuple[int, ...], shape: Shape) -> None:
        super().__init__()
        self.normalize = Normalize(shape)
        self.conv1 = self.first(shape.channels, widths[0])
        self.bn1 = self.block.norm(widths[0])
        self.blocks = nn.Sequential()
        for before, width in itertools.pairwise((widths[0], *widths)):
            for channels in (before, *(DEPTH - 1) * (width,)):
                self.blocks.append(self.block(channels, width))
        self.head = nn.Linear(widths[-1], shape.classes)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload]  # a missing overload

    @staticmethod
    def first(channels: int, width: int) -> nn.Module:
        """The convolution that sees the images."""
        return ImageConv2d(channels, width, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        images = self.normalize(images).contiguous(memory_format=self.memory_format)
        maps = self.blocks(F.relu(self.bn1(self.conv1(images))))
        return self.head(maps.flatten(2).mean(2))


def build(variant: str = "base", shape: Shape = MNIST_SHAPE) -> ResNet:
    """A ResNet of the widths of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    return ResNet(WIDTHS[variant], shape)
