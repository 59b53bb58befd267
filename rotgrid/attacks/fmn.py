"""FMN: the distance of each image to the decision boundary (Pintor et al. 2021, algorithm 1).

A point climbs a loss within a ball that grows while the point is classified correctly and
shrinks once it is not. In L-inf we depart from the original in what makes the bound tighter:

* The radius goes to where the margin would vanish if it were linear, FAB's five percent farther,
  from either side of the boundary and counting only pixels that [0, 1] lets move. The original
  does so before the first success; then the radius changes by gamma, from 5 % to 0.1 %.
* Steps follow the sign of the gradient in units of the radius, not the gradient over its
  Euclidean norm.
* What is climbed is the margin over an average of the wrong classes, which narrows to the
  highest of them toward the boundary: the runner-up at the image is often not the nearest class.
  The original climbs the margin over the highest.
* The radius stays below what is found, and the end of the last step counts too.
"""

import math

import torch
from torch import Tensor

from rotgrid.attacks.case import Case
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import (
    TOLERANCE,
    Model,
    frozen,
    in_batches,
    indices,
    input_gradient,
    margins,
    misclassified,
    project,
    require_steps,
    true_and_wrong,
)
from rotgrid.attacks.linf import distances as moved_by

OVERSHOOT = 1.05
"""Of the step to the linear boundary, as FAB's eta; 1 would stop on it, correct by a hair."""

GAMMA = 0.05
"""By this share, times that of the step, the radius is at least smaller than what is found."""

TEMPERATURE = 0.3
"""Of the average over wrong classes, in units of the margin."""


@checked
def fmn(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float = 1.0,
    steps: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The nearest misclassified images found, where at most eps away; else the images.

    Args and errors are those of `rotgrid.attacks.fgsm`, and:
        steps: gradient steps, at least 1.
        generator: not used, since nothing is random.
    """
    require_steps(steps)
    found, distance = fmn_from(model, images, labels, steps)
    within = distance <= eps + TOLERANCE
    return torch.where(within[:, None, None, None], found, images)


@checked
def distances(model: Model, images: Tensor, labels: Tensor, *, steps: int = 100) -> Tensor:
    """(batch,): L-inf distance of the nearest misclassified image found, in pixel units.

    It bounds the distance to the decision boundary from above: 0 where the image itself is
    misclassified, inf where nothing was found in [0, 1]. Args and errors are those of `fmn`.
    """
    require_steps(steps)

    def found(at: Tensor) -> Tensor:
        return fmn_from(model, images[at], labels[at], steps)[1]

    with frozen(model):
        return in_batches(found, indices(images), images.dtype)


def fmn_from(model: Model, images: Tensor, labels: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The nearest misclassified images found (else the images), and their distance (else inf)."""
    found, current = images.clone(), images
    distance = images.new_full((len(images),), torch.inf)
    with frozen(model):
        for step in range(steps):
            share = 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
            logits, gradient = input_gradient(model, current, labels, soft_margin)
            wrong = logits.argmax(1) != labels
            found, distance = nearest_so_far(found, distance, current, images, wrong)
            radius = boundary_radius(current, images, labels, logits, gradient)
            radius = torch.minimum(radius, (1 - GAMMA * share) * distance)
            radius = radius.clamp(max=1)[:, None, None, None]
            current = project(current + share * radius * gradient.sign(), images, radius)
        wrong = misclassified(model, current, labels)
    return nearest_so_far(found, distance, current, images, wrong)


def nearest_so_far(
    found: Tensor, distance: Tensor, current: Tensor, images: Tensor, wrong: Tensor
) -> tuple[Tensor, Tensor]:
    """What was found, replaced by the current point where that is misclassified and nearer."""
    moved = moved_by(current, images)
    better = wrong & (moved < distance)
    found = torch.where(better[:, None, None, None], current, found)
    return found, torch.where(better, moved, distance)


def boundary_radius(
    current: Tensor, images: Tensor, labels: Tensor, logits: Tensor, gradient: Tensor
) -> Tensor:
    """(batch,): the L-inf distance from the image at which the margin, if linear, vanishes."""
    moved = moved_by(current, images)
    pushed = images + moved[:, None, None, None] * gradient.sign()
    free = (pushed >= 0) & (pushed <= 1)
    slope = (gradient.abs() * free).flatten(1).sum(1).clamp(min=1e-12)
    return (moved - OVERSHOOT * margins(logits, labels) / slope).clamp(min=0)


def soft_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The average of the wrong logits, by a softmax, minus the true one; summed over the batch.

    The temperature of the softmax is a share of the margin, so that the scale of logits does not
    matter.
    """
    true, wrong = true_and_wrong(logits.detach(), labels)
    highest = wrong.amax(1)
    temperature = TEMPERATURE * (highest - true).abs()
    temperature = temperature.clamp(min=torch.finfo(logits.dtype).tiny)[:, None]
    weights = ((wrong - highest[:, None]) / temperature).softmax(1)
    return (weights * logits).sum() - logits.gather(1, labels[:, None]).sum()


def minimal_distances(case: Case, steps: int) -> Tensor:
    """FMN's distances of the chosen images, a batch at a time."""
    return in_batches(
        lambda at: fmn_from(*case.batch(at), steps)[1], case.chosen, case.images.dtype
    )


def survival(case: Case, *, steps: int = 50) -> Tensor:
    """`fmn`: one computation for all eps."""
    require_steps(steps)
    distance = minimal_distances(case, steps)
    grid = torch.tensor(case.eps_grid, dtype=distance.dtype, device=distance.device)
    return distance[None] > grid[:, None] + TOLERANCE
