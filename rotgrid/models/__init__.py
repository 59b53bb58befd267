"""The architectures, one a file. Every model takes pixels in [0, 1] and returns logits."""

from collections.abc import Callable

import torch
from torch import nn

from rotgrid.models import (
    capsnet,
    cyclic,
    dren,
    emcaps,
    gcnn,
    hnet,
    madrycnn,
    p4cnn,
    ptn,
    roteqnet,
    stdcnn,
    steerable,
    tipooling,
    z2cnn,
)
from rotgrid.spec import known
from rotgrid.spec.vocabulary import VARIANTS, ModelName

MODELS: dict[ModelName, Callable[[str], nn.Module]] = {
    "stdcnn": stdcnn.build,
    "gcnn": gcnn.build,
    "hnet": hnet.build,
    "ptn": ptn.build,
    "roteqnet": roteqnet.build,
    "capsnet": capsnet.build,
    "z2cnn": z2cnn.build,
    "p4cnn": p4cnn.build,
    "tipooling": tipooling.build,
    "cyclic": cyclic.build,
    "dren": dren.build,
    "steerable": steerable.build,
    "emcaps": emcaps.build,
    "madrycnn": madrycnn.build,
}


def build(name: ModelName, variant: str | None = None, seed: int = 0) -> nn.Module:
    """A freshly initialised model: (batch, 1, 28, 28) in [0, 1] -> (batch, 10) logits.

    Its weights depend on the seed alone; torch's global generator is left as it was.

    Raises:
        ValueError: there is no such model or variant.
    """
    variants = known(name, VARIANTS)
    if variants is None:
        raise ValueError(f"no model {name!r}; choose from {', '.join(MODELS)}")
    if variant is not None and variant not in variants:
        raise ValueError(f"no variant {variant!r} of {name}; choose from {', '.join(variants)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name](variant or variants[0])


def count_parameters(model: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
