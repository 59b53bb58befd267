"""Robust accuracy over a grid of eps, for any attack, sharing what the eps have in common."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from rotgrid.attacks.apgd import ApgdLoss, apgd_from
from rotgrid.attacks.bim import STEP, steps_for
from rotgrid.attacks.checks import checked
from rotgrid.attacks.class_means import class_means
from rotgrid.attacks.eps_search import Attempt, Brackets, check, first_order, locate, survived
from rotgrid.attacks.fgsm import ascent_direction, step_along
from rotgrid.attacks.fmn import fmn_from
from rotgrid.attacks.linf import (
    TOLERANCE,
    Loss,
    Model,
    distances,
    finite_logits,
    frozen,
    in_batches,
    indices,
    lowered,
    misclassified,
    project,
    require_restarts,
    require_steps,
)
from rotgrid.attacks.noise import Draw, draws, sign_offsets
from rotgrid.attacks.pgd import ascend, restart_from
from rotgrid.attacks.spatial import spatial_pgd_from
from rotgrid.attacks.square import square_from
from rotgrid.attacks.starts import Picked, draw_starts, require_starts, uniform_offsets
from rotgrid.attacks.strong import (
    Offsets,
    draw_offsets,
    masked,
    queries,
    strong_from,
    without_gradient,
)
from rotgrid.spec import known
from rotgrid.spec.vocabulary import Attack, LabelRule, Precision

Notes = dict[str, list[int]]
"""What an attack has to say beside: numbers of images, one per eps of the grid."""

FMN_STEPS = 50
"""Of the search that goes before PGD in `fmn-pgd`: those of `fmn`, which it is no weaker than."""


@checked
def sweep(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    attack: Attack,
    eps_grid: Sequence[float],
    label_rule: LabelRule = "true",
    notes: Notes | None = None,
    **settings: Any,  # noqa: ANN401  # they differ by attack
) -> Tensor:
    """Whether each image is still classified correctly at each eps: bool (len(eps_grid), n).

    Images that are wrong without attack are errors at every eps and are not attacked, unless the
    `label_rule` is `predicted`: then they are attacked with their predicted label for the true
    one, and count as correct where that repairs them, as in some published code.

    FGSM, noise and the iterative method are measured at each eps by itself, and their curves need
    not fall. Attacks that search (`pgd`, `apgd`, `square`, `strong`) find the eps at which each
    image breaks (`rotgrid.attacks.eps_search`); random starts are the same directions at every
    eps. `settings` are those of the attack (`steps`, `restarts`, `loss`, `generator`, ...).

    Into `notes` go numbers of images at each eps. Attacks that search: of those that count as
    correct only because a larger eps failed, how many were attacked directly (`search_checked`)
    and how many of them broke (`search_missed`). `strong`, the same numbers at every eps: how many
    have no gradient or a false one (`no_gradient`) and how many Square broke alone at any eps
    (`square_only`); above 0, gradient attacks may flatter the model.

    Raises:
        ValueError: an argument or a setting has the wrong type, shape or range, or steps and
            restarts try nothing but the image itself.
        TypeError: a setting that the attack does not have.
    """
    if (run := known(attack, SWEEPS)) is None:
        raise ValueError(f"no attack {attack!r}; choose from {', '.join(SWEEPS)}")
    require_rule(attack, label_rule)
    with frozen(model):
        classes = predicted(model, images)
        correct = classes == labels
        result = correct.repeat(len(eps_grid), 1)
        chosen = correct.nonzero().squeeze(1)
        case = Case(model, images, labels, chosen, eps_grid, {} if notes is None else notes)
        result[:, chosen] = run(case, **settings)
        if label_rule == "predicted":
            wrong = (~correct).nonzero().squeeze(1)
            settings.pop("precision", None)  # nothing is searched here
            for row, eps in enumerate(eps_grid):
                moved = ON_PREDICTED[attack](model, images[wrong], classes[wrong], eps, **settings)
                result[row, wrong] = predicted(model, moved) == labels[wrong]
    return result


def predicted(model: Model, images: Tensor) -> Tensor:
    """The class of each image, in evaluation mode.

    Raises:
        FloatingPointError: logits are not finite; their argmax would be silent garbage.
    """

    def classes(at: Tensor) -> Tensor:
        return finite_logits(model, images[at]).argmax(1)

    with frozen(model):
        return in_batches(classes, indices(images), torch.long)


def require_rule(attack: Attack, label_rule: LabelRule) -> None:
    """Refuse label rules that an attack does not have.

    Raises:
        ValueError: it is unknown, or `predicted` where the attack takes the true label.
    """
    rules = ("true", "predicted") if attack in ON_PREDICTED else ("true",)
    if label_rule not in rules:
        raise ValueError(f"label_rule {label_rule!r} of {attack}: choose from {', '.join(rules)}")


class Case(NamedTuple):
    """What a sweep is made on, the same for every attack; all return bool (eps, chosen)."""

    model: Model
    images: Tensor
    labels: Tensor
    chosen: Tensor
    """Indices of the images to attack; random numbers are drawn for all, so that an image's do not
    depend on what else is chosen."""
    eps_grid: Sequence[float]
    notes: Notes

    def of(self, at: Tensor) -> tuple[Model, Tensor, Tensor]:
        """The model, and some of the images with their labels."""
        return self.model, self.images[at], self.labels[at]


def sweep_none(case: Case) -> Tensor:
    """No attack: all that was correct stays correct."""
    shape = (len(case.eps_grid), len(case.chosen))
    return torch.ones(shape, dtype=torch.bool, device=case.chosen.device)


Moves = Callable[[Tensor], Callable[[float], Tensor]]
"""Indices of images -> eps -> the images, attacked."""


def at_each(case: Case, moves: Moves) -> Tensor:
    """Survival under an attack that is made at each eps by itself, a batch at a time."""

    def correct(at: Tensor) -> Tensor:
        move = moves(at)
        wrong = [misclassified(case.model, move(eps), case.labels[at]) for eps in case.eps_grid]
        return ~torch.stack(wrong, 1)

    if not case.eps_grid:
        return sweep_none(case)
    found = in_batches(correct, case.chosen, torch.bool)
    return found.reshape(len(case.chosen), len(case.eps_grid)).T


def sweep_noise(
    case: Case,
    *,
    restarts: int = 1,
    generator: torch.Generator | None = None,
    draw: Draw = uniform_offsets,
) -> Tensor:
    """`noise` (or `sign_noise`, by how it is drawn) at each eps, by the same draws.

    An image that a draw breaks at an eps is not moved by later ones there.
    """
    require_restarts(restarts)
    survived = sweep_none(case)
    for offset in draws(draw, case.images, restarts, generator):
        for row, eps in enumerate(case.eps_grid):
            left = survived[row].nonzero().squeeze(1)
            survived[row, left] = ~broken_by(case, offset, eps, case.chosen[left])
    return survived


def broken_by(case: Case, offset: Tensor, eps: float, chosen: Tensor) -> Tensor:
    """Which of the chosen images eps times the offset breaks: bool (len(chosen),)."""

    def broken(at: Tensor) -> Tensor:
        model, x, y = case.of(at)
        return misclassified(model, project(x + eps * offset[at], x, eps), y)

    return in_batches(broken, chosen, torch.bool)


def sweep_class_means(case: Case, *, means: Tensor) -> Tensor:
    """`class_means` at each eps."""
    return at_each(case, lambda at: lambda eps: class_means(*case.of(at), eps=eps, means=means))


def sweep_fgsm(case: Case) -> Tensor:
    """`fgsm` at each eps, from one gradient."""

    def moves(at: Tensor) -> Callable[[float], Tensor]:
        direction = ascent_direction(*case.of(at))
        return lambda eps: step_along(case.images[at], direction, eps)

    return at_each(case, moves)


def sweep_bim(case: Case) -> Tensor:
    """`bim` at each eps; images leave the batch once they are broken."""

    def move(at: Tensor, eps: float) -> Tensor:
        model, x, y = case.of(at)
        return ascend(model, x, y, x, eps, steps_for(eps), STEP, "ce", stop_early=True)[0]

    return at_each(case, lambda at: functools.partial(move, at))


def sweep_transfer(
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
        _, x, y = case.of(at)
        starts = Picked(offsets, at)
        return restart_from(source, x, y, eps, steps, eps / 30, loss, starts)[0]

    with frozen(source):
        return at_each(case, lambda at: functools.partial(move, at))


From = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(indices of images, (n, 1, 1, 1) eps) -> images found, whether they are misclassified."""


