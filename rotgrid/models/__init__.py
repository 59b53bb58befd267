"""The architectures, one a file. Every model takes pixels in [0, 1] and returns logits."""

import importlib
from collections.abc import Callable

import torch
from torch import nn

from rotgrid.models.own_network import build_own
from rotgrid.spec import entry_named
from rotgrid.spec.datasets import MNIST_SHAPE, Shape
from rotgrid.spec.entries import is_own
from rotgrid.spec.models import MODELS as ENTRIES
from rotgrid.spec.models import ModelName

MODELS: dict[ModelName, Callable[[str, Shape], nn.Module]] = {
    name: importlib.import_module(f"rotgrid.models.{name}").build for name in ENTRIES
}


def build(
    name: ModelName,
    variant: str | None = None,
    seed: int = 0,
    shape: Shape = MNIST_SHAPE,
    digest: str = "",
) -> nn.Module:
    """A freshly initialised model: (batch, channels, size, size) in [0, 1] -> (batch, classes).

    Its weights depend on the seed alone; torch's global generator is left as it was.

    Raises:
        ValueError: there is no such model or variant, or it does not take images of that shape.
    """
    if is_own(name):
        return build_own(name, variant or "", shape, seed, digest)
    entry = entry_named(name, ENTRIES)
    if entry is None:
        raise ValueError(f"no model {name!r}; choose from {', '.join(MODELS)}")
    if variant is not None and variant not in entry.variants:
        choices = ", ".join(entry.variants)
        raise ValueError(f"no variant {variant!r} of {name}; choose from {choices}")
    if problem := entry.fits(shape):
        raise ValueError(f"{name} {problem}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name](variant or entry.default, shape)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
