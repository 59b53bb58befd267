"""The ensemble: an image is as robust as the best of very different attacks leaves it.

After AutoAttack (Croce and Hein 2020, section 5), with the fast minimum-norm attack in place of
FAB: FMN, APGD on the cross-entropy, APGD toward nine targets, Square. Per image the worst counts.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from rotgrid.attacks.apgd import apgd_from
from rotgrid.attacks.checks import checked
from rotgrid.attacks.fmn import fmn_from
from rotgrid.attacks.square import square_from
from rotgrid.attacks.starts import Picked, draw_starts
from rotgrid.attacks.threat import TOLERANCE, Model, frozen, require_steps

QUERIES_PER_STEP = 10
"""Of Square, for each step of the gradient attacks; AutoAttack has 50. Where gradients mean
something Square finds next to nothing after them; where they do not, the first queries show it."""


@checked
def strong(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The adversarial image of whichever attack breaks the image first, else that of the last.

    Args and errors are those of `rotgrid.attacks.fgsm`, and:
        steps: of each run of the gradient attacks, at least 1; Square has ten queries for each.
        generator: of APGD's random starts; without one it starts at the image.
    """
    require_steps(steps)
    offsets = draw_starts(images, 1, generator)
    radius = images.new_full((len(images), 1, 1, 1), eps)
    with frozen(model):
        found, distance = fmn_from(model, images, labels, steps)
        near = distance <= eps + TOLERANCE
        rest, _ = strong_from(
            model, images[~near], labels[~near], radius[~near], steps, Picked(offsets, ~near)
        )
    found[~near] = rest
    return found


def strong_from(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: Tensor,
    steps: int,
    offsets: Iterable[Tensor],
) -> tuple[Tensor, Tensor]:
    """All but FMN, which needs no eps: images and whether each is misclassified.

    eps is (m, 1, 1, 1); every attack is made only on what the ones before it left.
    """
    found, broken = apgd_from(model, images, labels, eps, steps, "ce", offsets)
    left = (~broken).nonzero().squeeze(1)
    found[left], broken[left] = apgd_from(
        model, images[left], labels[left], eps[left], steps, "dlr", Picked(offsets, left)
    )
    left = (~broken).nonzero().squeeze(1)
    found[left], broken[left] = square_from(
        model, images[left], labels[left], eps[left], QUERIES_PER_STEP * steps, 1, None
    )
    return found, broken
