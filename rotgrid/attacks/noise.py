"""Random noise: what a perturbation does that knows nothing of the model. A baseline."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rotgrid.attacks.case import Case, no_attack
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import (
    Model,
    frozen,
    in_batches,
    misclassified,
    require_restarts,
)
from rotgrid.attacks.starts import Draw, uniform_offsets
from rotgrid.attacks.threats import LINF, THREATS, Threat
from rotgrid.spec.vocabulary import ThreatName


@checked
def noise(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    restarts: int = 1,
    generator: torch.Generator | None = None,
    threat: ThreatName = "linf",
) -> Tensor:
    """clip(x + U(-eps, eps), 0, 1); of several draws (`restarts`) the last that misclassifies.

    In `l2` they are uniform in the Euclidean ball. Draws are made one at a time. Without a
    generator they are those of a fixed seed. Args and errors are those of `rotgrid.attacks.fgsm`.
    """
    ball = THREATS[threat]
    return worst_draw(model, images, labels, eps, restarts, generator, ball.offsets, ball)


@checked
def sign_noise(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """As `noise`, with every pixel moved by the whole eps up or down: the corners of the ball."""
    return worst_draw(model, images, labels, eps, restarts, generator, sign_offsets)


def sign_offsets(images: Tensor, generator: torch.Generator) -> Tensor:
    """-1 or 1 per pixel, in units of eps."""
    return torch.where(uniform_offsets(images, generator) < 0, -1.0, 1.0).to(images.dtype)


def draws(
    draw: Draw, images: Tensor, restarts: int, generator: torch.Generator | None
) -> Iterator[Tensor]:
    """The offsets of each draw in units of eps, in turn."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    return (draw(images, generator) for _ in range(restarts))


def worst_draw(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: float,
    restarts: int,
    generator: torch.Generator | None,
    draw: Draw,
    threat: Threat = LINF,
) -> Tensor:
    """The images moved by eps times the last offset that misclassifies, else by the first."""
    require_restarts(restarts)
    worst = images
    with frozen(model):
        for drawn, offset in enumerate(draws(draw, images, restarts, generator)):
            moved = threat.project(images + eps * offset, images, eps)
            taken = misclassified(model, moved, labels) | (drawn == 0)
            worst = torch.where(taken[:, None, None, None], moved, worst)
    return worst


def noise_survival(
    case: Case, *, restarts: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """`noise` at each eps, by the same draws."""
    return survival(case, restarts, generator, case.threat.offsets)


def sign_noise_survival(
    case: Case, *, restarts: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """`sign_noise` at each eps, by the same draws."""
    return survival(case, restarts, generator, sign_offsets)


def survival(case: Case, restarts: int, generator: torch.Generator | None, draw: Draw) -> Tensor:
    """Survival of all draws. One that breaks an image at an eps is its last one there."""
    require_restarts(restarts)
    survived = no_attack(case)
    for offset in draws(draw, case.images, restarts, generator):
        for row, eps in enumerate(case.eps_grid):
            left = survived[row].nonzero().squeeze(1)
            survived[row, left] = ~broken_by(case, offset, eps, case.chosen[left])
    return survived


def broken_by(case: Case, offset: Tensor, eps: float, chosen: Tensor) -> Tensor:
    """Which of the chosen images eps times the offset breaks: bool (len(chosen),)."""

    def broken(at: Tensor) -> Tensor:
        model, x, y = case.batch(at)
        return misclassified(model, case.threat.project(x + eps * offset[at], x, eps), y)

    return in_batches(broken, chosen, torch.bool)
