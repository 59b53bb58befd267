"""The threat models: what a perturbation's length is, and the ball of those that are no longer.

x' lies in [0, 1] and within eps of x, the image as the network would see it, that is after any
rotation. Of `linf` eps bounds the largest change of a pixel, of `l2` the Euclidean length of the
change of all pixels, both where pixels lie in [0, 1]: no pixel changes by more than 1, and an
image of 28 x 28 by no more than 28.

Projection, steps and starts of `l2` are those of Foolbox and AutoAttack: what is too long is
scaled, and then clipped to [0, 1], which makes it no longer; steps follow the gradient over its
Euclidean norm.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rotgrid.attacks.linf import Radius
from rotgrid.attacks.starts import Draw, ball_offsets, uniform_offsets
from rotgrid.spec.vocabulary import ThreatName

ROUNDING = 1e-6
"""By this share of eps what is scaled stays within it, so that rounding leads nowhere outside."""


class Threat(NamedTuple):
    """A threat model; images are (batch, channels, height, width), lengths in pixel units."""

    size: Callable[[Tensor], Tensor]
    """The length of each perturbation: (batch,)."""
    slope: Callable[[Tensor], Tensor]
    """How much a perturbation of length 1 can gain of each gradient: (batch,)."""
    steepest: Callable[[Tensor], Tensor]
    """The perturbation of length 1 that gains it; 0 where the gradient is 0."""
    within_box: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """(gradient, current, images) -> `steepest` and `slope` of what [0, 1] lets a perturbation
    from the images that has reached `current` gain further."""
    region: Callable[[Tensor, Radius], Sequence[Tensor]]
    """(images, eps) -> what `nearest` has to know of the ball around each image, within [0, 1]:
    tensors with a row per image."""
    nearest: Callable[..., Tensor]
    """(images, *region) -> the nearest images that lie in it, or nearly so."""
    offsets: Draw
    """Uniform draws from the ball of radius 1, one for each of the images."""
    diameter: Callable[[Tensor], float]
    """How far an image can be from another one in [0, 1]."""
    label: str
    """What readers are shown."""

    def project(self, adversarial: Tensor, images: Tensor, eps: Radius) -> Tensor:
        """Into the ball around the images, within [0, 1]."""
        return self.nearest(adversarial, *self.region(images, eps))


def largest(perturbations: Tensor) -> Tensor:
    """(batch,): the largest change of a pixel."""
    return perturbations.abs().flatten(1).amax(1)


def signs_within_box(gradient: Tensor, current: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """All signs; only pixels that may go as far as the farthest one has count in the slope."""
    direction = gradient.sign()
    pushed = images + largest(current - images)[:, None, None, None] * direction
    free = (pushed >= 0) & (pushed <= 1)
    return direction, (gradient.abs() * free).flatten(1).sum(1)


def box(images: Tensor, eps: Radius) -> tuple[Tensor, Tensor]:
    """The least and the greatest pixels."""
    return (images - eps).clamp(min=0), (images + eps).clamp(max=1)


def length(perturbations: Tensor) -> Tensor:
    """(batch,): the Euclidean length of the change of all pixels."""
    return perturbations.flatten(1).norm(dim=1)


def over_length(gradient: Tensor) -> Tensor:
    """The gradients over their Euclidean norms, however small those are."""
    tiny = torch.finfo(gradient.dtype).tiny
    scaled = gradient / gradient.abs().amax((1, 2, 3), keepdim=True).clamp(min=tiny)
    return scaled / length(scaled).clamp(min=tiny)[:, None, None, None]


def gradient_within_box(
    gradient: Tensor, current: Tensor, images: Tensor
) -> tuple[Tensor, Tensor]:
    """Pixels that are at the end of [0, 1] are left out."""
    free = gradient * torch.where(gradient > 0, current < 1, current > 0)
    return over_length(free), length(free)


def sphere(images: Tensor, eps: Radius) -> tuple[Tensor, Tensor]:
    """The centres, and the radius of each: (batch, 1, 1, 1)."""
    return images, torch.as_tensor(eps, dtype=images.dtype, device=images.device).expand(
        len(images), 1, 1, 1
    )


def scaled_and_clipped(adversarial: Tensor, images: Tensor, eps: Tensor) -> Tensor:
    """Scaled to eps where they are farther away, and clipped to [0, 1]."""
    moved = adversarial - images
    far = length(moved)[:, None, None, None]
    share = torch.where(far > eps, (1 - ROUNDING) * eps / far, 1)
    return (images + share * moved).clamp(0, 1)


LINF = Threat(
    size=largest,
    slope=lambda gradient: gradient.abs().flatten(1).sum(1),
    steepest=torch.sign,
    within_box=signs_within_box,
    region=box,
    nearest=torch.clamp,
    offsets=uniform_offsets,
    label="L-inf",
    diameter=lambda images: 1.0,
)
L2 = Threat(
    size=length,
    slope=length,
    steepest=over_length,
    within_box=gradient_within_box,
    region=sphere,
    nearest=scaled_and_clipped,
    offsets=ball_offsets,
    label="L2",
    diameter=lambda images: math.sqrt(images[:1].numel()),
)
THREATS: dict[ThreatName, Threat] = {"linf": LINF, "l2": L2}