def searched(
    case: Case,
    attack: From,
    known_distances: Tensor | None = None,
    once_more: bool = False,
) -> Tensor:
    """Survival under an attack that searches, below the distances already known if any."""
    attempt = attempt_of(case, attack)
    known = located(case, attempt, known_distances, once_more)
    note_check(case, attempt, known)
    return survived(known, case.eps_grid)


def attempt_of(case: Case, attack: From) -> Attempt:
    """The attack as a search asks for it: the images are numbered among those chosen."""

    def attempt(at: Tensor, eps: Tensor) -> Tensor:
        found, broken = attack(case.chosen[at], eps.view(-1, 1, 1, 1))
        return torch.where(broken, distances(found, case.images[case.chosen[at]]), torch.inf)

    return attempt


def located(
    case: Case, attempt: Attempt, known_distances: Tensor | None, once_more: bool
) -> Brackets:
    """The lowest eps at which each chosen image breaks."""
    guess = guessed(case, case.images) if known_distances is None else known_distances
    return locate(attempt, case.eps_grid, guess, known_distances, once_more)


def note_check(case: Case, attempt: Attempt, known: Brackets) -> None:
    """Note what a check of the search finds, see `rotgrid.attacks.eps_search.check`."""
    grid = known.levels.new_tensor(case.eps_grid)
    level = torch.searchsorted(known.levels, grid)
    checked, missed = check(attempt, known, case.chosen)
    case.notes["search_checked"] = checked[level].tolist()
    case.notes["search_missed"] = missed[level].tolist()


