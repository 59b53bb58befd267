"""Auto-PGD: PGD that sets its own step size (Croce and Hein 2020, section 3, algorithm 1)."""

import itertools
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rotgrid.attacks.case import Case, survival_by_search
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import (
    Model,
    finite_logits,
    frozen,
    input_gradient,
    misclassified,
    true_and_wrong,
)
from rotgrid.attacks.starts import StartsOfSome, draw_starts, require_starts
from rotgrid.attacks.threats import LINF, THREATS, Threat
from rotgrid.spec import entry_named
from rotgrid.spec.vocabulary import ThreatName

ApgdLoss = Literal["ce", "dlr"]
PerImage = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What is climbed, one value per image, from logits, true labels and target classes."""

TARGETS = 9
MOMENTUM = 0.75
RISING = 0.75
"""rho: the step is halved unless more than this share of a window's steps raised the loss."""


@checked
def apgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    restarts: int = 1,
    loss: ApgdLoss = "ce",
    generator: torch.Generator | None = None,
    threat: ThreatName = "linf",
) -> Tensor:
    """The adversarial images found by Auto-PGD: APGD-CE, or APGD-T on the targeted DLR loss.

    An image gets the first misclassified iterate of any run; itself if it needs no attack; if
    nothing breaks it, the iterate of highest loss in its last run. Starts are those of
    `rotgrid.attacks.pgd`, scaled to the surface of the ball: so that the largest entry of each
    offset is eps, or `l2` its Euclidean norm.

    Args:
        model, images, labels, eps: those of `rotgrid.attacks.fgsm`.
        steps: of each run; with 0 the starts are looked at, which must then be random.
        restarts: number of starts; `dlr` runs from each of them toward each target.
        loss: `ce`, or `dlr` toward each of up to 9 wrong classes, most likely first.
        generator: of the random starts; without one the first start is the image itself.
        threat: `linf` or `l2`, see `rotgrid.attacks.threats`.

    Raises:
        ValueError: an argument has the wrong type, shape or range (`rotgrid.attacks.checks`), or
            nothing would be tried.
        FloatingPointError: logits or gradients are not finite.
    """
    require_starts(steps, restarts, generator)
    ball = THREATS[threat]
    offsets = draw_starts(images, restarts, generator, ball.offsets)
    radius = images.new_full((len(images), 1, 1, 1), eps)
    return apgd_from(model, images, labels, radius, steps, loss, offsets, threat=ball)[0]


def apgd_from(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: Tensor,
    steps: int,
    loss: ApgdLoss,
    offsets: Iterable[Tensor],
    fresh: bool = False,
    threat: Threat = LINF,
) -> tuple[Tensor, Tensor]:
    """Adversarial images and whether each is misclassified, at an eps (m, 1, 1, 1) per image.

    `dlr` uses the same offsets toward every target. With `fresh` each run has its own, as in the
    original: there are as many runs as offsets, and targets come in turn.
    """
    if (climbed := entry_named(loss, LOSSES)) is None:
        raise ValueError(f"loss {loss!r} is neither ce nor dlr")
    found, broken = images.clone(), torch.zeros_like(labels, dtype=torch.bool)
    if not len(images):
        return found, broken
    with frozen(model):
        broken = misclassified(model, images, labels)
        targets = wrong_classes(model, images, labels) if loss == "dlr" else labels[:, None]
        for target, offset in runs(targets, offsets, fresh):
            left = (~broken).nonzero().squeeze(1)
            if not len(left):
                break
            case = (images[left], labels[left], target[left], eps[left])
            ascent = begin(model, *case, offset[left], climbed, threat)
            found[left], broken[left] = climb(model, ascent, steps, climbed, threat)
    return found, broken


