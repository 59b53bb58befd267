"""How far a network is from equivariance: of each layer, and of the logits, at any angle.

A layer f is equivariant if f(rotated image) is f(image), rotated. To have one measure for all
architectures, each model says how to make maps from a layer's output that only rotate with the
image (`invariants`: the maximum over orientations, the magnitude of a vector, ...); for a plain
convolution the maps themselves. The error is

    rms(maps of the rotated images - rotated maps of the images) / deviation of the maps,

over the disc inscribed in the maps, where nothing comes from outside. The deviation is that of
each channel over images and pixels: 0 is equivariant, about 1.4 unrelated. At angles other than
quarter turns the resampling of image and map is part of the error. Logits are not rotated: their
error is 0 if the network is invariant.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rotgrid.attacks.linf import frozen
from rotgrid.models.layers import Invariants
from rotgrid.rotation import rotate

BATCH = 250
LOGITS = "logits"


class Rotated(NamedTuple):
    """What a rotation of the images changes."""

    errors: dict[str, float]
    """By layer, in the order of the network; the last is `logits`."""
    unchanged: Tensor
    """(n,) bool: the predicted class is the same."""


def measure(model: nn.Module, images: Tensor, degrees: float) -> Rotated:
    """Compare a network on images with itself on the same images, rotated.

    Args:
        model: in any mode, compared in evaluation mode; a model without `invariants` has only the
            error of its logits.
        images: (n, 1, 28, 28) in [0, 1], n >= 1.
        degrees: counter-clockwise.
    """
    invariants: Invariants = getattr(model, "invariants", {})
    sums: dict[str, Sums] = {}
    unchanged = []
    with frozen(model), torch.no_grad():
        for batch in images.split(BATCH):
            before = outputs(model, batch, invariants)
            after = outputs(model, rotate(batch, degrees), invariants)
            unchanged.append(before[LOGITS].argmax(1) == after[LOGITS].argmax(1))
            for layer, maps in before.items():
                sums.setdefault(layer, Sums()).add(*maps_to_compare(maps, after[layer], degrees))
    return Rotated({layer: total.error() for layer, total in sums.items()}, torch.cat(unchanged))


def outputs(model: nn.Module, images: Tensor, invariants: Invariants) -> dict[str, Tensor]:
    """The invariants of each layer on a batch, in the order of the network, and the logits."""
    found: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(keeping_hook(found, name, invariant))
        for name, invariant in invariants.items()
    ]
    try:
        logits = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {**found, LOGITS: logits}


def keeping_hook(
    found: dict[str, Tensor], name: str, invariant: Callable[[Tensor], Tensor]
) -> Callable[[nn.Module, object, Tensor], None]:
    """A forward hook that keeps the invariant of a module's output."""

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        found[name] = invariant(output)

    return keep


def maps_to_compare(before: Tensor, after: Tensor, degrees: float) -> tuple[Tensor, Tensor]:
    """(batch, channels, points): what should be equal, and what is compared with it."""
    if before.ndim != 4:
        return before.flatten(1)[..., None], after.flatten(1)[..., None]
    inside = disc(before.shape[-1]).to(before.device)
    return rotate(before, degrees)[..., inside], after[..., inside]


def disc(size: int) -> Tensor:
    """(size, size) bool: the pixels whose centres stay inside the map at every rotation."""
    offset = torch.arange(size) - (size - 1) / 2
    return offset[:, None] ** 2 + offset**2 <= ((size - 1) / 2) ** 2


class Sums:
    """What is summed over batches for one layer."""

    def __init__(self) -> None:
        self.points = 0
        self.difference = 0.0
        self.first: Tensor | float = 0.0  # moments, by channel
        self.second: Tensor | float = 0.0

    def add(self, expected: Tensor, found: Tensor) -> None:
        """One batch of (batch, channels, points)."""
        expected = expected.double()
        self.points += len(expected) * expected.shape[-1]
        self.difference += (found - expected).square().sum().item()
        self.first = self.first + expected.sum((0, 2))
        self.second = self.second + expected.square().sum((0, 2))

    def error(self) -> float:
        """Rms difference over deviation; 0 if there is no difference at all, and infinite if there
        is one between maps that do not vary (logits of a single image)."""
        if self.difference == 0:
            return 0.0
        variation = torch.as_tensor(self.second - self.first**2 / self.points).clamp(min=0).sum()
        return math.sqrt(self.difference / variation.item()) if variation > 0 else math.inf
