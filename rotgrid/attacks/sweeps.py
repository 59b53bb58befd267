"""Robust accuracy over a grid of eps, for any attack, sharing what the eps have in common."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from rotgrid.attacks.fgsm import ascent_direction, step_along
from rotgrid.attacks.noise import worst_offset
from rotgrid.attacks.pgd import draw_starts, restart_from
from rotgrid.attacks.threat import Loss, Model, frozen, require_valid, uniform_offsets
from rotgrid.spec import Attack, known

BATCH = 250
"""Images attacked at once; it does not affect results beyond float noise."""


def sweep(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    attack: Attack,
    eps_grid: Sequence[float],
    **settings: object,
) -> Tensor:
    """Whether each image is still classified correctly at each eps: bool (len(eps_grid), n).

    Images that are wrong without attack are errors at every eps and are not attacked. Each eps
    is measured by itself: its row does not depend on the others in the grid, and curves of FGSM
    need not fall. `settings` are those of the attack (`steps`, `step_size`, `restarts`, `loss`,
    `generator`); the random starts are the same directions at every eps.

    Raises:
        ValueError: an unknown attack, pixels or eps outside [0, 1].
        TypeError: a setting that the attack does not have.
    """
    for eps in eps_grid:
        require_valid(images, labels, eps)
    if (run := known(attack, SWEEPS)) is None:
        raise ValueError(f"no attack {attack!r}; choose from {', '.join(SWEEPS)}")
    with frozen(model):
        correct = predicted(model, images) == labels
        result = correct.repeat(len(eps_grid), 1)
        chosen = correct.nonzero().squeeze(1)
        for row, indices, survived in run(model, images, labels, chosen, eps_grid, **settings):
            result[row, indices] = survived
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


Found = Iterator[tuple[int, Tensor, Tensor]]
"""(row of the grid, indices of images, whether they are still correct)."""


def sweep_none(
    model: Model, images: Tensor, labels: Tensor, chosen: Tensor, eps_grid: Sequence[float]
) -> Found:
    """No attack: all that was correct stays correct."""
    yield from ()


def sweep_noise(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Sequence[float],
    *,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Found:
    """`noise` at each eps, by the same draws."""
    offsets = [uniform_offsets(images, generator) for _ in range(restarts)]
    for at in chosen.split(BATCH):
        drawn = [offset[at] for offset in offsets]
        for row, eps in enumerate(eps_grid):
            moved = worst_offset(model, images[at], labels[at], eps, drawn)
            yield row, at, predicted(model, moved) == labels[at]


def sweep_fgsm(
    model: Model, images: Tensor, labels: Tensor, chosen: Tensor, eps_grid: Sequence[float]
) -> Found:
    """`fgsm` at each eps, from one gradient."""
    for at in chosen.split(BATCH):
        direction = ascent_direction(model, images[at], labels[at])
        for row, eps in enumerate(eps_grid):
            moved = step_along(images[at], direction, eps)
            yield row, at, predicted(model, moved) == labels[at]


def sweep_pgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    eps_grid: Sequence[float],
    *,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
) -> Found:
    """`pgd` at each eps; images leave the batch once they are broken."""
    offsets = draw_starts(images, restarts, generator)
    for row, eps in enumerate(eps_grid):
        size = eps / 30 if step_size is None else step_size
        for at in chosen.split(BATCH):
            drawn = [offset[at] for offset in offsets]
            _, broken = restart_from(
                model, images[at], labels[at], eps, steps, size, loss, drawn, stop_early=True
            )
            yield row, at, ~broken


SWEEPS: dict[str, Callable[..., Found]] = {
    "none": sweep_none,
    "noise": sweep_noise,
    "fgsm": sweep_fgsm,
    "pgd": sweep_pgd,
}
