"""Random noise: what a perturbation does that knows nothing of the model. A baseline."""

import torch
from torch import Tensor

from rotgrid.attacks.threat import Model, frozen, project, require_valid, uniform_offsets


def noise(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """clip(x + U(-eps, eps), 0, 1); of several draws (`restarts`) the last that misclassifies.

    Args and errors are those of `rotgrid.attacks.fgsm`.
    """
    require_valid(images, labels, eps)
    offsets = [uniform_offsets(images, generator) for _ in range(restarts)]
    return worst_offset(model, images, labels, eps, offsets)


def sign_noise(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """As `noise`, with every pixel moved by the whole eps up or down: the corners of the ball."""
    require_valid(images, labels, eps)
    offsets = [sign_offsets(images, generator) for _ in range(restarts)]
    return worst_offset(model, images, labels, eps, offsets)


def sign_offsets(images: Tensor, generator: torch.Generator | None) -> Tensor:
    """-1 or 1 per pixel, in units of eps."""
    return torch.where(uniform_offsets(images, generator) < 0, -1.0, 1.0).to(images.dtype)


def worst_offset(
    model: Model, images: Tensor, labels: Tensor, eps: float, offsets: list[Tensor]
) -> Tensor:
    """The images moved by eps times the last offset that misclassifies, else by the first."""
    worst = project(images + eps * offsets[0], images, eps)
    if len(offsets) == 1:
        return worst
    with frozen(model), torch.no_grad():
        for offset in offsets[1:]:
            moved = project(images + eps * offset, images, eps)
            wrong = model(moved).argmax(1) != labels
            worst[wrong] = moved[wrong]
    return worst
