"""FGSM: one step along the sign of the gradient (Goodfellow et al. 2015, section 4)."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from rotgrid.attacks.case import Case, survival_at_each_eps
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import Model, frozen, in_batches, indices, input_gradient
from rotgrid.attacks.threats import LINF, THREATS, Threat
from rotgrid.spec.vocabulary import ThreatName

GradientOf = Callable[[Model, Tensor, Tensor, Literal["ce"]], tuple[Tensor, Tensor]]
"""`input_gradient`, or one that does not look whether it is finite."""


@checked
def fgsm(
    model: Model, images: Tensor, labels: Tensor, *, eps: float, threat: ThreatName = "linf"
) -> Tensor:
    """clip(x + eps * sign(grad_x cross-entropy(x, true label)), 0, 1), from x itself.

    A pixel whose gradient is exactly 0 stays as it is. In `l2` the gradient over its Euclidean
    norm takes the place of its sign.

    Args:
        model: logits from pixels in [0, 1]; attacked in evaluation mode.
        images: (batch, 1, height, width) in [0, 1].
        labels: (batch,) true labels.
        eps: radius in pixel units, L-infinity or that of the `threat`.
        threat: `linf` or `l2`, see `rotgrid.attacks.threats`.

    Raises:
        ValueError: an argument has the wrong type, shape or range (`rotgrid.attacks.checks`).
        FloatingPointError: the gradient is not finite.
    """
    direction = ascent_direction(model, images, labels, threat=THREATS[threat])
    return step_along(images, direction, eps)


def ascent_direction(
    model: Model,
    images: Tensor,
    labels: Tensor,
    gradient_of: GradientOf = input_gradient,
    threat: Threat = LINF,
) -> Tensor:
    """The sign of the gradient at the images, or of L2 the gradient over its norm: one serves
    every eps."""
    with frozen(model):
        _, gradient = gradient_of(model, images, labels, "ce")
    return threat.steepest(gradient)


def step_along(images: Tensor, direction: Tensor, eps: float) -> Tensor:
    """One step of length eps, kept within [0, 1]."""
    return (images + eps * direction).clamp(0, 1)


def survival(case: Case) -> Tensor:
    """`fgsm` at each eps, from one gradient."""

    def moves(at: Tensor) -> Callable[[float], Tensor]:
        direction = ascent_direction(*case.batch(at), threat=case.threat)
        return lambda eps: step_along(case.images[at], direction, eps)

    return survival_at_each_eps(case, moves)


def perturb(model: Model, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """`fgsm`, a batch at a time."""

    def moved(at: Tensor) -> Tensor:
        x = images[at]
        return step_along(x, ascent_direction(model, x, labels[at]), eps)

    return in_batches(moved, indices(images), images.dtype)
