"""Robust accuracy over a grid of eps, for any attack, sharing what the eps have in common."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rotgrid.attacks.apgd import ApgdLoss, apgd_from
from rotgrid.attacks.bim import STEP, bim, steps_for
from rotgrid.attacks.class_means import class_means
from rotgrid.attacks.fgsm import ascent_direction, fgsm, step_along
from rotgrid.attacks.fmn import fmn_from
from rotgrid.attacks.noise import sign_offsets, worst_offset
from rotgrid.attacks.pgd import ascend, draw_starts, pgd, restart_from
from rotgrid.attacks.search import BATCH, first_order, search
from rotgrid.attacks.spatial import spatial_pgd_from
from rotgrid.attacks.square import square_from
from rotgrid.attacks.strong import strong_from
from rotgrid.attacks.threat import (
    TOLERANCE,
    Loss,
    Model,
    distances,
    frozen,
    lowered,
    misclassified,
    require_valid,
    uniform_offsets,
)
from rotgrid.spec import Attack, LabelRule, Precision, known

Grid = Sequence[float]
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
        guessed = predicted(model, images)
        correct = guessed == labels
        result = correct.repeat(len(eps_grid), 1)
        chosen = correct.nonzero().squeeze(1)
        result[:, chosen] = run(model, images, labels, chosen, eps_grid, **settings)
        if label_rule == "predicted":
            wrong = (~correct).nonzero().squeeze(1)
            for row, eps in enumerate(eps_grid):
                moved = ON_PREDICTED[attack](
                    model, images[wrong], guessed[wrong], eps=eps, **settings
                )
                result[row, wrong] = predicted(model, moved) == labels[wrong]
    return result


def predicted(model: Model, images: Tensor) -> Tensor:
    """The class of each image, in evaluation mode.

    Raises:
        FloatingPointError: logits are not finite; their argmax would be silent garbage.
    """
    with frozen(model), torch.no_grad():
        logits = [model(batch) for batch in images.split(BATCH)]
    joined = torch.cat(logits) if logits else images.new_zeros((0, 1))
    if not torch.isfinite(joined).all():
        raise FloatingPointError("logits are not finite")
    return joined.argmax(1)


def at_each(
    chosen: Tensor, eps_grid: Grid, survived: Callable[[Tensor, Sequence[float]], Tensor]
) -> Tensor:
    """(len(eps_grid), n), from a function of (indices, eps grid), a batch at a time."""
    parts = [survived(at, eps_grid) for at in chosen.split(BATCH)]
    nothing = torch.zeros(len(eps_grid), 0, dtype=torch.bool, device=chosen.device)
    return torch.cat(parts, 1) if parts else nothing


def sweep_none(
    model: Model, images: Tensor, labels: Tensor, chosen: Tensor, eps_grid: Grid
) -> Tensor:
    """No attack: all that was correct stays correct."""
    return torch.ones(len(eps_grid), len(chosen), dtype=torch.bool, device=chosen.device)


def sweep_offsets(
    model: Model, images: Tensor, labels: Tensor, chosen: Tensor, eps_grid: Grid,
    offsets: list[Tensor],
) -> Tensor:  # fmt: skip
    """The same random draws at each eps."""

    def survived(at: Tensor, grid: Grid) -> Tensor:
        x, y, drawn = images[at], labels[at], [offset[at] for offset in offsets]
        moved = (worst_offset(model, x, y, eps, drawn) for eps in grid)
        return torch.stack([~misclassified(model, each, y) for each in moved])

    return at_each(chosen, eps_grid, survived)


def sweep_noise(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    *,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`noise` at each eps."""
    offsets = [uniform_offsets(images, generator) for _ in range(restarts)]
    return sweep_offsets(model, images, labels, chosen, eps_grid, offsets)


def sweep_sign_noise(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    *,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`sign_noise` at each eps."""
    offsets = [sign_offsets(images, generator) for _ in range(restarts)]
    return sweep_offsets(model, images, labels, chosen, eps_grid, offsets)


def sweep_class_means(
    model: Model, images: Tensor, labels: Tensor, chosen: Tensor, eps_grid: Grid, *, means: Tensor
) -> Tensor:
    """`class_means` at each eps."""

    def survived(at: Tensor, grid: Grid) -> Tensor:
        x, y = images[at], labels[at]
        moved = (class_means(model, x, y, eps=eps, means=means) for eps in grid)
        return torch.stack([~misclassified(model, each, y) for each in moved])

    return at_each(chosen, eps_grid, survived)


def sweep_fgsm(
    model: Model, images: Tensor, labels: Tensor, chosen: Tensor, eps_grid: Grid
) -> Tensor:
    """`fgsm` at each eps, from one gradient."""

    def survived(at: Tensor, grid: Grid) -> Tensor:
        x, y = images[at], labels[at]
        direction = ascent_direction(model, x, y)
        return torch.stack(
            [~misclassified(model, step_along(x, direction, eps), y) for eps in grid]
        )

    return at_each(chosen, eps_grid, survived)


def sweep_bim(
    model: Model, images: Tensor, labels: Tensor, chosen: Tensor, eps_grid: Grid
) -> Tensor:
    """`bim` at each eps; images leave the batch once they are broken."""

    def survived(at: Tensor, grid: Grid) -> Tensor:
        x, y = images[at], labels[at]
        return torch.stack(
            [
                ~ascend(model, x, y, x, eps, steps_for(eps), STEP, "ce", stop_early=True)[1]
                for eps in grid
            ]
        )

    return at_each(chosen, eps_grid, survived)


From = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(indices of images, (n, 1, 1, 1) eps) -> images found, whether they are misclassified."""


def searched(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    attack: From,
    known_distances: Tensor | None = None,
) -> Tensor:
    """Survival of the chosen images under an attack that searches."""

    def attempt(at: Tensor, eps: Tensor) -> Tensor:
        found, broken = attack(chosen[at], eps.view(-1, 1, 1, 1))
        return torch.where(broken, distances(found, images[chosen[at]]), torch.inf)

    if known_distances is None and len({*eps_grid}) > 1:
        guess = first_order(model, images[chosen], labels[chosen])
        return search(attempt, eps_grid, guess)
    if known_distances is None:
        return search(attempt, eps_grid, images.new_zeros(len(chosen)))
    return search(attempt, eps_grid, known_distances, known_distances)


def sweep_pgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    *,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
    precision: Precision = "float32",
) -> Tensor:
    """`pgd`; in `bfloat16` the way is searched, and in float32 what is broken is decided."""
    attack = pgd_from(
        model, images, labels, steps, step_size, restarts, loss, generator, precision
    )
    return searched(model, images, labels, chosen, eps_grid, attack)


