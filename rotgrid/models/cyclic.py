"""Cyclic: the paper's Table 1 StdCNN with the cyclic slicing, rolling and pooling of Dieleman.

Dieleman et al. 2016, "Exploiting Cyclic Symmetry in Convolutional Neural Networks", section 3;
benanne/kaggle-ndsb 11a66cd, `dihedral.py` and `nn_plankton.py` (rms). All layers see every image
in its four quarter turns, stacked on the batch axis with the view as the slowest part.

There is no original network for digits: this is StdCNN `table1` with slicing before layer 1 and
rms pooling over the views between FC(50) and dropout. Variant `roll` also lets each view see the
maps of the other three after each pooling stage: layer 3 and FC(50) have 4 times the inputs. Both
are exactly invariant to quarter turns, whatever the size: a rotated image has the same views in
another order. Initialisation and `Normalize` are StdCNN's; the plankton networks use orthogonal
weights, leaky ReLU, "same" padding and overlapping pooling.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.layers import Invariants, Normalize
from rotgrid.models.stdcnn import WIDTHS, last_size
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

VIEWS = 4
ROLLED: dict[str, bool] = {
    "pool": False,  # 23,010 parameters
    "roll": True,  # 76,410
}
"""Whether the views see each other before they are pooled, by variant."""


def sliced(images: Tensor) -> Tensor:
    """(batch, ...) -> (4 * batch, ...): view k is the image rotated counter-clockwise by k."""
    return torch.cat([images.rot90(k, (-2, -1)) for k in range(VIEWS)])


def rolled(features: Tensor) -> Tensor:
    """(4 * batch, n, ...) -> (4 * batch, 4 * n, ...): each view and the three that follow it.

    Maps are rotated back, so that all four are aligned.
    """
    views = features.unflatten(0, (VIEWS, -1))
    following = [views.roll(-k, 0).flatten(0, 1) for k in range(VIEWS)]
    if features.ndim == 4:
        following = [maps.rot90(-k, (-2, -1)) for k, maps in enumerate(following)]
    return torch.cat(following, 1)


def rms_pooled(features: Tensor) -> Tensor:
    """(4 * batch, n) -> (batch, n): over the views; the gradient is 0 where all are 0."""
    return (features.unflatten(0, (VIEWS, -1)).square().mean(0) + 1e-12).sqrt()


def aligned(maps: Tensor) -> Tensor:
    """(4 * batch, n, h, w) -> (batch, n, h, w): the maximum over the views, rotated back."""
    views = maps.unflatten(0, (VIEWS, -1))
    return torch.stack([views[k].rot90(-k, (-2, -1)) for k in range(VIEWS)]).amax(0)


class Cyclic(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = {
        **{f"conv{layer}": aligned for layer in range(1, 5)},
        "fc1": rms_pooled,
    }

    def __init__(self, first: int, second: int, shape: Shape, roll: bool = False) -> None:
        super().__init__()
        self.roll = roll
        seen = VIEWS if roll else 1
        self.normalize = Normalize(shape)
        self.conv1 = nn.Conv2d(shape.channels, first, 3)  # of MNIST: 26 x 26
        self.conv2 = nn.Conv2d(first, first, 3)  # 24 x 24, pooled to 12 x 12
        self.conv3 = nn.Conv2d(seen * first, second, 3)  # 10 x 10
        self.conv4 = nn.Conv2d(second, second, 3)  # 8 x 8, pooled to 4 x 4
        self.fc1 = nn.Linear(seen * second * last_size(shape) ** 2, 50)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(50, shape.classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a missing overload

    def pooled(self, maps: Tensor) -> Tensor:
        """A pooling stage: the maximum over 2 x 2 pixels, then perhaps a roll."""
        maps = F.max_pool2d(maps, 2)
        return rolled(maps) if self.roll else maps

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = sliced(self.normalize(images)).contiguous(memory_format=torch.channels_last)
        maps = self.pooled(F.relu(self.conv2(F.relu(self.conv1(maps)))))
        maps = self.pooled(F.relu(self.conv4(F.relu(self.conv3(maps)))))
        return self.fc2(self.dropout(rms_pooled(F.relu(self.fc1(maps.flatten(1))))))


def build(variant: str = "pool", shape: Shape = MNIST_SHAPE) -> Cyclic:
    """A Cyclic of the widths of StdCNN `table1`.

    Raises:
        KeyError: there is no such variant.
    """
    return Cyclic(*WIDTHS["table1"], shape, roll=ROLLED[variant])
