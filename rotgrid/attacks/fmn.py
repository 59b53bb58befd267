"""FMN: the distance of each image to the decision boundary (Pintor et al. 2021, algorithm 1).

A point climbs a loss within a ball that grows while the point is classified correctly and
shrinks once it is not. We depart from the original in what makes the bound tighter:

* The radius goes to where the margin would vanish if it were linear, FAB's five percent farther,
  from either side of the boundary and counting only pixels that [0, 1] lets move; in L2 the
  others do not count in the direction of a step either. The original
  does so before the first success; then the radius changes by gamma, from 5 % to 0.1 %.
* Steps are in units of the radius, and in L-inf follow the sign of the gradient, not the gradient
  over its Euclidean norm.
* What is climbed is the margin over an average of the wrong classes, which narrows to the
  highest of them toward the boundary: the runner-up at the image is often not the nearest class.
  The original climbs the margin over the highest.
* The radius stays below what is found, and the end of the last step counts too.
"""

import functools
import math

import torch
from torch import Tensor

from rotgrid.attacks.boundary import boundary_radius, soft_margin
from rotgrid.attacks.case import Case, nearest_distances, survival_by_distance
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import (
    TOLERANCE,
    Model,
    frozen,
    indices,
    input_gradient,
    margins,
    misclassified,
    require_steps,
)
from rotgrid.attacks.threats import LINF, THREATS, Threat
from rotgrid.spec.vocabulary import ThreatName

OVERSHOOT = 1.05
"""Of the step to the linear boundary, as FAB's eta; 1 would stop on it, correct by a hair."""

GAMMA = 0.05
"""By this share, times that of the step, the radius is at least smaller than what is found."""


@checked
def fmn(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float = math.inf,
    steps: int = 100,
    generator: torch.Generator | None = None,
    threat: ThreatName = "linf",
) -> Tensor:
    """The nearest misclassified images found, where at most eps away; else the images.

    Args and errors are those of `rotgrid.attacks.fgsm`, and:
        steps: gradient steps, at least 1.
        generator: not used, since nothing is random.
        threat: of the distance, `linf` or `l2` (`rotgrid.attacks.threats`).
    """
    require_steps(steps)
    found, distance = fmn_from(model, images, labels, steps, THREATS[threat])
    return where_within(eps, found, distance, images)


@checked
def distances(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int = 100,
    threat: ThreatName = "linf",
) -> Tensor:
    """(batch,): distance of the nearest misclassified image found, in pixel units.

    It bounds the distance to the decision boundary from above: 0 where the image itself is
    misclassified, inf where nothing was found in [0, 1]. Args and errors are those of `fmn`.
    """
    require_steps(steps)
    search = functools.partial(fmn_from, steps=steps, threat=THREATS[threat])
    return nearest_distances(search, model, images, labels, indices(images))


def fmn_from(
    model: Model, images: Tensor, labels: Tensor, steps: int, threat: Threat = LINF
) -> tuple[Tensor, Tensor]:
    """The nearest misclassified images found (else the images), and their distance (else inf)."""
    found, current = images.clone(), images
    distance = images.new_full((len(images),), torch.inf)
    with frozen(model):
        for step in range(steps):
            share = 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
            logits, gradient = input_gradient(model, current, labels, soft_margin)
            wrong = logits.argmax(1) != labels
            found, distance = nearest_so_far(found, distance, current, images, wrong, threat)
            direction, slope = threat.within_box(gradient, current, images)
            radius = boundary_radius(
                threat.size(current - images), slope, margins(logits, labels), OVERSHOOT
            )
            radius = torch.minimum(radius, (1 - GAMMA * share) * distance)
            radius = radius.clamp(max=threat.diameter(images))[:, None, None, None]
            current = threat.project(current + share * radius * direction, images, radius)
        wrong = misclassified(model, current, labels)
    return nearest_so_far(found, distance, current, images, wrong, threat)


def where_within(eps: float, found: Tensor, distance: Tensor, images: Tensor) -> Tensor:
    """What was found, where it is at most eps away; else the images."""
    return torch.where((distance <= eps + TOLERANCE)[:, None, None, None], found, images)


def nearest_so_far(
    found: Tensor,
    distance: Tensor,
    current: Tensor,
    images: Tensor,
    wrong: Tensor,
    threat: Threat = LINF,
) -> tuple[Tensor, Tensor]:
    """What was found, replaced by the current point where that is misclassified and nearer."""
    moved = threat.size(current - images)
    better = wrong & (moved < distance)
    found = torch.where(better[:, None, None, None], current, found)
    return found, torch.where(better, moved, distance)


def minimal_distances(case: Case, steps: int) -> Tensor:
    """FMN's distances of the chosen images, a batch at a time."""
    search = functools.partial(fmn_from, steps=steps, threat=case.threat)
    return nearest_distances(search, case.model, case.images, case.labels, case.chosen)


def survival(case: Case, *, steps: int = 50) -> Tensor:
    """`fmn`: one computation for all eps."""
    require_steps(steps)
    return survival_by_distance(case, functools.partial(fmn_from, steps=steps, threat=case.threat))
