"""Networks of the user's own: `build(variant, shape) -> nn.Module`, called as written."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from rotgrid.device import settings_kept
from rotgrid.spec.datasets import Shape
from rotgrid.spec.loading import described, load, place_of


class ContractError(ValueError):
    """A network does not do what is asked of it."""


def load_own(name: str, digest: str = "") -> Callable[..., Any]:
    """The function behind an own name; whatever its module sets in torch is as it was.

    Raises:
        SourceError: see `rotgrid.spec.loading.load`.
    """
    with settings_kept():
        return load(name, digest)


def build_own(name: str, variant: str, shape: Shape, seed: int, digest: str = "") -> nn.Module:
    """The network that an own function builds.

    Its module is imported before torch is seeded: weights are the same whether it is the first
    network of a process or not.

    Args:
        name: `package.module:function`.
        variant: handed on as it is; empty where the grid gives none.
        shape: of the images.
        seed: of torch's random numbers.
        digest: of the version that is meant; empty: whatever is there.

    Raises:
        SourceError: there is no such function, or it is another version.
        ContractError: it raises, or returns no network.
    """
    builder = load_own(name, digest)
    try:
        with settings_kept():
            torch.manual_seed(seed)
            model = builder(variant, shape)
    except (Exception, SystemExit) as error:
        call = f"{name}({variant!r}, {shape})"
        raise ContractError(f"{place_of(builder)}: {call} raises {described(error)}") from error
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise ContractError(f"{place_of(builder)}: {name} returns a {kind}, not a torch.nn.Module")
    if any(map(is_lazy, model.state_dict(keep_vars=True).values())):
        size = (1, shape.channels, shape.size, shape.size)
        raise ContractError(
            f"{place_of(builder)}: {name} returns a network with lazy layers: let it see "
            f"torch.zeros{size} before it is returned"
        )
    return model
