"""The engine: at which eps of a grid each image breaks, with as few attacks as possible.

The balls of growing eps are nested, so an image that breaks at one eps is broken at every larger
one. One attack per image and eps is therefore far too many: a search over the grid begins at an
estimate of the distance to the decision boundary and ends with one success and one
failure side by side. Every success is that of the attack itself, at that eps or a smaller one.

What the search takes for granted is that an attack which fails at one eps fails at every smaller
one. That need not be so, since the way of an attack changes with eps. An image for which it is not
counts as correct at a small eps where the attack by itself would have broken it, never the other
way round; and which images these are depends on the other eps of the grid.

- `apgd`, `square`, `fmn-pgd` and `strong` try once more: they end only when both levels below the
  lowest success have failed. What lies below two failures in a row is missed. PGD ends at the
  first failure.
- `check_assumed` attacks a random part of what is taken for granted, and counts what it finds.
- `tests/attacks/test_eps_search.py` compares searches with the attack at each eps by itself, on
  100 images and nine eps. On an ordinary network they miss at most one. On a planted one, with
  large waves in its logits, they miss at most 2 images at an eps and 4 in all, and without trying
  once more up to 10. Nothing is bounded for other networks: where gradients are masked, the counts
  of `check_assumed` tell.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rotgrid.attacks.linf import (
    TOLERANCE,
    in_batches,
)

GROWTH = 1.5
"""Of the strides away from the guess: 1, 1, 2, 3, 5, ... An estimate is seldom off by more
than one eps of a grid, and a stride too far costs a whole attack."""

SHARE = 0.02
"""Of the pairs of image and eps that are taken for granted, how many are attacked directly."""

FEWEST = 8
"""Such pairs in a sweep at least, if there are as many."""

CHECK_SEED = 1_907_000_000
"""Of the draw of those pairs, with the eps in millionths."""

Attempt = Callable[[Tensor, Tensor], Tensor]
"""(indices of images, eps of each) -> distance of each adversarial image found, inf for none."""


@dataclass
class Brackets:
    """What a search knows; levels are numbered from 0."""

    levels: Tensor
    """The eps of the grid, ascending, each once: (levels,)."""
    floor: int
    """The level below the lowest that is attacked: eps 0 breaks nothing."""
    failed: Tensor
    """(n,): a level where the last failure was, at first the floor."""
    broken: Tensor
    """(n,): the lowest level at which each image is known to break; `len(levels)` for none."""
    in_vain: Tensor
    """bool (n, len(levels) + 1): where each image was attacked without success."""


def find_brackets(
    attempt: Attempt,
    eps_grid: Sequence[float],
    guess: Tensor,
    known_distances: Tensor | None = None,
    once_more: bool = False,
) -> Brackets:
    """The lowest level at which each image breaks.

    Args:
        attempt: the attack; it is asked for any image at any eps of the grid.
        eps_grid: in any order, with repetitions or without.
        guess: (n,) distances at which images may break; they decide how long it takes, and, if a
            failure at one eps says nothing of smaller ones, what is missed.
        known_distances: (n,) of misclassified images found already, inf for none.
        once_more: an image is done only when both levels below its lowest success have failed.
    """
    known = initial_brackets(eps_grid, guess, known_distances)
    stride = torch.ones_like(guess)
    level = torch.searchsorted(known.levels, guess)
    level = torch.minimum(torch.maximum(level, known.failed + 1), known.broken - 1).clamp(min=0)
    while len(open_ := (known.failed + 1 < known.broken).nonzero().squeeze(1)):
        attack_and_update(known, attempt, open_, level)
        level, stride = next_level(
            known.failed, known.broken, stride, known.floor, len(known.levels)
        )
    while once_more and len(open_ := ((level := untried(known)) >= 0).nonzero().squeeze(1)):
        attack_and_update(known, attempt, open_, level)
    return known


def initial_brackets(
    eps_grid: Sequence[float], guess: Tensor, known_distances: Tensor | None
) -> Brackets:
    """What is known before any attack."""
    levels = torch.tensor(eps_grid, dtype=guess.dtype, device=guess.device).unique()  # ascending
    floor = int(bool((levels == 0).any())) - 1
    failed = torch.full(guess.shape, floor, device=guess.device)
    broken = torch.full(guess.shape, len(levels), device=guess.device)
    if known_distances is not None:
        broken = torch.searchsorted(levels, known_distances - TOLERANCE).clamp(min=floor + 1)
    in_vain = torch.zeros(len(guess), len(levels) + 1, dtype=torch.bool, device=guess.device)
    return Brackets(levels, floor, failed, broken, in_vain)


def attack_and_update(known: Brackets, attempt: Attempt, open_: Tensor, level: Tensor) -> None:
    """Attack some of the images, each at its level of all: (n,)."""
    distance = attack_in_batches(attempt, open_, known.levels[level])
    reached = torch.searchsorted(known.levels, distance - TOLERANCE).clamp(min=known.floor + 1)
    reached = torch.minimum(reached, level[open_])  # whatever the rounding of x + eps
    success, broken = distance.isfinite(), known.broken[open_]
    known.broken[open_] = torch.where(success, torch.minimum(broken, reached), broken)
    known.failed[open_] = torch.where(success, known.failed[open_], level[open_])
    known.in_vain[open_, level[open_]] |= ~success


def untried(known: Brackets) -> Tensor:
    """(n,): the higher one of the two levels below the lowest success that was not attacked, or -1
    where both were."""
    below = known.broken[:, None] - torch.tensor([1, 2], device=known.broken.device)
    there = (below > known.floor) & ~known.in_vain.gather(1, below.clamp(min=0))
    return torch.where(there, below, -1).amax(1)


def survived(known: Brackets, eps_grid: Sequence[float]) -> Tensor:
    """Whether each image is still correct at each eps: bool (len(eps_grid), n)."""
    grid = known.levels.new_tensor(eps_grid)
    ends = torch.cat([known.levels, known.levels.new_full((1,), torch.inf)])
    return grid[:, None] < ends[known.broken][None, :]


def check_assumed(attempt: Attempt, known: Brackets, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Attacks a random part of the (image, eps) that count as correct without being attacked.

    Returns, by level, how many were attacked and how many of them broke: (levels,) each. What the
    search has found stays as it is.

    Args:
        attempt: the attack.
        known: the end of a search.
        positions: (n,) of the images among the test images; which of them are attacked at an eps
            is a frozen draw by position and eps.
    """
    count = len(known.levels)
    level = torch.arange(count, device=positions.device)
    assumed = (level > known.floor) & (level < known.broken[:, None]) & ~known.in_vain[:, :count]
    draws = draw_uniform(known.levels, positions)
    fewest = draws[assumed].sort().values[:FEWEST]
    threshold = max(SHARE, float(fewest[-1])) if len(fewest) else SHARE
    image, at = (assumed & (draws <= threshold)).nonzero().unbind(1)
    distance = in_batches(
        lambda pairs: attempt(image[pairs], known.levels[at[pairs]]),
        torch.arange(len(at), device=at.device),
        known.levels.dtype,
    )
    return at.bincount(minlength=count), at[distance.isfinite()].bincount(minlength=count)


def draw_uniform(levels: Tensor, positions: Tensor) -> Tensor:
    """U(0, 1) of each position and eps, whatever the others are: (n, levels)."""
    draws = torch.zeros(len(positions), len(levels))
    size = int(positions.amax()) + 1 if len(positions) else 0
    for column, eps in enumerate(levels.tolist()):
        generator = torch.Generator().manual_seed(CHECK_SEED + round(1e6 * eps))
        draws[:, column] = torch.rand(size, generator=generator)[positions.cpu()]
    return draws.to(positions.device)


def attack_in_batches(attempt: Attempt, open_: Tensor, eps: Tensor) -> Tensor:
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
