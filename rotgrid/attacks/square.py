"""Square Attack: random search by squares, without gradients (Andriushchenko et al. 2020)."""

import math

import torch
from torch import Generator, Tensor

from rotgrid.attacks import square_l2
from rotgrid.attacks.case import Case, survival_by_search
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import (
    Model,
    frozen,
    margins_and_errors,
    misclassified,
    require_restarts,
    require_steps,
)
from rotgrid.attacks.threats import LINF, THREATS, Threat
from rotgrid.spec.vocabulary import ThreatName

P_INIT = 0.8
"""The share of the image that the first squares cover."""

HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The squares, of 10,000, after which that share is halved: the schedule of the authors' code."""

Squares = list[tuple[int, slice, slice]]
"""Of each query: the end of the ball that its pixels go to (0 or 1), its rows, its columns."""


@checked
def square(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 5000,
    restarts: int = 1,
    generator: torch.Generator | None = None,
    threat: ThreatName = "linf",
) -> Tensor:
    """The adversarial images found by random search on the margin (algorithm 1).

    A search begins with vertical stripes of +-eps. A query then sets a random square, smaller and
    smaller ones, to +eps or to -eps, and keeps it where the margin shrinks or the image is
    misclassified (algorithm 2). An image that stays correct gets its last point, the one of
    least margin.

    Random numbers are common to all images: the stripes and the place, size and sign of the
    k-th square. To each image they are as good as its own, so the expected accuracy is that of
    independent draws, and what happens to an image does not depend on the others. Departures
    from the original, which shares all but the stripes: squares reach the last row and column
    too, and a square that changes no pixel of an image costs no forward pass.

    Args and errors are those of `rotgrid.attacks.fgsm`, and:
        steps: queries after the stripes, 0 or more; the schedule of sizes is stretched over them.
        restarts: number of searches; those after the first only attack images still correct.
        generator: of all draws; without one they are those of a fixed seed.
        threat: `linf`, or `l2` (`rotgrid.attacks.square_l2`).
    """
    require_steps(steps, least=0)
    require_restarts(restarts)
    radius = images.new_full((len(images), 1, 1, 1), eps)
    return square_from(model, images, labels, radius, steps, restarts, generator, THREATS[threat])[
        0
    ]


def square_from(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: Tensor,
    steps: int,
    restarts: int,
    generator: torch.Generator | None,
    threat: Threat = LINF,
) -> tuple[Tensor, Tensor]:
    """Adversarial images and whether each is misclassified; eps is (batch, 1, 1, 1).

    The generator moves on by the same amount whatever is broken.
    """
    once = search_linf if threat is LINF else search_l2
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    found = images.clone()
    with frozen(model), torch.no_grad():
        broken = misclassified(model, images, labels)
        for _ in range(restarts):
            left = (~broken).nonzero().squeeze(1)
            result = once(model, images[left], labels[left], eps[left], steps, generator)
            found[left], broken[left] = result
    return found, broken


def search_linf(
    model: Model, images: Tensor, labels: Tensor, eps: Tensor, steps: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """One search; the generator moves on even if there are no images."""
    height, width = images.shape[-2:]
    stripes, uniform = draw_squares(width, steps, generator)
    if not len(images):
        return images, torch.zeros_like(labels, dtype=torch.bool)
    ends = torch.stack([*LINF.region(images, eps)])
    squares = squares_of(uniform, height, width)
    return search(model, ends, labels, stripes.to(images.device), squares)


def search_l2(
    model: Model, images: Tensor, labels: Tensor, eps: Tensor, steps: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """One search; the generator moves on even if there are no images."""
    signs, uniform = square_l2.draw(images.shape, steps, generator)
    if not len(images):
        return images, torch.zeros_like(labels, dtype=torch.bool)
    height, width = images.shape[-2:]
    sides = [side(step, steps, height * width) for step in range(steps)]
    queries = square_l2.queries_of(uniform, sides, height, width)
    return square_l2.search(model, images, labels, eps, signs, queries)


def draw_squares(width: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which columns start at +eps, and what `squares_of` makes the squares of: (steps, 3)."""
    stripes = torch.rand(width, generator=generator, device=generator.device) < 0.5
    return stripes, torch.rand(steps, 3, generator=generator, device=generator.device)


def squares_of(uniform: Tensor, height: int, width: int) -> Squares:
    """The squares of all queries, from random numbers in [0, 1): (steps, 3)."""
    squares, steps = [], len(uniform)
    for step, (down, right, sign) in enumerate(uniform.tolist()):
        size = min(side(step, steps, height * width), height, width)
        top, left = int(down * (height - size + 1)), int(right * (width - size + 1))
        squares.append((int(sign < 0.5), slice(top, top + size), slice(left, left + size)))
    return squares


def side(step: int, steps: int, pixels: int) -> int:
    """The side of the square of a query."""
    scheduled = step * 10_000 // steps
    share = P_INIT / 2 ** sum(scheduled > after for after in HALVED_AFTER)
    return max(round(math.sqrt(share * pixels)), 1)


def search(
    model: Model, ends: Tensor, labels: Tensor, stripes: Tensor, squares: Squares
) -> tuple[Tensor, Tensor]:
    """One search between the ends (2, batch, 1, height, width) of the ball within the box."""
    best = torch.where(stripes, ends[1], ends[0])
    margin, broken = margins_and_errors(model, best, labels)
    for end, rows, columns in squares:
        if broken.all():
            break
        patch = ends[end, ..., rows, columns]
        changed = (patch != best[..., rows, columns]).flatten(1).any(1)
        at = (changed & ~broken).nonzero().squeeze(1)
        if not len(at):
            continue
        proposed = best[at]
        proposed[..., rows, columns] = patch[at]
        reached, wrong = margins_and_errors(model, proposed, labels[at])
        better = wrong | (reached > margin[at])
        kept = at[better]
        best[kept], margin[kept], broken[at] = proposed[better], reached[better], wrong
    return best, broken


def survival(
    case: Case,
    *,
    steps: int = 1000,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`square`, with the same draws at every eps."""
    require_steps(steps, least=0)
    require_restarts(restarts)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    state = generator.get_state()

    def attack(at: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        again = torch.Generator(generator.device)
        again.set_state(state)
        return square_from(*case.batch(at), eps, steps, restarts, again, case.threat)

    return survival_by_search(case, attack, once_more=True)
