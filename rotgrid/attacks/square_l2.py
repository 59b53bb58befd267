"""Square Attack in the Euclidean ball: length moves from one window of an image to another
(Andriushchenko et al. 2020, algorithm 3).

The perturbation has the length eps before it is clipped to [0, 1]. A query empties a random
window of it and adds, in another one, what the first held and what clipping has left unused, in
the shape of two neighbouring bumps of opposite sign. Random numbers are common to all images, as
in `rotgrid.attacks.square`.
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from rotgrid.attacks.linf import Model, margins_and_errors
from rotgrid.attacks.threats import ROUNDING, over_length

TILES = 5
"""Bumps along a side at the start."""

LEAST = 3
"""The least side of a window."""

Window = tuple[slice, slice]
"""Its rows and columns."""


class Query(NamedTuple):
    """What is tried."""

    filled: Window
    emptied: Window
    bumps: Tensor
    """Of the window that is filled: (channels, side, side)."""


def draw(shape: tuple[int, ...], steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What `start` and `queries_of` are made of, for images of such a shape (n, c, h, w)."""
    _, channels, height, width = shape
    tile = tile_side(height, width)
    numbers = functools.partial(torch.rand, generator=generator, device=generator.device)
    signs = signs_of(numbers(channels, height // tile, width // tile))
    return signs, numbers(steps, 5 + channels)


def signs_of(uniform: Tensor) -> Tensor:
    """-1 or 1."""
    return 1 - 2 * (uniform < 0.5).float()


def tile_side(height: int, width: int) -> int:
    """The side of a bump at the start."""
    return max(1, min(height, width) // TILES)


def start(signs: Tensor, height: int, width: int) -> Tensor:
    """Bumps side by side, of random sign: (channels, height, width)."""
    side = tile_side(height, width)
    tiled = torch.kron(signs, two_bumps(side)[None])
    room = [total - part for total, part in zip((height, width), tiled.shape[1:], strict=True)]
    below, right = (each // 2 for each in room)
    return torch.nn.functional.pad(tiled, (right, room[1] - right, below, room[0] - below))


@functools.lru_cache(maxsize=64)
def two_bumps(side: int) -> Tensor:
    """One upward above one downward, of length 1 together: (side, side)."""
    both = torch.cat([bump(side // 2, side), -bump(side - side // 2, side)])
    return both / both.norm()


def bump(rows: int, columns: int) -> Tensor:
    """Squares around the middle, one on the other; the k-th is 1/k^2 high."""
    middle = rows // 2, columns // 2
    down, right = (
        (torch.arange(total) - at).abs() for total, at in zip((rows, columns), middle, strict=True)
    )
    heights = 1 / torch.arange(1, max(middle) + 2.0) ** 2
    return heights.flip(0).cumsum(0).flip(0)[torch.maximum(down[:, None], right)]


def queries_of(uniform: Tensor, sides: list[int], height: int, width: int) -> list[Query]:
    """The queries, from random numbers in [0, 1): (steps, 5 + channels); `sides` are those that
    the schedule gives their windows."""
    found = []
    for (down, right, down2, right2, turned, *signs), side in zip(
        uniform.tolist(), sides, strict=True
    ):
        most = min(height, width)
        side = min(max(side, LEAST) | 1, most - 1 + most % 2) if most > 1 else 1
        shape = two_bumps(side).T if turned < 0.5 else two_bumps(side)
        bumps = signs_of(torch.tensor(signs))[:, None, None] * shape
        filled, emptied = (
            (window(rows, height, side), window(columns, width, side))
            for rows, columns in ((down, right), (down2, right2))
        )
        found.append(Query(filled, emptied, bumps))
    return found


def window(uniform: float, total: int, side: int) -> slice:
    """The rows or columns of a window, from a random number in [0, 1)."""
    first = int(uniform * (total - side + 1))
    return slice(first, first + side)


def search(
    model: Model, images: Tensor, labels: Tensor, eps: Tensor, signs: Tensor, queries: list[Query]
) -> tuple[Tensor, Tensor]:
    """One search: the images of least margin, and whether each is misclassified; eps is (batch, 1,
    1, 1)."""
    tiles = start(signs.cpu(), *images.shape[-2:]).to(images)
    best = within_ball(tiles.expand_as(images), images, eps)
    margin, broken = margins_and_errors(model, best, labels)
    for query in queries:
        at = (~broken).nonzero().squeeze(1)
        if not len(at):
            break
        x, radius = images[at], eps[at]
        proposed = within_ball(with_moved_length(best[at] - x, radius, query), x, radius)
        reached, wrong = margins_and_errors(model, proposed, labels[at])
        better = wrong | (reached > margin[at])
        kept = at[better]
        best[kept], margin[kept], broken[at] = proposed[better], reached[better], wrong
    return best, broken


def within_ball(perturbation: Tensor, images: Tensor, eps: Tensor) -> Tensor:
    """The images moved by eps along it, clipped to [0, 1]."""
    return (images + (1 - ROUNDING) * eps * over_length(perturbation)).clamp(0, 1)


def with_moved_length(moved: Tensor, eps: Tensor, query: Query) -> Tensor:
    """The perturbations, with the one window emptied and the other one filled, channel by
    channel."""
    filled, emptied = (..., *query.filled), (..., *query.emptied)
    rest = moved.clone()
    rest[filled] = rest[emptied] = 0
    unused = (eps**2 - squared(moved).sum(1, keepdim=True)).clamp(min=0) / moved.shape[1]
    room = (unused + squared(moved - rest)).sqrt()
    shape = query.bumps.to(moved) + over_channel(moved[filled])
    rest[filled] = room * over_channel(shape)
    return rest


def squared(moved: Tensor) -> Tensor:
    """The squared length of each channel: (n, channels, 1, 1)."""
    return (moved**2).sum((2, 3), keepdim=True)


def over_channel(window: Tensor) -> Tensor:
    """Each channel over its length, 0 where that is 0."""
    return window / squared(window).sqrt().clamp(min=1e-12)