def guessed(case: Case, images: Tensor) -> Tensor:
    """Where the search begins; on a grid of one eps it does not matter."""
    if len({*case.eps_grid}) < 2:
        return images.new_zeros(len(case.chosen))
    return first_order(case.model, images[case.chosen], case.labels[case.chosen])


def sweep_pgd(
    case: Case,
    *,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
    precision: Precision = "float32",
    known_distances: Tensor | None = None,
    once_more: bool = False,
) -> Tensor:
    """`pgd`; in `bfloat16` the way is searched, and in float32 what is broken is decided."""
    require_starts(steps, restarts, generator)
    offsets = draw_starts(case.images, restarts, generator)
    scout = scout_of(case.model, precision)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        size = eps / 30 if step_size is None else step_size
        starts = Picked(offsets, at)
        return restart_from(*case.of(at), eps, steps, size, loss, starts, True, scout)

    return searched(case, attack, known_distances, once_more)


def scout_of(model: Model, precision: Precision) -> Model | None:
    """What searches the way; None: the model itself.

    Raises:
        ValueError: an unknown precision.
    """
    if precision not in (choices := get_args(Precision)):
        raise ValueError(f"precision {precision!r}: choose from {', '.join(choices)}")
    return None if precision == "float32" else lowered(model)


def sweep_apgd(
    case: Case,
    *,
    steps: int = 100,
    restarts: int = 1,
    loss: ApgdLoss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """`apgd`."""
    require_starts(steps, restarts, generator)
    offsets = draw_starts(case.images, restarts, generator)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        return apgd_from(*case.of(at), eps, steps, loss, Picked(offsets, at))

    return searched(case, attack, once_more=True)


def sweep_square(
    case: Case,
    *,
    steps: int = 1000,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`square`, with the same draws at every eps."""
    require_steps(steps, least=0)
    require_restarts(restarts)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    state = generator.get_state()

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        again = torch.Generator(generator.device)
        again.set_state(state)
        return square_from(*case.of(at), eps, steps, restarts, again)

    return searched(case, attack, once_more=True)


def minimal_distances(case: Case, steps: int) -> Tensor:
    """FMN's distances of the chosen images, a batch at a time."""
    return in_batches(lambda at: fmn_from(*case.of(at), steps)[1], case.chosen, case.images.dtype)


def sweep_fmn(case: Case, *, steps: int = 50) -> Tensor:
    """`fmn`: one computation for all eps."""
    require_steps(steps)
    distance = minimal_distances(case, steps)
    grid = torch.tensor(case.eps_grid, dtype=distance.dtype, device=distance.device)
    return distance[None] > grid[:, None] + TOLERANCE


def sweep_fmn_pgd(case: Case, **of_pgd: Any) -> Tensor:  # noqa: ANN401
    """FMN once, and `pgd` just below what it found: stronger than `pgd` alone, and cheaper."""
    distance = minimal_distances(case, FMN_STEPS)
    return sweep_pgd(case, **of_pgd, known_distances=distance, once_more=True)


def sweep_strong(
    case: Case, *, steps: int = 100, generator: torch.Generator | None = None
) -> Tensor:
    """`strong`: FMN once, just below what it found the rest, and all of Square where it is due.

    Notes how many images have no true gradient, and how many Square broke and nothing before it.
    If it broke any at any eps of the grid, all of Square is due to all images; else to those
    without one, whatever the other images and eps are.
    """
    require_steps(steps)
    offsets = draw_offsets(case.images, generator)
    by_square = torch.zeros_like(case.labels, dtype=torch.bool)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        found, broken, squared = strong_from(*case.of(at), eps, steps, offsets.of(at))
        by_square[at] |= squared
        return found, broken

    known = located(case, attempt_of(case, attack), minimal_distances(case, steps), True)
    no_gradient = torch.zeros_like(by_square)
    no_gradient[case.chosen] = without_gradient(*case.of(case.chosen))
    case.notes["no_gradient"] = [int(no_gradient.sum())] * len(case.eps_grid)
    case.notes["square_only"] = [int(by_square.sum())] * len(case.eps_grid)
    due = masked(no_gradient, by_square)
    search_again(case, known, due, steps)
    note_check(case, attempt_of(case, everything(case, due, steps, offsets)), known)
    return survived(known, case.eps_grid)


def search_again(case: Case, known: Brackets, due: Tensor, steps: int) -> None:
    """Search with all of Square below what is known to break; due: bool, one of every image."""
    at = due[case.chosen].nonzero().squeeze(1)
    again = case._replace(chosen=case.chosen[at])

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        return square_from(*case.of(at), eps, queries(steps), 1, None)

    ends = torch.cat([known.levels, known.levels.new_full((1,), torch.inf)])
    found = located(again, attempt_of(again, attack), ends[known.broken[at]], True)
    known.broken[at] = found.broken


def everything(case: Case, due: Tensor, steps: int, offsets: Offsets) -> From:
    """All of `strong` on some of the images, but for FMN."""

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        found, broken, _ = strong_from(*case.of(at), eps, steps, offsets.of(at))
        left = (~broken & due[at]).nonzero().squeeze(1)
        found[left], broken[left] = square_from(
            *case.of(at[left]), eps[left], queries(steps), 1, None
        )
        return found, broken

    return attack


def sweep_spatial_pgd(
    case: Case,
    *,
    views: Tensor,
    steps: int = 40,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD around any of the `views` of an image, turns and shifts of it: (number, n, 1, h, w)."""
    require_steps(steps, least=0)
    require_restarts(restarts)
    offsets = draw_starts(case.images, restarts, generator)

    def attempt(at: Tensor, eps: Tensor) -> Tensor:
        at = case.chosen[at]
        radius, starts = eps.view(-1, 1, 1, 1), Picked(offsets, at)
        broken = spatial_pgd_from(
            case.model, views[:, at], case.labels[at], radius, steps, starts, loss
        )
        return torch.where(broken, eps, torch.inf)

    known = locate(attempt, case.eps_grid, guessed(case, views[0]))
    note_check(case, attempt, known)
    return survived(known, case.eps_grid)


def fgsm_in_batches(model: Model, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """`fgsm`, a batch at a time."""

    def moved(at: Tensor) -> Tensor:
        x = images[at]
        return step_along(x, ascent_direction(model, x, labels[at]), eps)

    return in_batches(moved, indices(images), images.dtype)


def bim_in_batches(model: Model, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """`bim`, a batch at a time."""

    def moved(at: Tensor) -> Tensor:
        x, y = images[at], labels[at]
        return ascend(model, x, y, x, eps, steps_for(eps), STEP, "ce")[0]

    return in_batches(moved, indices(images), images.dtype)


def pgd_in_batches(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """`pgd`, a batch at a time."""
    offsets = draw_starts(images, restarts, generator)
    size = eps / 30 if step_size is None else step_size

    def moved(at: Tensor) -> Tensor:
        x, y, starts = images[at], labels[at], Picked(offsets, at)
        return restart_from(model, x, y, eps, steps, size, loss, starts)[0]

    return in_batches(moved, indices(images), images.dtype)


ON_PREDICTED: dict[str, Callable[..., Tensor]] = {
    "fgsm": fgsm_in_batches,
    "bim": bim_in_batches,
    "pgd": pgd_in_batches,
}
"""The attacks with a choice of label rule."""

SWEEPS: dict[str, Callable[..., Tensor]] = {
    "none": sweep_none,
    "noise": sweep_noise,
    "sign-noise": functools.partial(sweep_noise, draw=sign_offsets),
    "class-means": sweep_class_means,
    "fgsm": sweep_fgsm,
    "bim": sweep_bim,
    "pgd": sweep_pgd,
    "apgd": sweep_apgd,
    "square": sweep_square,
    "fmn": sweep_fmn,
    "fmn-pgd": sweep_fmn_pgd,
    "strong": sweep_strong,
    "transfer": sweep_transfer,
    "spatial-pgd": sweep_spatial_pgd,
}
