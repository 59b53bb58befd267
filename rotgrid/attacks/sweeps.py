"""Robust accuracy over a grid of eps, for any attack, sharing what the eps have in common."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rotgrid.attacks.apgd import ApgdLoss, apgd_from
from rotgrid.attacks.bim import STEP, bim, steps_for
from rotgrid.attacks.class_means import class_means
from rotgrid.attacks.fgsm import ascent_direction, fgsm, step_along
from rotgrid.attacks.fmn import fmn_from
from rotgrid.attacks.noise import sign_offsets, worst_offset
from rotgrid.attacks.pgd import ascend, draw_starts, pgd, restart_from
from rotgrid.attacks.search import first_order, search
from rotgrid.attacks.spatial import spatial_pgd_from
from rotgrid.attacks.square import square_from
from rotgrid.attacks.strong import strong_from
from rotgrid.attacks.threat import (
    TOLERANCE,
    Loss,
    Model,
    at_once,
    distances,
    finite_logits,
    frozen,
    lowered,
    misclassified,
    require_valid,
    uniform_offsets,
)
from rotgrid.spec import Attack, LabelRule, Precision, known

FMN_STEPS = 15
"""Of the search that goes before PGD in `fmn-pgd`."""
ON_PREDICTED: dict[str, Callable[..., Tensor]] = {"fgsm": fgsm, "bim": bim, "pgd": pgd}
"""The attacks with a choice of label rule."""


def sweep(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    attack: Attack,
    eps_grid: Sequence[float],
    label_rule: LabelRule = "true",
    **settings: Any,  # noqa: ANN401  # they differ by attack
) -> Tensor:
    """Whether each image is still classified correctly at each eps: bool (len(eps_grid), n).

    Images that are wrong without attack are errors at every eps and are not attacked, unless the
    `label_rule` is `predicted`: then they are attacked with their predicted label for the true
    one, and count as correct where that repairs them, as in some published code.

    FGSM, noise and the iterative method are measured at each eps by itself, and their curves need
    not fall. Attacks that search (`pgd`, `apgd`, `square`, `strong`) find the eps at which each
    image breaks (`rotgrid.attacks.search`); random starts are the same directions at every eps.
    `settings` are those of the attack (`steps`, `restarts`, `loss`, `generator`, ...).

    Raises:
        ValueError: an unknown attack, pixels or eps outside [0, 1].
        TypeError: a setting that the attack does not have.
    """
    for eps in eps_grid:
        require_valid(images, labels, eps)
    if (run := known(attack, SWEEPS)) is None:
        raise ValueError(f"no attack {attack!r}; choose from {', '.join(SWEEPS)}")
    with frozen(model):
        classes = predicted(model, images)
        correct = classes == labels
        result = correct.repeat(len(eps_grid), 1)
        chosen = correct.nonzero().squeeze(1)
        case = Case(model, images, labels, chosen, eps_grid)
        result[:, chosen] = run(case, **settings)
        if label_rule == "predicted":
            wrong = (~correct).nonzero().squeeze(1)
            settings.pop("precision", None)  # nothing is searched here
            for row, eps in enumerate(eps_grid):
                moved = ON_PREDICTED[attack](
                    model, images[wrong], classes[wrong], eps=eps, **settings
                )
                result[row, wrong] = predicted(model, moved) == labels[wrong]
    return result


def predicted(model: Model, images: Tensor) -> Tensor:
    """The class of each image, in evaluation mode.

    Raises:
        FloatingPointError: logits are not finite; their argmax would be silent garbage.
    """
    with frozen(model):
        found = [
            finite_logits(model, batch).argmax(1) for batch in images.split(at_once(images.device))
        ]
    return torch.cat(found) if found else images.new_zeros(0, dtype=torch.long)


class Case(NamedTuple):
    """What a sweep is made on, the same for every attack; all return bool (eps, chosen)."""

    model: Model
    images: Tensor
    labels: Tensor
    chosen: Tensor
    """Indices of the images to attack; random numbers are drawn for all, so that an image's do not
    depend on what else is chosen."""
    eps_grid: Sequence[float]

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
    survived = sweep_none(case)
    done = 0
    for at in case.chosen.split(at_once(case.images.device)):
        move = moves(at)
        for row, eps in enumerate(case.eps_grid):
            wrong = misclassified(case.model, move(eps), case.labels[at])
            survived[row, done : done + len(at)] = ~wrong
        done += len(at)
    return survived


def sweep_noise(
    case: Case,
    *,
    restarts: int = 1,
    generator: torch.Generator | None = None,
    draw: Callable[[Tensor, torch.Generator | None], Tensor] = uniform_offsets,
) -> Tensor:
    """`noise` (or `sign_noise`, by how it is drawn) at each eps, by the same draws."""
    offsets = [draw(case.images, generator) for _ in range(restarts)]

    def moves(at: Tensor) -> Callable[[float], Tensor]:
        drawn = [offset[at] for offset in offsets]
        return lambda eps: worst_offset(*case.of(at), eps, drawn)

    return at_each(case, moves)


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
    offsets = draw_starts(case.images, restarts, generator)

    def move(at: Tensor, eps: float) -> Tensor:
        (_, x, y), drawn = case.of(at), [offset[at] for offset in offsets]
        return restart_from(source, x, y, eps, steps, eps / 30, loss, drawn)[0]

    with frozen(source):
        return at_each(case, lambda at: functools.partial(move, at))


From = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(indices of images, (n, 1, 1, 1) eps) -> images found, whether they are misclassified."""


