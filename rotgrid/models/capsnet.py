"""CapsNet: capsules with dynamic routing.

Sabour, Frosst & Hinton 2017, "Dynamic Routing Between Capsules", sections 2-4; the authors' code
is Sarasra/models 984fbc7 `research/capsules/`. Pixels in [0, 1] go in as they are. From the code,
and not in the paper: the primary convolution is divided by the number of capsule types (a routing
softmax over them with all logits 0), every routing adds a bias to its sums, and the margin loss is
half of equation 4. Gradients flow through all routing iterations.

Departures: no random shift of the training images (augmentation is an arm of the study), and the
margin loss is summed over the classes, as in equation 4, where the code takes their mean.

The logits are the lengths of the digit capsules. Attack their cross-entropy or margin, never
`loss`: the margin loss is flat, with a gradient of exactly 0, for every confident image.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.linalg import vector_norm

from rotgrid.models.layers import Invariants
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

WIDTHS: dict[str, tuple[int, int]] = {
    "table": (256, 32),  # 8,215,728 parameters, 6,804,384 without the decoder
    "narrow": (64, 8),  # 2,117,232 and 705,888; for a CPU
}
"""Channels of the first convolution and types of primary capsules, by variant."""

PRIMARY_ATOMS = 8
DIGIT_ATOMS = 16


def squash(vectors: Tensor, dim: int = -1) -> Tensor:
    """v/|v| * |v|^2 / (1 + |v|^2), equation 1; 0 for a vector of 0, with a gradient of 0."""
    norm = vector_norm(vectors, dim=dim, keepdim=True)
    return vectors * (norm / (1 + norm.square()))


def atom_maps(capsules: Tensor) -> Tensor:
    """(batch, types, atoms, h, w) -> (batch, types, h, w): the lengths of primary capsules."""
    return vector_norm(capsules, dim=2)


def lengths(capsules: Tensor) -> Tensor:
    """(batch, classes, atoms) -> (batch, classes)."""
    return vector_norm(capsules, dim=2)


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """Half of equation 4, (batch, classes): one addend of the loss per class."""
    present = F.one_hot(labels, lengths.shape[1])
    too_short = F.relu(0.9 - lengths).square()
    too_long = F.relu(lengths - 0.1).square()
    return 0.5 * (present * too_short + 0.5 * (1 - present) * too_long)


def truncated_normal_(weight: Tensor, std: float) -> None:
    """TensorFlow's: what is beyond two deviations is drawn again."""
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


class PrimaryCapsules(nn.Module):
    """(batch, in, h, w) -> (batch, types, atoms, h', w').

    A capsule is `atoms` channels of one pixel; output channel of the convolution
    type * atoms + atom.
    """

    def __init__(
        self, in_channels: int, types: int, atoms: int, kernel_size: int, stride: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, types * atoms, kernel_size, stride, bias=False)
        self.bias = nn.Parameter(torch.full((types, atoms, 1, 1), 0.1))
        truncated_normal_(self.conv.weight, 0.1)

    def forward(self, maps: Tensor) -> Tensor:
        """Squashed capsules."""
        types, atoms = self.bias.shape[:2]
        votes = self.conv(maps).unflatten(1, (types, atoms))
        return squash(votes / types + self.bias, dim=2)


