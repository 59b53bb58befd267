"""PGD around the worst rotations and shifts of each image."""

from collections.abc import Iterable

import torch
from torch import Tensor

from rotgrid.attacks.case import Case, first_guess, note_check
from rotgrid.attacks.eps_search import find_brackets, survived
from rotgrid.attacks.linf import Loss, Model, require_restarts, require_steps
from rotgrid.attacks.pgd import pgd_from
from rotgrid.attacks.spatial import transformed, worst_transform
from rotgrid.attacks.starts import StartsOfSome, draw_starts
from rotgrid.spec.vocabulary import Interpolation


def views(
    model: Model,
    images: Tensor,
    labels: Tensor,
    grid: Tensor,
    draws: Tensor,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Where the joint attack starts: the worst of the grid, then each draw: (1 + k, n, 1, h, w).

    Args:
        model: as in `spatial`, and so are the errors.
        images: (n, 1, size, size) in [0, 1], unrotated.
        labels: (n,) true labels.
        grid: (k', 3) or (n, k', 3), such as `rotation_grid(30)`.
        draws: (n, k, 3), such as `draw_transforms(n, 10, 30, 0)`.
        interpolation: how images are resampled.
    """
    worst = worst_transform(model, images, labels, grid, interpolation)
    return torch.stack(
        [transformed(images, at, interpolation) for at in (worst, *draws.unbind(1))]
    )


def spatial_pgd_from(
    model: Model,
    views: Tensor,
    labels: Tensor,
    eps: Tensor,
    steps: int,
    offsets: Iterable[Tensor],
    loss: Loss = "ce",
) -> Tensor:
    """Whether PGD around any view of an image breaks it, with its usual step eps / 30: bool (m,).

    Args:
        model: as in `spatial`.
        views: (number, m, 1, height, width), see `views`; the eps-ball is around each of them.
        labels: (m,) true labels.
        eps: (m, 1, 1, 1), L-infinity radii in pixel units.
        steps: of PGD.
        offsets: the start of each restart in units of eps, the same around every view.
        loss: `ce` or `margin`.
    """
    broken = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    for view in views:
        left = (~broken).nonzero().squeeze(1)
        if not len(left):
            break
        radius, starts = eps[left], StartsOfSome(offsets, left)
        _, broken[left] = pgd_from(
            model, view[left], labels[left], radius, steps, radius / 30, loss, starts,
            stop_early=True,
        )  # fmt: skip
    return broken


def survival(
    case: Case,
    *,
    views: Tensor,
    steps: int = 40,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD around any of the rotated and shifted `views` of an image: (number, n, 1, h, w)."""
    require_steps(steps, least=0)
    require_restarts(restarts)
    offsets = draw_starts(case.images, restarts, generator)

    def attempt(at: Tensor, eps: Tensor) -> Tensor:
        at = case.chosen[at]
        radius, starts = eps.view(-1, 1, 1, 1), StartsOfSome(offsets, at)
        broken = spatial_pgd_from(
            case.model, views[:, at], case.labels[at], radius, steps, starts, loss
        )
        return torch.where(broken, eps, torch.inf)

    known = find_brackets(attempt, case.eps_grid, first_guess(case, views[0]))
    note_check(case, attempt, known)
    return survived(known, case.eps_grid)
