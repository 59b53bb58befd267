"""A perturbation that knows no network: along the difference of two class means.

Tramèr et al. 2017 ("The Space of Transferable Adversarial Examples"), section 5.1. There are
two classes there; here an image moves toward the class whose mean is nearest to that of its own.
"""

import functools

import torch
from torch import Tensor

from rotgrid.attacks.case import Case, survival_at_each_eps
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import Model
from rotgrid.attacks.threats import LINF


@functools.partial(checked, asks_model=False)
def class_means(
    model: Model, images: Tensor, labels: Tensor, *, eps: float, means: Tensor
) -> Tensor:
    """clip(x + eps * sign(mean of the nearest other class - mean of its own), 0, 1).

    Args:
        model: not asked; here so that all attacks are called alike.
        images: (batch, 1, height, width) in [0, 1].
        labels: (batch,) true labels.
        eps: L-infinity radius in pixel units.
        means: (classes, 1, height, width), the mean training image of each class.

    Raises:
        ValueError: an argument has the wrong type, shape or range (`rotgrid.attacks.checks`).
    """
    if means.shape[1:] != images.shape[1:]:
        raise ValueError(f"means are {tuple(means.shape)} for images of {tuple(images.shape[1:])}")
    if len(labels) and (most := int(labels.amax())) >= len(means):
        raise ValueError(f"label {most}, and there are means of classes 0 to {len(means) - 1}")
    directions = (means[nearest(means)] - means).sign()
    return LINF.project(images + eps * directions[labels], images, eps)


def means_of(images: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The mean image of each class."""
    return torch.stack([images[labels == label].mean(0) for label in range(classes)])


def nearest(means: Tensor) -> Tensor:
    """(classes,): the class with the nearest mean, in L2, other than itself."""
    apart = torch.cdist(means.flatten(1), means.flatten(1))
    return apart.fill_diagonal_(torch.inf).argmin(1)


def survival(case: Case, *, means: Tensor) -> Tensor:
    """`class_means` at each eps."""
    return survival_at_each_eps(
        case, lambda at: lambda eps: class_means(*case.batch(at), eps=eps, means=means)
    )
