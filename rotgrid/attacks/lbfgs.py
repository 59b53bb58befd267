"""Box-constrained L-BFGS: the first attack on networks (Szegedy et al. 2013, section 4.1).

Of the perturbations r that keep x + r within [0, 1] it minimises |r|^2 + c * cross-entropy(x + r,
target), and searches for the least weight c with which x + r is misclassified: that r is about
the shortest, if no third class is near. Images are attacked together, each with its own c, target,
step and memory: a two-loop recursion on the pixels that are free to move, and clipping to [0, 1]
(Bertsekas 1982). Each step is one gradient of each image, whether it is kept or made shorter.

The paper, CleverHans 2 and Foolbox 1 call scipy's L-BFGS-B for an image at a time. As there the
attack is targeted. The paper and CleverHans are given the class; Foolbox takes that which a step
along the gradient ends in. Here it is the class whose boundary is nearest if logits are linear
(as in DeepFool), of the 9 with the largest logits, and as in Foolbox the nearest misclassified
point on the way is what counts, whatever its class. In further departures c begins where the
minimum would lie on that boundary, in place of a small constant; and each minimisation begins
where the last one ended, with its memory.
"""

import functools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rotgrid.attacks.apgd import wrong_classes
from rotgrid.attacks.case import Case, nearest_distances, survival_by_distance
from rotgrid.attacks.checks import checked
from rotgrid.attacks.fmn import nearest_so_far, where_within
from rotgrid.attacks.linf import (
    Model,
    frozen,
    indices,
    input_gradient,
    require_steps,
)
from rotgrid.attacks.threats import L2, gradient_within_box
from rotgrid.spec.attacks import LBFGS_WEIGHTS

FACTOR = 4.0
"""Between one c and the next, until one succeeds and one fails."""

MEMORY = 5
"""Steps that the recursion remembers."""

SUFFICIENT = 1e-4
"""A step is kept that lowers the objective by this share of what its slope promises (Armijo)."""

CURVED = 1e-6
"""The least cosine between a step and the change of gradient along it that is remembered."""

LEAST = 1e-20
"""The least product of both: below it is rounding."""


