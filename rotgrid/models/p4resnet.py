"""P4ResNet: `resnet` with P4 convolutions, whose logits are exactly invariant to quarter turns.

After Cohen & Welling 2016, "Group Equivariant Convolutional Networks", section 8.2, who put P4
convolutions into a ResNet44 for CIFAR-10; tscohen/gconv_experiments 475b29d,
`CIFAR10/models/P4MResNet.py`, has the larger group. Batch norm has one statistic for the four
orientations of a channel. Variant `base` has the channels of `resnet`, each in four orientations,
and four times its parameters in the convolutions; `matched-base` half the channels, and as many
parameters as whole widths in the proportion of the stages allow.

Departs from theirs: the skeleton is that of `resnet`, with 20 layers, blocks of He et al. 2016
(theirs normalise before the convolutions) and shortcuts without parameters; maps are halved by
their mean, since a stride breaks the symmetry on maps of even size (`resnet`); and the mean is
taken over space and orientations, where theirs is over space alone and its logits change.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models import resnet
from rotgrid.models.gcnn import P4Conv, P4ConvP4, P4ConvZ2, over_orientations
from rotgrid.models.layers import Invariants
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

WIDTHS: dict[str, tuple[int, ...]] = {
    "base": (16, 32, 64),  # 1,071,226 parameters on MNIST, 1,071,514 on CIFAR-10
    "matched-base": (8, 16, 32),  # 268,354 and 268,498; ResNet base has 269,434 and 269,722
}
"""Channels of the three stages, by variant."""


class P4Block(resnet.Block):
    """The same of maps over the group: (batch, channels, 4, h, w)."""

    @staticmethod
    def convolution(before: int, after: int) -> nn.Module:
        """3 x 3, from and to numbers of channels in four orientations."""
        return contiguous(P4ConvP4(before, after, 3, padding=1, bias=False))

    @staticmethod
    def norm(channels: int) -> nn.Module:
        """Batch norm of each channel, shared by its orientations."""
        return nn.BatchNorm3d(channels)

    @staticmethod
    def halved(maps: Tensor) -> Tensor:
        """The mean over 2 x 2 pixels of each orientation."""
        return F.avg_pool2d(maps.flatten(1, 2), 2).unflatten(1, (-1, 4))


def contiguous(convolution: P4Conv) -> P4Conv:
    """The convolution, whose maps are in the order in which batch norm leaves them."""
    convolution.memory_format = torch.contiguous_format
    return convolution


class P4ResNet(resnet.ResNet):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = dict.fromkeys(resnet.LAYERS, over_orientations)
    block = P4Block
    memory_format = torch.contiguous_format

    @staticmethod
    def first(channels: int, width: int) -> nn.Module:
        """The convolution that sees the images."""
        return contiguous(P4ConvZ2(channels, width, 3, padding=1, bias=False))


def build(variant: str = "base", shape: Shape = MNIST_SHAPE) -> P4ResNet:
    """A P4ResNet of the widths of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    return P4ResNet(WIDTHS[variant], shape)