def searched(case: Case, attack: From, known_distances: Tensor | None = None) -> Tensor:
    """Survival under an attack that searches, below the distances already known if any."""

    def attempt(at: Tensor, eps: Tensor) -> Tensor:
        found, broken = attack(case.chosen[at], eps.view(-1, 1, 1, 1))
        return torch.where(broken, distances(found, case.images[case.chosen[at]]), torch.inf)

    guess = guessed(case, case.images) if known_distances is None else known_distances
    return search(attempt, case.eps_grid, guess, known_distances)


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
) -> Tensor:
    """`pgd`; in `bfloat16` the way is searched, and in float32 what is broken is decided."""
    offsets = draw_starts(case.images, restarts, generator)
    scout = None if precision == "float32" else lowered(case.model)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        size = eps / 30 if step_size is None else step_size
        drawn = [offset[at] for offset in offsets]
        return restart_from(*case.of(at), eps, steps, size, loss, drawn, True, scout)

    return searched(case, attack, known_distances)


def sweep_apgd(
    case: Case,
    *,
    steps: int = 100,
    restarts: int = 1,
    loss: ApgdLoss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """`apgd`."""
    offsets = draw_starts(case.images, restarts, generator)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        return apgd_from(*case.of(at), eps, steps, loss, [offset[at] for offset in offsets])

    return searched(case, attack)


def sweep_square(
    case: Case,
    *,
    steps: int = 1000,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`square`, with the same draws at every eps."""
    state = (generator or torch.Generator().manual_seed(0)).get_state()

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        again = torch.Generator()
        again.set_state(state)
        return square_from(*case.of(at), eps, steps, restarts, again)

    return searched(case, attack)


def minimal_distances(case: Case, steps: int) -> Tensor:
    """FMN's distances of the chosen images, a batch at a time."""
    parts = [
        fmn_from(*case.of(at), steps)[1] for at in case.chosen.split(at_once(case.images.device))
    ]
    return torch.cat(parts) if parts else case.images.new_zeros(0)


def sweep_fmn(case: Case, *, steps: int = 50) -> Tensor:
    """`fmn`: one computation for all eps."""
    distance = minimal_distances(case, steps)
    grid = torch.tensor(case.eps_grid, dtype=distance.dtype, device=distance.device)
    return distance[None] > grid[:, None] + TOLERANCE


def sweep_fmn_pgd(case: Case, **of_pgd: Any) -> Tensor:  # noqa: ANN401
    """FMN once, and `pgd` just below what it found: stronger than `pgd` alone, and cheaper."""
    return sweep_pgd(case, **of_pgd, known_distances=minimal_distances(case, FMN_STEPS))


def sweep_strong(
    case: Case, *, steps: int = 100, generator: torch.Generator | None = None
) -> Tensor:
    """`strong`: FMN once, and just below what it found the rest."""
    offsets = draw_starts(case.images, 1, generator)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        return strong_from(*case.of(at), eps, steps, [offset[at] for offset in offsets])

    return searched(case, attack, minimal_distances(case, steps))


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
    offsets = draw_starts(case.images, restarts, generator)

    def attempt(at: Tensor, eps: Tensor) -> Tensor:
        at, drawn = case.chosen[at], [offset[case.chosen[at]] for offset in offsets]
        broken = spatial_pgd_from(
            case.model, views[:, at], case.labels[at], eps.view(-1, 1, 1, 1), steps, drawn, loss
        )
        return torch.where(broken, eps, torch.inf)

    return search(attempt, case.eps_grid, guessed(case, views[0]))


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
