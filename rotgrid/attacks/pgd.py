"""PGD: projected gradient ascent in the eps-ball (Madry et al. 2018, section 2.1)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from rotgrid.attacks.case import Case, survival_by_search
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import (
    Loss,
    Model,
    Radius,
    finite_logits,
    frozen,
    in_batches,
    indices,
    input_gradient,
    unchecked_gradient,
    unchecked_logits,
)
from rotgrid.attacks.starts import StartsOfSome, draw_starts, require_starts
from rotgrid.attacks.threats import LINF, THREATS, Threat
from rotgrid.spec.vocabulary import ThreatName


@checked
def pgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
    threat: ThreatName = "linf",
) -> Tensor:
    """The adversarial images found by gradient ascent: signed, or `l2` normalised.

    With a `generator` every restart begins at a uniformly random point of the ball. Without one
    the first begins at the image itself, so the result is deterministic, and further ones at
    points drawn from a generator of fixed seed. Success is judged per image over all iterates of
    all restarts: an image gets its last iterate if that is misclassified, else its latest
    misclassified one, else the last iterate.

    Args:
        model: logits from pixels in [0, 1]; attacked in evaluation mode.
        images: (batch, 1, height, width) in [0, 1].
        labels: (batch,) true labels.
        eps: radius in pixel units, L-infinity or that of the `threat`.
        steps: gradient steps; with 0 the starts are looked at, which must then be random.
        step_size: in pixel units; by default eps / 30, as Madry et al.'s 0.01 for eps 0.3.
        restarts: number of starts; those after the first only attack images still correct.
        loss: `ce` or `margin`.
        threat: `linf` or `l2`, see `rotgrid.attacks.threats`.

    Raises:
        ValueError: an argument has the wrong type, shape or range (`rotgrid.attacks.checks`), or
            nothing would be tried.
        FloatingPointError: logits or gradients are not finite.
    """
    require_starts(steps, restarts, generator)
    ball = THREATS[threat]
    offsets = draw_starts(images, restarts, generator, ball.offsets)
    step_size = eps / 30 if step_size is None else step_size
    return pgd_from(model, images, labels, eps, steps, step_size, loss, offsets, threat=ball)[0]


def pgd_from(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: Radius,
    steps: int,
    step_size: Radius,
    loss: Loss,
    offsets: Iterable[Tensor],
    stop_early: bool = False,
    threat: Threat = LINF,
) -> tuple[Tensor, Tensor]:
    """Adversarial images and whether each is misclassified, from starts at x + eps * offset.

    eps and step size are one for all images or (batch, 1, 1, 1). With `stop_early` an image gets
    its first misclassified iterate.
    """
    loop = pgd_until_broken if stop_early else pgd_loop
    found = images.clone()
    broken = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    with frozen(model):
        for offset in offsets:
            left = (~broken).nonzero().squeeze(1)
            if not len(left):
                break
            x, radius = images[left], radius_of(eps, left)
            start = threat.project(x + radius * offset[left], x, radius)
            found[left], broken[left] = loop(
                model, x, labels[left], start, radius, steps, radius_of(step_size, left), loss,
                threat,
            )  # fmt: skip
    return found, broken


def radius_of(radius: Radius, chosen: Tensor) -> Radius:
    """The radii of chosen images."""
    return radius[chosen] if isinstance(radius, Tensor) else radius


def pgd_loop(
    model: Model,
    images: Tensor,
    labels: Tensor,
    start: Tensor,
    eps: Radius,
    steps: int,
    step_size: Radius,
    loss: Loss,
    threat: Threat = LINF,
    check: bool = True,
) -> tuple[Tensor, Tensor]:
    """The attack loop over a whole batch: the images as `pgd` returns them, and which are broken.

    Without `check` nobody looks whether numbers are finite, and no GPU is waited for.
    """
    gradient_of = input_gradient if check else unchecked_gradient
    logits_of = finite_logits if check else unchecked_logits
    found = current = start
    broken = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    region = threat.region(images, eps)
    for _ in range(steps):
        logits, gradient = gradient_of(model, current, labels, loss)
        wrong = logits.argmax(1) != labels
        found, broken = torch.where(wrong[:, None, None, None], current, found), broken | wrong
        current = threat.nearest(current + step_size * threat.steepest(gradient), *region)
    wrong = logits_of(model, current).argmax(1) != labels
    earlier = (broken & ~wrong)[:, None, None, None]
    return torch.where(earlier, found, current), broken | wrong


def pgd_until_broken(
    model: Model,
    images: Tensor,
    labels: Tensor,
    start: Tensor,
    eps: Radius,
    steps: int,
    step_size: Radius,
    loss: Loss,
    threat: Threat = LINF,
) -> tuple[Tensor, Tensor]:
    """`pgd_loop` in which an image leaves the batch once it is misclassified."""
    found = start.clone()
    broken = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    active, current = indices(images), start
    region = threat.region(images, eps)
    for step in range(steps + 1):
        if step < steps:
            logits, gradient = input_gradient(model, current, labels, loss)
        else:
            logits, gradient = finite_logits(model, current), current
        wrong = logits.argmax(1) != labels
        if wrong.any():
            found[active[wrong]], broken[active[wrong]] = current[wrong], True
            left = ~wrong
            active, labels, current, gradient = (
                part[left] for part in (active, labels, current, gradient)
            )
            region, step_size = [part[left] for part in region], radius_of(step_size, left)
        if step == steps or not len(active):
            break
        current = threat.nearest(current + step_size * threat.steepest(gradient), *region)
    found[active] = current
    return found, broken


def survival(
    case: Case,
    *,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
    known_distances: Tensor | None = None,
    once_more: bool = False,
) -> Tensor:
    """`pgd`, below the distances already known if any."""
    require_starts(steps, restarts, generator)
    offsets = draw_starts(case.images, restarts, generator, case.threat.offsets)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        size = eps / 30 if step_size is None else step_size
        starts = StartsOfSome(offsets, at)
        return pgd_from(*case.batch(at), eps, steps, size, loss, starts, True, case.threat)

    return survival_by_search(case, attack, known_distances, once_more)


def perturb(
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
        x, y, starts = images[at], labels[at], StartsOfSome(offsets, at)
        return pgd_from(model, x, y, eps, steps, size, loss, starts)[0]

    return in_batches(moved, indices(images), images.dtype)
