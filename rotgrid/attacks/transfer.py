"""PGD's images of one network, shown to another."""

import functools

import torch
from torch import Tensor

from rotgrid.attacks.case import Case, at_each
from rotgrid.attacks.linf import Loss, Model, frozen
from rotgrid.attacks.pgd import restart_from
from rotgrid.attacks.starts import Picked, draw_starts, require_starts


def survival(
    case: Case,
    *,
    source: Model,
    steps: int = 40,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD's images of another network, the `source`, shown to this one at each eps."""
    require_starts(steps, restarts, generator)
    offsets = draw_starts(case.images, restarts, generator)

    def move(at: Tensor, eps: float) -> Tensor:
        _, x, y = case.batch(at)
        starts = Picked(offsets, at)
        return restart_from(source, x, y, eps, steps, eps / 30, loss, starts)[0]

    with frozen(source):
        return at_each(case, lambda at: functools.partial(move, at))
