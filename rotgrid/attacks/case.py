"""What a sweep over eps is made on, and what the sweeps of all attacks share."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rotgrid.attacks.boundary import estimated_distances
from rotgrid.attacks.eps_search import (
    Attempt,
    Brackets,
    check_assumed,
    find_brackets,
    survived,
)
from rotgrid.attacks.linf import TOLERANCE, Model, frozen, in_batches, misclassified
from rotgrid.attacks.threats import LINF, Threat

LOW = 0.92
"""Of an estimated distance, where a search begins: of 1, 0.95 and 0.9, and of what PGD's search
over 11 eps takes on a StdCNN and a GCNN, 80, 79 and 79 gradients an image, and 86, 83 and 81."""

Notes = dict[str, list[int]]
"""What an attack has to say beside: numbers of images, one per eps of the grid."""


class Case(NamedTuple):
    """The inputs of a sweep over eps, the same for every attack. `survival(case)` of each attack
    returns a bool tensor (number of eps, number of chosen images)."""

    model: Model
    images: Tensor
    labels: Tensor
    chosen: Tensor
    """Indices of the images to attack; random numbers are drawn for all, so that an image's do not
    depend on what else is chosen."""
    eps_grid: Sequence[float]
    notes: Notes
    threat: Threat = LINF

    def batch(self, at: Tensor) -> tuple[Model, Tensor, Tensor]:
        """The model, and some of the images with their labels."""
        return self.model, self.images[at], self.labels[at]


def no_attack(case: Case) -> Tensor:
    """No attack: all that was correct stays correct."""
    shape = (len(case.eps_grid), len(case.chosen))
    return torch.ones(shape, dtype=torch.bool, device=case.chosen.device)


AttackAtEachEps = Callable[[Tensor], Callable[[float], Tensor]]
"""Indices of images -> eps -> the images, attacked."""


def survival_at_each_eps(case: Case, moves: AttackAtEachEps) -> Tensor:
    """Survival under an attack that is made at each eps by itself, a batch at a time."""

    def correct(at: Tensor) -> Tensor:
        move = moves(at)
        wrong = [misclassified(case.model, move(eps), case.labels[at]) for eps in case.eps_grid]
        return ~torch.stack(wrong, 1)

    if not case.eps_grid:
        return no_attack(case)
    found = in_batches(correct, case.chosen, torch.bool)
    return found.reshape(len(case.chosen), len(case.eps_grid)).T


NearestSearch = Callable[[Model, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(model, images, labels) -> the nearest misclassified images found, and their distance or inf."""


def nearest_distances(
    search: NearestSearch, model: Model, images: Tensor, labels: Tensor, at: Tensor
) -> Tensor:
    """(len(at),): the distances that a search finds of the images at these indices, a batch at a
    time."""
    with frozen(model):
        return in_batches(
            lambda some: search(model, images[some], labels[some])[1], at, images.dtype
        )


def survival_by_distance(case: Case, search: NearestSearch) -> Tensor:
    """Which images survive at each eps, by one search for the nearest misclassified image."""
    distance = nearest_distances(search, case.model, case.images, case.labels, case.chosen)
    grid = torch.tensor(case.eps_grid, dtype=distance.dtype, device=distance.device)
    return distance[None] > grid[:, None] + TOLERANCE


BatchAttack = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(indices of images, (n, 1, 1, 1) eps) -> images found, whether they are misclassified."""


def survival_by_search(
    case: Case,
    attack: BatchAttack,
    known_distances: Tensor | None = None,
    once_more: bool = False,
) -> Tensor:
    """Which images survive at each eps, by a search for the eps at which each breaks. Where
    `known_distances` has an eps that breaks an image, only smaller ones are tried."""
    attempt = attempt_of(case, attack)
    known = brackets_of_case(case, attempt, known_distances, once_more)
    note_check(case, attempt, known)
    return survived(known, case.eps_grid)


def attempt_of(case: Case, attack: BatchAttack) -> Attempt:
    """Wraps `attack` for `eps_search`: indices count within `case.chosen`, and the result is the
    distance of each adversarial image, or inf."""

    def attempt(at: Tensor, eps: Tensor) -> Tensor:
        found, broken = attack(case.chosen[at], eps.view(-1, 1, 1, 1))
        moved = found - case.images[case.chosen[at]]
        return torch.where(broken, case.threat.size(moved), torch.inf)

    return attempt


def brackets_of_case(
    case: Case, attempt: Attempt, known_distances: Tensor | None, once_more: bool
) -> Brackets:
    """The lowest eps at which each chosen image breaks."""
    guess = first_guess(case, case.images) if known_distances is None else known_distances
    return find_brackets(attempt, case.eps_grid, guess, known_distances, once_more)


def note_check(case: Case, attempt: Attempt, known: Brackets) -> None:
    """Note what a check of the search finds, see `rotgrid.attacks.eps_search.check_assumed`."""
    grid = known.levels.new_tensor(case.eps_grid)
    level = torch.searchsorted(known.levels, grid)
    checked, missed = check_assumed(attempt, known, case.chosen)
    case.notes["search_checked"] = checked[level].tolist()
    case.notes["search_missed"] = missed[level].tolist()


def first_guess(case: Case, images: Tensor) -> Tensor:
    """Where the search begins; on a grid of one eps it does not matter. Somewhat too low is better
    than too high: a success above a failure ends the search."""
    if len({*case.eps_grid}) < 2:
        return images.new_zeros(len(case.chosen))
    model, labels = case.model, case.labels[case.chosen]
    return LOW * estimated_distances(model, images[case.chosen], labels, case.threat)
