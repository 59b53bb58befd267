"""The basic iterative method (Kurakin, Goodfellow & Bengio 2017, section 2.2)."""

import functools
import math

from torch import Tensor

from rotgrid.attacks.case import Case, survival_at_each_eps
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import Model, frozen, in_batches, indices
from rotgrid.attacks.pgd import pgd_loop, pgd_until_broken

STEP = 1 / 255
"""Kurakin et al. change each pixel by one of its 256 levels per step."""


@checked
def bim(model: Model, images: Tensor, labels: Tensor, *, eps: float) -> Tensor:
    """Signed gradient ascent from the image by one pixel level at a time, `steps_for(eps)` times.

    An image gets its last iterate if that is misclassified, else its latest misclassified one,
    else the last iterate. Args and errors are those of `rotgrid.attacks.fgsm`.
    """
    with frozen(model):
        return pgd_loop(model, images, labels, images, eps, steps_for(eps), STEP, "ce")[0]


def steps_for(eps: float) -> int:
    """min(eps + 4, 1.25 eps) with eps in levels of a pixel, rounded up; 0 for eps 0."""
    levels = 255 * eps
    return math.ceil(min(levels + 4, 1.25 * levels) - 1e-9)


def survival(case: Case) -> Tensor:
    """`bim` at each eps; images leave the batch once they are broken."""

    def move(at: Tensor, eps: float) -> Tensor:
        model, x, y = case.batch(at)
        return pgd_until_broken(model, x, y, x, eps, steps_for(eps), STEP, "ce")[0]

    return survival_at_each_eps(case, lambda at: functools.partial(move, at))


def perturb(model: Model, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """`bim`, a batch at a time."""

    def moved(at: Tensor) -> Tensor:
        x, y = images[at], labels[at]
        return pgd_loop(model, x, y, x, eps, steps_for(eps), STEP, "ce")[0]

    return in_batches(moved, indices(images), images.dtype)
