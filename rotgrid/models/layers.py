"""What several architectures share: normalisation, and filters that are built from weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Invariants = dict[str, Callable[[Tensor], Tensor]]
"""By module name: what to make of its output to see whether the layer follows a turn of the image.

The result is (batch, channels, size, size), maps that turn with the image if the layer is
equivariant; with any other number of axes it does not change at all if it is. Models list theirs
as `invariants`; `rotgrid.equivariance` reads them.
"""


MEAN, STD = 0.1307, 0.3081
"""Of the pixels of MNIST's training images."""


class Normalize(nn.Module):
    """Standardise pixels in [0, 1] with MNIST's training mean and deviation.

    The first layer of every model, so that eps keeps its unit: nothing outside ever normalises.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(images - MEAN) / STD."""
        return (images - MEAN) / STD


class Expanded(nn.Module):
    """A layer that convolves with filters built from its weights (turned, resampled, combined).

    Subclasses define `expand`, and use `filters()` in `forward`. In training the filters are
    built anew for every batch; under `filters_kept` once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[tuple[Tensor, ...]] | None = None  # None: nothing is kept

    def expand(self) -> tuple[Tensor, ...]:
        """Build what the convolution needs from the weights."""
        raise NotImplementedError

    def filters(self) -> tuple[Tensor, ...]:
        """What `expand` returns; the kept ones where filters are kept."""
        if self._kept is None:
            return self.expand()
        if not self._kept:
            with torch.no_grad():
                self._kept.append(self.expand())
        return self._kept[0]


@contextmanager
def filters_kept(model: nn.Module) -> Iterator[None]:
    """Build every filter of the model at most once while this lasts; weights must not change.

    The kept filters carry no gradient to the weights. Nested uses share the outermost one's.
    """
    keepers = [m for m in model.modules() if isinstance(m, Expanded) and m._kept is None]
    try:
        for layer in keepers:
            layer._kept = []
        yield
    finally:
        for layer in keepers:
            layer._kept = None


def unkept(model: nn.Module) -> nn.Module:
    """The model, which was copied while filters were kept, with none kept."""
    for module in model.modules():
        if isinstance(module, Expanded):
            module._kept = None
    return model