def pgd_from(
    model: Model,
    images: Tensor,
    labels: Tensor,
    steps: int,
    step_size: float | None,
    restarts: int,
    loss: Loss,
    generator: torch.Generator | None,
    precision: Precision,
) -> From:
    """PGD of any of the images at any eps, from starts that depend on neither."""
    offsets = draw_starts(images, restarts, generator)
    scout = None if precision == "float32" else lowered(model)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        size = eps / 30 if step_size is None else step_size
        drawn = [offset[at] for offset in offsets]
        return restart_from(
            model, images[at], labels[at], eps, steps, size, loss, drawn, True, scout
        )

    return attack


def sweep_apgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    *,
    steps: int = 100,
    restarts: int = 1,
    loss: ApgdLoss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """`apgd`."""
    offsets = draw_starts(images, restarts, generator)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        drawn = [offset[at] for offset in offsets]
        return apgd_from(model, images[at], labels[at], eps, steps, loss, drawn)

    return searched(model, images, labels, chosen, eps_grid, attack)


def sweep_square(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
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
        return square_from(model, images[at], labels[at], eps, steps, restarts, again)

    return searched(model, images, labels, chosen, eps_grid, attack)


def minimal_distances(
    model: Model, images: Tensor, labels: Tensor, chosen: Tensor, steps: int
) -> Tensor:
    """FMN's distances of the chosen images, a batch at a time."""
    parts = [fmn_from(model, images[at], labels[at], steps)[1] for at in chosen.split(BATCH)]
    return torch.cat(parts) if parts else images.new_zeros(0)


def sweep_fmn(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    *,
    steps: int = 50,
) -> Tensor:
    """`fmn`: one computation for all eps."""
    distance = minimal_distances(model, images, labels, chosen, steps)
    grid = torch.tensor(eps_grid, dtype=distance.dtype, device=distance.device)
    return distance[None] > grid[:, None] + TOLERANCE


def sweep_fmn_pgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    *,
    steps: int = 40,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
    precision: Precision = "float32",
) -> Tensor:
    """FMN once, and `pgd` just below what it found: stronger than `pgd` alone, and cheaper."""
    near = minimal_distances(model, images, labels, chosen, FMN_STEPS)
    attack = pgd_from(model, images, labels, steps, None, restarts, loss, generator, precision)
    return searched(model, images, labels, chosen, eps_grid, attack, near)


def sweep_strong(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    *,
    steps: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`strong`: FMN once, and just below what it found the rest."""
    offsets = draw_starts(images, 1, generator)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        drawn = [offset[at] for offset in offsets]
        return strong_from(model, images[at], labels[at], eps, steps, drawn)

    near = minimal_distances(model, images, labels, chosen, steps)
    return searched(model, images, labels, chosen, eps_grid, attack, near)


def sweep_transfer(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    *,
    source: Model,
    steps: int = 40,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD's images of another network, the `source`, shown to this one at each eps."""
    offsets = draw_starts(images, restarts, generator)

    def survived(at: Tensor, grid: Grid) -> Tensor:
        x, y, drawn = images[at], labels[at], [offset[at] for offset in offsets]
        with frozen(source):
            moved = [
                restart_from(source, x, y, eps, steps, eps / 30, loss, drawn)[0] for eps in grid
            ]
        return torch.stack([~misclassified(model, each, y) for each in moved])

    return at_each(chosen, eps_grid, survived)


def sweep_spatial_pgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Grid,
    *,
    views: Tensor,
    steps: int = 40,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD around any of the `views` of an image, turns and shifts of it: (number, n, 1, h, w)."""
    offsets = draw_starts(images, restarts, generator)

    def attempt(at: Tensor, eps: Tensor) -> Tensor:
        at, drawn = chosen[at], [offset[chosen[at]] for offset in offsets]
        broken = spatial_pgd_from(
            model, views[:, at], labels[at], eps.view(-1, 1, 1, 1), steps, drawn, loss
        )
        return torch.where(broken, eps, torch.inf)

    return search(attempt, eps_grid, first_order(model, views[0, chosen], labels[chosen]))


SWEEPS: dict[str, Callable[..., Tensor]] = {
    "none": sweep_none,
    "noise": sweep_noise,
    "sign-noise": sweep_sign_noise,
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
