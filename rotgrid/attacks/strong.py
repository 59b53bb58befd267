"""The ensemble: an image is as robust as the best of very different attacks leaves it.

After AutoAttack (Croce and Hein 2020, section 5), with the fast minimum-norm attack in place of
FAB: FMN, APGD on the cross-entropy, APGD toward nine targets, Square. Per image the worst counts.
Square has a fifth of AutoAttack's queries. Where gradients mean something it finds next to nothing
after the others; where something says that they do not (`needs_square`), what is left is searched
again with all of them. An image without a gradient, or with one that is not the slope of the
margin, is, whatever the others are. That Square broke one image alone says something of the model,
so then all are: what the ensemble does to an image may still depend on which other images and, in
a sweep, which other eps there are. One more of them may only lower the accuracy at the others by
this, never raise it.

Most of AutoAttack's time goes into images that nothing breaks. Those whose boundary FMN finds far
outside of the ball get fewer steps toward each target and fewer queries. If one of them breaks all
the same, FMN misleads on this network, and every image gets all. So does one without a gradient.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from rotgrid.attacks.apgd import TARGETS, apgd_from
from rotgrid.attacks.case import Case, attempt_of, brackets_of_case, note_check
from rotgrid.attacks.checks import checked
from rotgrid.attacks.eps_search import Brackets, survived
from rotgrid.attacks.fmn import fmn_from, minimal_distances
from rotgrid.attacks.linf import (
    TOLERANCE,
    Model,
    finite_logits,
    frozen,
    in_batches,
    indices,
    input_gradient,
    margins,
    require_steps,
)
from rotgrid.attacks.square import square_from
from rotgrid.attacks.starts import StartsOfSome, draw_starts
from rotgrid.attacks.threats import THREATS, Threat
from rotgrid.spec.vocabulary import ThreatName

QUERIES_PER_STEP = 10
"""Of Square, for each step of the gradient attacks."""

TRUSTED = 1.3
"""An image whose boundary FMN finds at more than so many eps is far: hardly ever does another
attack break it, if FMN does not mislead."""

FAR = 10
"""Far images get the steps toward each target, and the queries, divided by this."""

QUERIES = 5_000
"""Of Square at least, for images that are left where gradients mean little; AutoAttack's."""

SPOTS, NEAR = 16, 0.02
"""Where a gradient is compared with the slope: at so many places within 0.02 of an image. At the
image itself equal pixels tie in max-pooling, and a true gradient differs from the slope."""

STEP = 1e-3
"""Over which the slope is measured, along random signs."""

FALSE = 0.3
"""A gradient is false that differs from the slope by more than this share of it. On a StdCNN and a
GCNN it is at most 0.15; where half of the channels pass no gradient, at least 0.43."""


class Offsets(NamedTuple):
    """Where the runs of APGD start, in units of eps."""

    cross_entropy: Iterable[Tensor]
    targeted: Iterable[Tensor]
    """Of each target its own."""

    def batch(self, at: Tensor) -> "Offsets":
        """Those of some of the images."""
        return Offsets(*(StartsOfSome(offsets, at) for offsets in self))


def draw_offsets(images: Tensor, generator: torch.Generator | None, threat: Threat) -> Offsets:
    """Random ones; without a generator the first of each attack is at the image."""
    one, many = (draw_starts(images, n, generator, threat.offsets) for n in (1, TARGETS))
    return Offsets(one, many)


@checked
def strong(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    generator: torch.Generator | None = None,
    threat: ThreatName = "linf",
) -> Tensor:
    """The adversarial image of whichever attack breaks the image first, else that of the last.

    Args and errors are those of `rotgrid.attacks.fgsm`, and:
        steps: of each run of the gradient attacks, at least 1; Square has ten queries for each,
            and 5,000 where gradients mean little.
        generator: of APGD's random starts; without one it starts at the image.
        threat: `linf` or `l2` (`rotgrid.attacks.threats`).
    """
    require_steps(steps)
    ball = THREATS[threat]
    offsets = draw_offsets(images, generator, ball)
    radius = images.new_full((len(images), 1, 1, 1), eps)
    with frozen(model):
        found, distance = fmn_from(model, images, labels, steps, ball)
        no_gradient = without_gradient(model, images, labels)
        far = is_far(distance, eps, no_gradient)
        broken, by_square = distance <= eps + TOLERANCE, torch.zeros_like(far)
        for trusted in (far, torch.zeros_like(far)):
            left = (~broken).nonzero().squeeze(1)
            found[left], broken[left], by_square[left] = strong_from(
                model, images[left], labels[left], radius[left], steps, offsets.batch(left),
                trusted[left], ball,
            )  # fmt: skip
            if not (broken & far).any():
                break
        due = needs_square(no_gradient, by_square)
        left = (~broken & due).nonzero().squeeze(1)
        found[left], _ = square_from(
            model, images[left], labels[left], radius[left], square_queries(steps), 1, None, ball
        )
    return found


def is_far(distance: Tensor, eps: Tensor | float, near: Tensor) -> Tensor:
    """(n,): whether FMN found the boundary far outside of the ball; not those that are near
    whatever it found."""
    return (distance > TRUSTED * eps) & distance.isfinite() & ~near