def runs(
    targets: Tensor, offsets: Iterable[Tensor], fresh: bool
) -> Iterable[tuple[Tensor, Tensor]]:
    """The target classes (m,) and the offsets of each run."""
    each = targets.unbind(1)
    if fresh:
        return zip(itertools.cycle(each), offsets, strict=False)
    return ((target, offset) for target in each for offset in offsets)


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """-log p(true class); the targets do not matter."""
    return F.cross_entropy(logits, labels, reduction="none")


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Difference of logits ratio (section 4): (z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2).

    The ratio needs four classes. With fewer the difference alone is climbed: the attack uses only
    signs and comparisons, which no scale of the logits changes.
    """
    difference = (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None]))[:, 0]
    if logits.shape[1] < 4:
        return difference
    top = logits.topk(4).values
    return difference / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + 1e-12)


LOSSES: dict[str, PerImage] = {"ce": cross_entropy, "dlr": targeted_dlr}


def wrong_classes(model: Model, images: Tensor, labels: Tensor) -> Tensor:
    """Up to 9 classes other than the label, by falling logit: (m, min(9, classes - 1))."""
    _, others = true_and_wrong(finite_logits(model, images), labels)
    order = others.argsort(dim=1, descending=True, stable=True)
    return order[:, : min(TARGETS, others.shape[1] - 1)]


def halving_steps(steps: int) -> dict[int, int]:
    """The steps after which the step size may be halved, each with the length of its window.

    Windows are 22 % of the steps, then each 3 % shorter, at least 6 %, rounded down as in the
    authors' code.
    """
    shrink, shortest = max(steps * 3 // 100, 1), max(steps * 6 // 100, 1)
    window, end, ends = max(steps * 22 // 100, 1), 0, {}
    while (end := end + window) <= steps:
        ends[end] = window
        window = max(window - shrink, shortest)
    return ends


class Ascent(NamedTuple):
    """Where the runs stand, a row per image that is still attacked."""

    images: Tensor
    labels: Tensor
    targets: Tensor
    eps: Tensor
    step_size: Tensor
    before: Tensor
    """The iterate before `point`."""
    point: Tensor
    wrong: Tensor
    """Whether `point` is misclassified."""
    loss: Tensor
    gradient: Tensor
    best: Tensor
    best_loss: Tensor
    best_gradient: Tensor
    rises: Tensor
    """Steps since the last checkpoint that raised the loss."""
    checked_loss: Tensor
    """The best loss at the last checkpoint."""
    halved: Tensor
    """Whether the last checkpoint halved the step size."""


def begin(
    model: Model,
    images: Tensor,
    labels: Tensor,
    targets: Tensor,
    eps: Tensor,
    offset: Tensor,
    climbed: PerImage,
    threat: Threat = LINF,
) -> Ascent:
    """Runs at their starts: x + eps * offset, the offset scaled to a length of 1."""
    size = threat.size(offset)[:, None, None, None]
    scaled = offset / size.clamp(min=torch.finfo(offset.dtype).tiny)
    start = threat.project(images + eps * scaled, images, eps)
    wrong, loss, gradient = loss_and_gradient(model, start, labels, targets, climbed)
    return Ascent(
        images, labels, targets, eps, step_size=2 * eps, before=start, point=start, wrong=wrong,
        loss=loss, gradient=gradient, best=start, best_loss=loss, best_gradient=gradient,
        rises=torch.zeros_like(labels), checked_loss=loss, halved=torch.ones_like(wrong),
    )  # fmt: skip


def climb(
    model: Model, ascent: Ascent, steps: int, climbed: PerImage, threat: Threat
) -> tuple[Tensor, Tensor]:
    """The attack loop; an image leaves it once it is misclassified."""
    found, broken = ascent.point.clone(), torch.zeros_like(ascent.wrong)
    active = torch.arange(len(found), device=found.device)
    ends = halving_steps(steps)
    for step in range(steps + 1):
        if step > 0:
            ascent = advance(model, ascent, climbed, 1.0 if step == 1 else MOMENTUM, threat)
        if ascent.wrong.any():
            found[active[ascent.wrong]] = ascent.point[ascent.wrong]
            broken[active[ascent.wrong]] = True
            left = ~ascent.wrong
            active, ascent = active[left], Ascent(*(field[left] for field in ascent))
        if not len(active):
            return found, broken
        if step in ends:
            ascent = halve_where_stuck(ascent, ends[step])
    found[active] = ascent.best
    return found, broken


def advance(
    model: Model, ascent: Ascent, climbed: PerImage, weight: float, threat: Threat = LINF
) -> Ascent:
    """One step: `weight` times the projected one, the rest along the last move."""
    images, point, eps = ascent.images, ascent.point, ascent.eps
    direction = threat.steepest(ascent.gradient)
    stepped = threat.project(point + ascent.step_size * direction, images, eps)
    last_move = point - ascent.before
    mixed = point + weight * (stepped - point) + (1 - weight) * last_move
    moved = threat.project(mixed, images, eps)
    wrong, loss, gradient = loss_and_gradient(model, moved, ascent.labels, ascent.targets, climbed)
    better = loss > ascent.best_loss
    per_pixel = better[:, None, None, None]
    return ascent._replace(
        before=point,
        point=moved,
        wrong=wrong,
        loss=loss,
        gradient=gradient,
        best=torch.where(per_pixel, moved, ascent.best),
        best_loss=torch.where(better, loss, ascent.best_loss),
        best_gradient=torch.where(per_pixel, gradient, ascent.best_gradient),
        rises=ascent.rises + (loss > ascent.loss),
    )


def halve_where_stuck(ascent: Ascent, window: int) -> Ascent:
    """Half the step, and back to the best point, if the loss rarely rose or its best stood still.

    The second condition needs a last checkpoint that did not halve. The next window's first rise
    is counted against the abandoned iterate, as in the authors' code; the very first against the
    start, as in algorithm 1, where their code compares with 0.
    """
    stands_still = ~ascent.halved & (ascent.best_loss <= ascent.checked_loss)
    stuck = (ascent.rises <= RISING * window) | stands_still
    per_pixel = stuck[:, None, None, None]
    return ascent._replace(
        step_size=torch.where(per_pixel, ascent.step_size / 2, ascent.step_size),
        point=torch.where(per_pixel, ascent.best, ascent.point),
        gradient=torch.where(per_pixel, ascent.best_gradient, ascent.gradient),
        rises=torch.zeros_like(ascent.rises),
        checked_loss=ascent.best_loss,
        halved=stuck,
    )


def loss_and_gradient(
    model: Model, points: Tensor, labels: Tensor, targets: Tensor, climbed: PerImage
) -> tuple[Tensor, Tensor, Tensor]:
    """Whether each point is misclassified, its loss, and the gradient there."""

    def total(logits: Tensor, labels: Tensor) -> Tensor:
        return climbed(logits, labels, targets).sum()

    logits, gradient = input_gradient(model, points, labels, total)
    return logits.argmax(1) != labels, climbed(logits, labels, targets), gradient


def survival(
    case: Case,
    *,
    steps: int = 100,
    restarts: int = 1,
    loss: ApgdLoss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """`apgd`."""
    require_starts(steps, restarts, generator)
    offsets = draw_starts(case.images, restarts, generator, case.threat.offsets)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        starts = StartsOfSome(offsets, at)
        return apgd_from(*case.batch(at), eps, steps, loss, starts, threat=case.threat)

    return survival_by_search(case, attack, once_more=True)
