"""The engine: at which eps of a grid each image breaks, with as few attacks as possible.

The balls of growing eps are nested, so an image that breaks at one eps is broken at every larger
one. One attack per image and eps is therefore far too many: a search over the grid begins at a
first-order guess of the distance to the decision boundary and ends with one success and one
failure side by side. Every success is that of the attack itself, at that eps or a smaller one.

What the search takes for granted is that an attack which fails at one eps fails at every smaller
one. Signed ascent may break that; images for which it does are counted as robust at the smaller
eps, where the attack by itself would have broken them. `tests/attacks/test_search.py` and
`tests/benchmarks/attacks.py` bound their share: at most 0.3 points.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rotgrid.attacks.threat import (
    TOLERANCE,
    Model,
    frozen,
    in_batches,
    indices,
    input_gradient,
    margins,
)

GROWTH = 1.5
"""Of the strides away from the guess: 1, 1, 2, 3, 5, ... A first-order guess is seldom off by more
than one eps of a grid, and a stride too far costs a whole attack."""

Attempt = Callable[[Tensor, Tensor], Tensor]
"""(indices of images, eps of each) -> distance of each adversarial image found, inf for none."""


def search(
    attempt: Attempt,
    eps_grid: Sequence[float],
    guess: Tensor,
    known_distances: Tensor | None = None,
) -> Tensor:
    """Whether each image is still correct at each eps: bool (len(eps_grid), n).

    Args:
        attempt: the attack; it is asked for any image at any eps of the grid.
        eps_grid: in any order, with repetitions or without.
        guess: (n,) distances at which images may break; they decide how long it takes, and
            nothing else.
        known_distances: (n,) of misclassified images found already, inf for none.
    """
    device = guess.device
    grid = torch.tensor(eps_grid, dtype=guess.dtype, device=device)
    levels = grid.unique()  # ascending
    floor = int(bool((levels == 0).any())) - 1  # eps 0 breaks nothing
    failed = torch.full(guess.shape, floor, device=device)  # the highest level that did not
    broken = torch.full(guess.shape, len(levels), device=device)  # the lowest that did
    if known_distances is not None:
        broken = torch.searchsorted(levels, known_distances - TOLERANCE).clamp(min=floor + 1)
    stride = torch.ones_like(guess)
    level = torch.searchsorted(levels, guess)
    level = torch.minimum(torch.maximum(level, failed + 1), broken - 1).clamp(min=0)
    while len(open_ := (failed + 1 < broken).nonzero().squeeze(1)):
        distance = attempted(attempt, open_, levels[level])
        reached = torch.searchsorted(levels, distance - TOLERANCE).clamp(min=floor + 1)
        reached = torch.minimum(reached, level[open_])  # whatever the rounding of x + eps
        success = distance.isfinite()
        broken[open_] = torch.where(success, torch.minimum(broken[open_], reached), broken[open_])
        failed[open_] = torch.where(success, failed[open_], level[open_])
        level, stride = next_level(failed, broken, stride, floor, len(levels))
    broken_at = torch.cat([levels, levels.new_full((1,), torch.inf)])[broken]
    return grid[:, None] < broken_at[None, :]


def attempted(attempt: Attempt, open_: Tensor, eps: Tensor) -> Tensor:
    """The distances at which these images were broken, at their eps of all: (len(open_),)."""
    return in_batches(lambda at: attempt(at, eps[at]), open_, eps.dtype)


def next_level(
    failed: Tensor, broken: Tensor, stride: Tensor, floor: int, levels: int
) -> tuple[Tensor, Tensor]:
    """Away from the last level in growing strides while one side is open, else the middle."""
    closed = (failed > floor) & (broken < levels)
    whole = stride.long()
    outward = torch.where(failed > floor, failed + whole, broken - whole)
    level = torch.where(closed, (failed + broken) // 2, outward)
    level = torch.minimum(torch.maximum(level, failed + 1), broken - 1)
    return level.clamp(0, levels - 1), torch.where(closed, stride, GROWTH * stride)


def first_order(model: Model, images: Tensor, labels: Tensor) -> Tensor:
    """(n,): the L-inf distance to the boundary if the margin were linear, in pixel units.

    Margin over the L1 norm of its gradient (Moosavi-Dezfooli et al. 2016, eq. 4).
    """

    def distances(at: Tensor) -> Tensor:
        logits, gradient = input_gradient(model, images[at], labels[at], "margin")
        slope = gradient.abs().flatten(1).sum(1).clamp(min=1e-12)
        return -margins(logits, labels[at]) / slope

    with frozen(model):
        return in_batches(distances, indices(images), images.dtype)