class DigitCapsules(nn.Module):
    """(batch, types, in_atoms, h, w) -> (batch, classes, atoms), procedure 1.

    `weight` is (capsules, in_atoms, classes * atoms), the capsules in the order (type, row,
    column). The votes are never built: both the sum of coupled votes and their agreement with the
    output are linear in the weights, so the capsules are scaled by the couplings first and each
    is one matrix product per class, with half the numbers to keep.
    """

    def __init__(
        self, capsules: int, in_atoms: int, classes: int, atoms: int, iterations: int = 3
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(capsules, in_atoms, classes * atoms))
        self.bias = nn.Parameter(torch.full((classes, atoms), 0.1))
        self.iterations = iterations
        truncated_normal_(self.weight, 0.1)

    def forward(self, primary: Tensor) -> Tensor:
        """Digit capsules after the last iteration."""
        return self.route(primary)[0]

    def route(self, primary: Tensor) -> tuple[Tensor, Tensor]:
        """The digit capsules, and the couplings they are made with (batch, capsules, classes)."""
        weight = self.by_class()
        inputs = primary.transpose(1, 2).flatten(3).flatten(2)  # (batch, in_atoms, capsules)
        logits = inputs.new_zeros(len(weight), len(inputs), inputs.shape[2])
        for iteration in range(self.iterations):
            couplings = logits.softmax(0)
            coupled = couplings.unsqueeze(2) * inputs  # (classes, batch, in_atoms, capsules)
            outputs = squash(coupled.flatten(2) @ weight + self.bias.unsqueeze(1))
            if iteration + 1 < self.iterations:
                aligned = (outputs @ weight.mT).unflatten(2, inputs.shape[1:])
                logits = logits + (aligned * inputs).sum(2)
        return outputs.transpose(0, 1), couplings.permute(1, 2, 0)

    def by_class(self) -> Tensor:
        """The weights as (classes, in_atoms * capsules, atoms)."""
        classes, atoms = self.bias.shape
        return self.weight.unflatten(2, (classes, atoms)).permute(2, 1, 0, 3).flatten(1, 2)


class CapsNet(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) lengths in [0, 1)."""

    invariants: ClassVar[Invariants] = {
        "conv1": nn.Identity(),
        "primary": atom_maps,
        "digits": lengths,
    }

    def __init__(self, channels: int, types: int, shape: Shape) -> None:
        super().__init__()
        self.image = shape.channels, shape.size, shape.size
        side = (shape.size - 15) // 2  # of the primary capsules
        self.normalize = nn.Identity()
        self.conv1 = nn.Conv2d(shape.channels, channels, 9)  # of MNIST: 20 x 20
        self.primary = PrimaryCapsules(channels, types, PRIMARY_ATOMS, 9, 2)  # 6 x 6
        self.digits = DigitCapsules(types * side**2, PRIMARY_ATOMS, shape.classes, DIGIT_ATOMS)
        self.decoder = nn.Sequential(
            nn.Linear(shape.classes * DIGIT_ATOMS, 512),
            nn.ReLU(),
            nn.Linear(512, 1024),
            nn.ReLU(),
            nn.Linear(1024, math.prod(self.image)),
            nn.Sigmoid(),
        )
        truncated_normal_(self.conv1.weight, 0.05)
        for layer in self.decoder.children():
            if isinstance(layer, nn.Linear):
                truncated_normal_(layer.weight, 0.1)
        for bias in (p for name, p in self.named_parameters() if name.endswith("bias")):
            nn.init.constant_(bias, 0.1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a missing overload

    def capsules(self, images: Tensor) -> Tensor:
        """The digit capsules (batch, classes, atoms)."""
        return self.digits(self.primary(F.relu(self.conv1(self.normalize(images)))))

    def forward(self, images: Tensor) -> Tensor:
        """Lengths of the digit capsules."""
        return lengths(self.capsules(images))

    def reconstruct(self, capsules: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, size, size): images decoded from the labels' capsules alone."""
        mask = F.one_hot(labels, capsules.shape[1]).unsqueeze(2)
        return self.decoder((capsules * mask).flatten(1)).unflatten(1, self.image)

    def training_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Margin loss + 0.0005 * squared error of the reconstruction, the mean over the batch."""
        capsules = self.capsules(images)
        margin = margin_loss(lengths(capsules), labels).sum(1)
        error = (self.reconstruct(capsules, labels) - images).square().sum((1, 2, 3))
        return (margin + 0.0005 * error).mean()


def build(variant: str = "table", shape: Shape = MNIST_SHAPE) -> CapsNet:
    """A CapsNet of the widths of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    return CapsNet(*WIDTHS[variant], shape)
