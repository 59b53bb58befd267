"""Networks of the user's own: `build(variant, shape) -> nn.Module`, called as written."""

from torch import nn

from rotgrid.spec.datasets import Shape
from rotgrid.spec.loading import described, load, place_of


class ContractError(ValueError):
    """A network does not do what is asked of it."""


def build_own(name: str, variant: str, shape: Shape, digest: str = "") -> nn.Module:
    """The network that an own function builds.

    Args:
        name: `package.module:function`.
        variant: handed on as it is; empty where the grid gives none.
        shape: of the images.
        digest: of the version that is meant; empty: whatever is there.

    Raises:
        SourceError: there is no such function, or it is another version.
        ContractError: it raises, or returns no network.
    """
    builder = load(name, digest)
    try:
        model = builder(variant, shape)
    except Exception as error:
        call = f"{name}({variant!r}, {shape})"
        raise ContractError(f"{place_of(builder)}: {call} raises {described(error)}") from error
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise ContractError(f"{place_of(builder)}: {name} returns a {kind}, not a torch.nn.Module")
    return model
