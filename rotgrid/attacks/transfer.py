"""PGD's images of one network, shown to another."""

import functools

import torch
from torch import Tensor

from rotgrid.attacks.case import Case, survival_at_each_eps
from rotgrid.attacks.linf import Loss, Model, frozen
from rotgrid.attacks.pgd import pgd_from
from rotgrid.attacks.starts import StartsOfSome, draw_starts, require_starts


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
        starts = StartsOfSome(offsets, at)
        return pgd_from(source, x, y, eps, steps, eps / 30, loss, starts)[0]

    with frozen(source):
        return survival_at_each_eps(case, lambda at: functools.partial(move, at))