def strong_from(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: Tensor,
    steps: int,
    offsets: Offsets,
    far: Tensor,
    threat: Threat,
) -> tuple[Tensor, Tensor, Tensor]:
    """All but FMN, which needs no eps: images, whether each is misclassified, whether by Square.

    eps is (m, 1, 1, 1) and far (m,); every attack is made only on what the ones before it left.
    """
    found, broken = apgd_from(
        model, images, labels, eps, steps, "ce", offsets.cross_entropy, threat=threat
    )
    by_square = torch.zeros_like(broken)
    for chosen, effort in ((~far, steps), (far, max(steps // FAR, 1))):
        left = (chosen & ~broken).nonzero().squeeze(1)
        found[left], broken[left] = apgd_from(
            model, images[left], labels[left], eps[left], effort, "dlr",
            StartsOfSome(offsets.targeted, left), fresh=True, threat=threat,
        )  # fmt: skip
        left = (chosen & ~broken).nonzero().squeeze(1)
        found[left], by_square[left] = square_from(
            model,
            images[left],
            labels[left],
            eps[left],
            QUERIES_PER_STEP * effort,
            1,
            None,
            threat,
        )
    return found, broken | by_square, by_square


def square_queries(steps: int) -> int:
    """Of Square where gradients mean little."""
    return max(QUERIES, QUERIES_PER_STEP * steps)


def needs_square(no_gradient: Tensor, by_square: Tensor) -> Tensor:
    """Which images all of Square is due to: (n,).

    Those without a true gradient; and all, if Square broke one where nothing before it did.
    """
    return no_gradient | by_square.any()


def without_gradient(model: Model, images: Tensor, labels: Tensor) -> Tensor:
    """(n,): whether the margin has a gradient of exactly zero at the image, or a false one."""

    def zero_or_false(at: Tensor) -> Tensor:
        _, gradient = input_gradient(model, images[at], labels[at], "margin")
        zero = (gradient == 0).flatten(1).all(1)
        return zero | false_gradient(model, images[at], labels[at])

    return in_batches(zero_or_false, indices(images), torch.bool)


def false_gradient(model: Model, images: Tensor, labels: Tensor) -> Tensor:
    """(n,): whether the gradient of the margin near the image is not its slope.

    So it is where a model cuts off a part of the gradient or puts another in its place. Places and
    directions are common to all images, so that none depends on the others.
    """
    generator = torch.Generator().manual_seed(0)
    error = total = images.new_zeros(len(images))
    for _ in range(SPOTS):
        draws = 2 * torch.rand((2, *images.shape[1:]), generator=generator, dtype=images.dtype) - 1
        offset, direction = draws.to(images.device)
        spot = (images + NEAR * offset).clamp(STEP, 1 - STEP)
        step = STEP * direction.sign()
        _, gradient = input_gradient(model, spot, labels, "margin")
        expected = 2 * (gradient * step).flatten(1).sum(1)
        above, below = (margins(finite_logits(model, spot + way), labels) for way in (step, -step))
        error = error + (above - below - expected) ** 2
        total = total + (above - below) ** 2
    return error > FALSE**2 * total


def survival(case: Case, *, steps: int = 100, generator: torch.Generator | None = None) -> Tensor:
    """`strong`: FMN once, just below what it found the rest, and all of Square where it is due.

    Notes how many images have no true gradient, and how many Square broke and nothing before it.
    If it broke any at any eps of the grid, all of Square is due to all images; else to those
    without one, whatever the other images and eps are. Likewise for what far images are spared.
    """
    require_steps(steps)
    offsets = draw_offsets(case.images, generator, case.threat)
    by_square = torch.zeros_like(case.labels, dtype=torch.bool)
    no_gradient, distance = torch.zeros_like(by_square), case.images.new_zeros(len(by_square))
    no_gradient[case.chosen] = without_gradient(*case.batch(case.chosen))
    distance[case.chosen] = minimal_distances(case, steps)
    near, misled = no_gradient.clone(), torch.zeros_like(by_square)

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        far = is_far(distance[at], eps.flatten(), near[at])
        found, broken, squared = strong_from(
            *case.batch(at), eps, steps, offsets.batch(at), far, case.threat
        )
        by_square[at] |= squared
        misled[at] |= far & broken
        return found, broken

    known = brackets_of_case(case, attempt_of(case, attack), distance[case.chosen], True)
    if misled.any():
        near.fill_(True)
        known = brackets_of_case(case, attempt_of(case, attack), breaking_eps(known), True)
    case.notes["no_gradient"] = [int(no_gradient.sum())] * len(case.eps_grid)
    case.notes["square_only"] = [int(by_square.sum())] * len(case.eps_grid)
    due = needs_square(no_gradient, by_square)
    search_with_square(case, known, due, steps)

    def all_but_fmn(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        found, broken = attack(at, eps)
        left = (~broken & due[at]).nonzero().squeeze(1)
        found[left], broken[left] = square_from(
            *case.batch(at[left]), eps[left], square_queries(steps), 1, None, case.threat
        )
        return found, broken

    note_check(case, attempt_of(case, all_but_fmn), known)
    return survived(known, case.eps_grid)


def breaking_eps(known: Brackets) -> Tensor:
    """(n,): the lowest eps at which each image is known to break, inf for none."""
    return torch.cat([known.levels, known.levels.new_full((1,), torch.inf)])[known.broken]


def search_with_square(case: Case, known: Brackets, due: Tensor, steps: int) -> None:
    """Search with all of Square below what is known to break; due: bool, one of every image."""
    at = due[case.chosen].nonzero().squeeze(1)
    again = case._replace(chosen=case.chosen[at])

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        return square_from(*case.batch(at), eps, square_queries(steps), 1, None, case.threat)

    found = brackets_of_case(again, attempt_of(again, attack), breaking_eps(known)[at], True)
    known.broken[at] = found.broken
