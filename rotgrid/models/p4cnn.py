"""P4CNN: the two equivariant 7-layer networks of Cohen & Welling for rotated MNIST.

Cohen & Welling 2016, "Group Equivariant Convolutional Networks", section 8.1; tscohen/
gconv_experiments ca88c58, `MNIST_ROT/models/P4CNN.py` and `P4CNN_RP.py`. Both have the skeleton
of `z2cnn` without its dropout. `base` keeps four orientations throughout and takes their maximum
at the top; `rotation-pooling` takes it in every layer, so that its maps are planar and rotate with
the image. The logits of both are exactly invariant to quarter turns.
The original standardised its inputs by one mean and one deviation: `Normalize`.

Departs from it in one way: the statistics of batch norm are the running ones, as in `z2cnn`.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.gcnn import P4Conv, P4ConvP4, P4ConvZ2, over_orientations, spatial_max_pool
from rotgrid.models.layers import Invariants, Normalize
from rotgrid.models.z2cnn import BN_EPS, ChainerLayer, start_as_chainer, top_size
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

WIDTHS: dict[str, int] = {
    "base": 10,  # 24,680 parameters
    "rotation-pooling": 20,  # 21,750
}
"""Channels of every layer, by variant."""


class P4Layer(ChainerLayer):
    """A P4 convolution, batch norm shared by the orientations, ReLU: (batch, out, 4, h', w')."""

    def __init__(self, convolution: P4Conv) -> None:
        start_as_chainer(convolution)
        super().__init__(convolution, nn.BatchNorm3d(len(convolution.weight), eps=BN_EPS))


class PooledP4Layer(P4Layer):
    """The same, then the maximum over the orientations: (batch, out, h', w')."""

    def forward(self, maps: Tensor) -> Tensor:
        """The maximum is taken before the ReLU, which is quicker and comes to the same."""
        return F.relu(over_orientations(self.bn(self.conv(maps))))


def rotating_part(maps: Tensor) -> Tensor:
    """The part of a layer's output that rotates with the image."""
    return over_orientations(maps) if maps.ndim == 5 else maps


class P4CNN(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = dict.fromkeys(
        [*(f"layer{n}" for n in range(1, 7)), "top"], rotating_part
    )

    def __init__(self, width: int, shape: Shape, rotation_pooling: bool = False) -> None:
        super().__init__()
        self.rotation_pooling = rotation_pooling
        convolution = P4ConvZ2 if rotation_pooling else P4ConvP4
        layer = PooledP4Layer if rotation_pooling else P4Layer
        self.normalize = Normalize(shape)
        self.layer1 = layer(P4ConvZ2(shape.channels, width, 3))  # of MNIST: 26 x 26
        self.layer2 = layer(convolution(width, width, 3))  # 24 x 24, pooled to 12 x 12
        self.layer3 = layer(convolution(width, width, 3))  # 10 x 10
        self.layer4 = layer(convolution(width, width, 3))  # 8 x 8
        self.layer5 = layer(convolution(width, width, 3))  # 6 x 6
        self.layer6 = layer(convolution(width, width, 3))  # 4 x 4
        self.top = convolution(width, shape.classes, top_size(shape))
        start_as_chainer(self.top)
        for module in self.modules():
            if isinstance(module, P4Conv):  # batch norm leaves maps over the group in this format
                module.memory_format = torch.contiguous_format

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = self.layer2(self.layer1(self.normalize(images)))
        maps = F.max_pool2d(maps, 2) if self.rotation_pooling else spatial_max_pool(maps)
        maps = self.layer6(self.layer5(self.layer4(self.layer3(maps))))
        return over_orientations(self.top(maps)).flatten(1)


def build(variant: str = "base", shape: Shape = MNIST_SHAPE) -> P4CNN:
    """A P4CNN.

    Raises:
        KeyError: there is no such variant.
    """
    return P4CNN(WIDTHS[variant], shape, rotation_pooling=variant == "rotation-pooling")