@functools.partial(checked, threat="l2")
def lbfgs(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float = math.inf,
    steps: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The nearest misclassified images found, where at most eps away in L2; else the images.

    Args and errors are those of `rotgrid.attacks.fmn`, and:
        steps: gradients of each of the ten minimisations, at least 1.
    """
    require_steps(steps)
    found, distance = lbfgs_from(model, images, labels, steps)
    return where_within(eps, found, distance, images)


@functools.partial(checked, threat="l2")
def distances(model: Model, images: Tensor, labels: Tensor, *, steps: int = 20) -> Tensor:
    """(batch,): L2 distance of the nearest misclassified image found, in pixel units.

    It bounds the distance to the decision boundary from above: 0 where the image itself is
    misclassified, inf where nothing was found. Args and errors are those of `lbfgs`.
    """
    require_steps(steps)
    search = functools.partial(lbfgs_from, steps=steps)
    return nearest_distances(search, model, images, labels, indices(images))


class State(NamedTuple):
    """Where the minimisation stands, a row per image; gradients and steps are flat."""

    point: Tensor
    entropy: Tensor
    """The cross-entropy of the target there."""
    gradient: Tensor
    """Of it."""
    wrong: Tensor
    """Whether the point is misclassified."""
    stride: Tensor
    """The share of the next step that is tried: (n, 1)."""
    steps: Tensor
    """The last ones, the latest at the end: (MEMORY, n, pixels), 0 where there was none."""
    bends: Tensor
    """By how much `gradient` changed along them."""


def lbfgs_from(model: Model, images: Tensor, labels: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The nearest misclassified images found (else the images), their L2 distance (else inf)."""
    found, distance = images.clone(), images.new_full((len(images),), torch.inf)
    if not len(images):
        return found, distance
    with frozen(model):
        target, c = nearest_class(model, images, labels)
        state = begin(model, images, labels, target)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        found, distance = nearest_so_far(found, distance, images, images, state.wrong, L2)
        for _ in range(LBFGS_WEIGHTS):
            for _ in range(steps):
                tried, step = proposed(state, images, c)
                new = look(model, tried, labels, target)
                found, distance = nearest_so_far(found, distance, tried, images, new[2], L2)
                state = kept_or_shortened(state, tried, new, step, images, c)
            low, high = torch.where(state.wrong, low, c), torch.where(state.wrong, c, high)
            between = torch.where(high.isinf(), FACTOR * c, (low * high).sqrt())
            c = torch.where(low == 0, c / FACTOR, between)
            state = state._replace(stride=torch.ones_like(state.stride))
    return found, distance


def nearest_class(model: Model, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The wrong class whose boundary is nearest if logits are linear, and the c with which the
    minimum would lie on that boundary: there both classes are equally likely, so that 2 r is c / 2
    times the gradient of their difference."""
    nearest = images.new_full((len(images),), torch.inf)
    target, c = labels, torch.ones_like(nearest)

    def lead(logits: Tensor, classes: Tensor) -> Tensor:
        return (logits.gather(1, classes[:, None]) - logits.gather(1, labels[:, None])).sum()

    for other in wrong_classes(model, images, labels).unbind(1):
        logits, gradient = input_gradient(model, images, other, lead)
        behind = logits.gather(1, labels[:, None]) - logits.gather(1, other[:, None])
        slope = gradient_within_box(gradient, images, images)[1].clamp(min=1e-12)
        far = behind.squeeze(1).clamp(min=1e-6) / slope
        target = torch.where(far < nearest, other, target)
        c = torch.where(far < nearest, 4 * far / slope, c)
        nearest = torch.minimum(far, nearest)
    return target, c


Look = tuple[Tensor, Tensor, Tensor]
"""`entropy`, `gradient` and `wrong` of a `State`."""


def look(model: Model, points: Tensor, labels: Tensor, target: Tensor) -> Look:
    """What the network says of points."""
    logits, gradient = input_gradient(model, points, target, "ce")
    entropy = F.cross_entropy(logits, target, reduction="none")
    return entropy, gradient.flatten(1), logits.argmax(1) != labels


def begin(model: Model, images: Tensor, labels: Tensor, target: Tensor) -> State:
    """At the images, with nothing to remember."""
    none = images.new_zeros(MEMORY, len(images), images[0].numel())
    stride = images.new_ones(len(images), 1)
    return State(images, *look(model, images, labels, target), stride, none, none)


def objective(points: Tensor, entropy: Tensor, images: Tensor, c: Tensor) -> Tensor:
    """(n,): what is minimised."""
    return ((points - images) ** 2).flatten(1).sum(1) + c * entropy


def slopes(state: State, images: Tensor, c: Tensor) -> Tensor:
    """Its gradient, flat."""
    return 2 * (state.point - images).flatten(1) + c[:, None] * state.gradient


def proposed(state: State, images: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The next points to look at, and the step there, flat; both after clipping to [0, 1]."""
    point, gradient = state.point.flatten(1), slopes(state, images, c)
    free = torch.where(gradient > 0, point > 0, point < 1).to(point)
    bends = 2 * state.steps + c[:, None] * state.bends
    way = -recursion(free * gradient, free * state.steps, free * bends)
    tried = (point + state.stride * way).clamp(0, 1)
    return tried.view_as(images), tried - point


def recursion(gradient: Tensor, steps: Tensor, bends: Tensor) -> Tensor:
    """The gradient times the inverse Hessian that the steps, and the changes of gradient along
    them, tell of (Nocedal and Wright 2006, algorithm 7.4); at first half of the gradient, since
    the Hessian of |r|^2 is 2."""
    along, squares = dot(steps, bends), dot(bends, bends).clamp(min=1e-30)
    curved = along > (CURVED * (dot(steps, steps) * squares).sqrt()).clamp(min=LEAST)
    weights = torch.where(curved, 1 / along.where(curved, 1), 0)
    scale = torch.full_like(along[0], 0.5)
    shares = []
    for s, y, weight in zip(reversed(steps), reversed(bends), weights.flip(0), strict=True):
        shares.append(weight * dot(s, gradient))
        gradient = gradient - shares[-1] * y
    for ratio, known in zip(along / squares, curved, strict=True):
        scale = torch.where(known, ratio, scale)
    found = scale * gradient
    for s, y, weight, share in zip(steps, bends, weights, reversed(shares), strict=True):
        found = found + (share - weight * dot(y, found)) * s
    return found


def dot(one: Tensor, other: Tensor) -> Tensor:
    """(..., 1): the products of vectors."""
    return (one * other).sum(-1, keepdim=True)


def kept_or_shortened(
    state: State, tried: Tensor, new: Look, step: Tensor, images: Tensor, c: Tensor
) -> State:
    """The points tried, where they lower the objective; elsewhere half of the stride is next."""
    entropy, gradient, wrong = new
    promised = SUFFICIENT * dot(slopes(state, images, c), step).squeeze(1)
    before = objective(state.point, state.entropy, images, c)
    lower = objective(tried, entropy, images, c) <= before + promised
    kept, pixels = lower[:, None], lower[:, None, None, None]
    bend = gradient - state.gradient
    return State(
        point=torch.where(pixels, tried, state.point),
        entropy=torch.where(lower, entropy, state.entropy),
        gradient=torch.where(kept, gradient, state.gradient),
        wrong=torch.where(lower, wrong, state.wrong),
        stride=torch.where(kept, 1, state.stride / 2),
        steps=torch.where(kept, torch.cat([state.steps[1:], step[None]]), state.steps),
        bends=torch.where(kept, torch.cat([state.bends[1:], bend[None]]), state.bends),
    )


def survival(case: Case, *, steps: int = 20) -> Tensor:
    """`lbfgs`: one computation for all eps."""
    require_steps(steps)
    return survival_by_distance(case, functools.partial(lbfgs_from, steps=steps))
