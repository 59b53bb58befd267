"""Where attacks start: the random offsets of each restart, drawn again where they are needed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rotgrid.attacks.linf import require_restarts, require_steps

KEPT_BYTES = 32 << 20
"""Of the offsets of an attack that stay in memory; the first one stays whatever its size."""


Draw = Callable[[Tensor, torch.Generator], Tensor]
"""(images, generator) -> offsets in units of eps."""


def uniform_offsets(images: Tensor, generator: torch.Generator) -> Tensor:
    """U(-1, 1) per pixel, the start of an attack in units of eps.

    Drawn where the generator lives, so that a generator on the CPU gives the same numbers
    whatever the images are on.
    """
    return sent(uniform(images, generator).mul_(2).sub_(1), images.device)


def normal_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """N(0, 1) per pixel, drawn as `uniform_offsets` are."""
    noise = torch.randn(images.shape, generator=generator, device=generator.device)
    return sent(noise.to(images.dtype), images.device)


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """Numbers on the device; on their way from the CPU to a GPU nothing waits for what it does."""
    if device.type == "cuda" and numbers.device.type == "cpu":
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)  # to the CPU it has to be waited for


def uniform(images: Tensor, generator: torch.Generator) -> Tensor:
    """U(0, 1) per pixel, on the generator's device."""
    return torch.rand(
        images.shape, generator=generator, dtype=images.dtype, device=generator.device
    )


def ball_offsets(images: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform in the Euclidean ball of radius 1, the start of an attack in units of eps: a normal
    draw gives the direction, a uniform one the distance. Drawn where the generator lives."""
    normal = torch.randn(
        images.shape, generator=generator, dtype=images.dtype, device=generator.device
    )
    radius = uniform(images[:, :1, :1, :1], generator) ** (1 / max(1, images[:1].numel()))
    far = normal.flatten(1).norm(dim=1)[:, None, None, None]
    return sent(normal * (radius / far), images.device)


@dataclass(frozen=True)
class Starts:
    """The offset of each restart in units of eps, (n, 1, height, width) each, as often as asked.

    Random numbers belong to positions in the batch: images in another order start elsewhere.
    """

    images: Tensor
    kept: list[Tensor]
    """The first ones."""
    redrawn: int
    """How many more there are; they are drawn again, one after the other, in each iteration."""
    state: Tensor
    """Of the generator after those that are kept."""
    device: torch.device
    """Of the generator."""
    draw: Draw

    def __iter__(self) -> Iterator[Tensor]:
        yield from self.kept
        again = torch.Generator(self.device)
        again.set_state(self.state)
        for _ in range(self.redrawn):
            yield self.draw(self.images, again)


def require_starts(steps: int, restarts: int, generator: torch.Generator | None) -> None:
    """Refuse an attack that would look at nothing but the image. 0 steps are a look at each start.

    Raises:
        ValueError: negative steps, fewer than one restart, or 0 steps from the image itself.
    """
    require_restarts(restarts)
    require_steps(steps, least=int(generator is None and restarts == 1))


def draw_starts(
    images: Tensor,
    restarts: int,
    generator: torch.Generator | None,
    draw: Draw = uniform_offsets,
) -> Starts:
    """The starts of an attack: random, or the first at the image itself without a generator.

    The generator always moves on by all restarts. Starts beyond `KEPT_BYTES` are not stored, but
    drawn again each time they are iterated over.
    """
    kept = []
    if generator is None:
        kept.append(torch.zeros_like(images))
        generator = torch.Generator().manual_seed(0)
    room = max(1, KEPT_BYTES // max(1, images.nbytes))
    while len(kept) < min(restarts, room):
        kept.append(draw(images, generator))
    state, redrawn = generator.get_state(), max(0, restarts - len(kept))
    for _ in range(redrawn):
        draw(images, generator)
    return Starts(images, kept, redrawn, state, generator.device, draw)


@dataclass(frozen=True)
class StartsOfSome:
    """The starts of some of the images."""

    offsets: Iterable[Tensor]
    at: Tensor
    """Indices of the images."""

    def __iter__(self) -> Iterator[Tensor]:
        return (offset[self.at] for offset in self.offsets)
