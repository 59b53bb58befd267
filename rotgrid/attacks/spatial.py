"""Worst-case rotations and shifts of each image (Engstrom et al. 2019, section 3).

A transform is (degrees counter-clockwise, pixels to the right, pixels down), applied in that
order. A set of them is a tensor (k, 3), or (n, k, 3) where each of n images has its own: float64
on the CPU. The images are unrotated ones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from rotgrid.attacks.checks import checked, require_valid
from rotgrid.attacks.linf import Model, finite_logits, frozen, in_batches, indices
from rotgrid.rotation import draw_angles, draw_shifts, transform
from rotgrid.spec.vocabulary import Interpolation


def rotation_grid(rotation: float) -> Tensor:
    """Every whole degree in [-rotation, rotation], and the two ends: (k, 3).

    At 180 degrees the ends are one transform, so there are 360.
    """
    require_range(rotation, 0)
    whole = torch.arange(-int(rotation), int(rotation) + 1, dtype=torch.float64)
    ends = torch.tensor([-rotation, rotation], dtype=torch.float64)
    return product_of(torch.cat([whole, ends]), torch.zeros(1))


def translation_grid(most: float) -> Tensor:
    """All shifts by whole pixels of at most `most` along each axis: ((2 most + 1)^2, 3)."""
    require_range(0, most)
    return product_of(torch.zeros(1), torch.arange(-int(most), int(most) + 1))


def spatial_grid(rotation: float = 30, most: float = 3) -> Tensor:
    """31 angles x 5 x 5 shifts, evenly spaced, ends included: (775, 3) (Engstrom et al. 2019)."""
    require_range(rotation, most)
    angles = torch.arange(-15, 16, dtype=torch.float64) / 15 * rotation
    shifts = torch.arange(-2, 3, dtype=torch.float64) / 2 * most
    return product_of(angles, shifts)


def draw_transforms(n: int, k: int, rotation: float, most: float) -> Tensor:
    """k random transforms of each of the first n test images: (n, k, 3).

    Uniform in the ranges, frozen and common to all models; larger n and k only add to them, and
    they scale with the ranges. The first is what `draw_angles` and `draw_shifts` give the image in
    testing. The identity is not among them (nor in Engstrom et al.); it stands alone where the
    ranges allow nothing else.
    """
    require_range(rotation, most)
    draws = range(k if rotation or most else 1)
    angles = [draw_angles(n, rotation, "test", epoch=draw) for draw in draws]
    shifts = [draw_shifts(n, most, "test", epoch=draw) for draw in draws]
    return torch.cat([torch.stack(angles, 1)[..., None], torch.stack(shifts, 1)], 2)


def require_range(rotation: float, most: float) -> None:
    """Refuse ranges that make no set.

    Raises:
        ValueError: the rotation is not in [0, 180], or the shift is negative.
    """
    if not 0 <= rotation <= 180:
        raise ValueError(f"rotation {rotation} is not in [0, 180] degrees")
    if not most >= 0:
        raise ValueError(f"shift {most} is negative")


def product_of(angles: Tensor, shifts: Tensor) -> Tensor:
    """All distinct transforms of these angles and these shifts along each axis, sorted."""
    angles = angles.double().where(angles != -180, 180)
    return torch.cartesian_prod(angles, shifts.double(), shifts.double()).unique(dim=0)


@checked
def spatial(
    model: Model,
    images: Tensor,
    labels: Tensor,
    transforms: Tensor,
    *,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Each image under its worst transform (`worst_transform`).

    Args:
        model: logits from pixels in [0, 1]; attacked in evaluation mode.
        images: (batch, 1, size, size) in [0, 1], unrotated.
        labels: (batch,) true labels.
        transforms: (k, 3) or (batch, k, 3), on the CPU.
        interpolation: how images are resampled.

    Raises:
        ValueError: pixels outside [0, 1], or shapes that do not fit.
        FloatingPointError: logits are not finite.
    """
    worst = worst_transform(model, images, labels, transforms, interpolation)
    return transformed(images, worst, interpolation)


def correct_under_all(
    model: Model,
    images: Tensor,
    labels: Tensor,
    transforms: Tensor,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Whether each image is classified correctly under all transforms: bool (batch,).

    Args and errors are those of `spatial`.
    """
    each = transforms_of_each(images, labels, transforms)
    left = torch.arange(len(images))
    with frozen(model):
        for index in spread_order(each.shape[1]):
            if not len(left):
                break
            here = left.to(images.device)
            _, wrong = losses_and_errors(
                model, images[here], labels[here], each[left, index], interpolation
            )
            left = left[~wrong.cpu()]
    survived = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    survived[left.to(images.device)] = True
    return survived


def worst_transform(
    model: Model,
    images: Tensor,
    labels: Tensor,
    transforms: Tensor,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """The transform that is worst for each image: (batch, 3).

    Of those that are misclassified the one of highest cross-entropy; where there is none, the one
    of highest cross-entropy. Of equals the first. Args and errors are those of `spatial`.
    Departs from Engstrom et al.'s code, where a correct transform of higher cross-entropy, tried
    before, can hide a worse misclassified one.
    """
    each = transforms_of_each(images, labels, transforms)
    with frozen(model):
        found = [
            losses_and_errors(model, images, labels, at, interpolation) for at in each.unbind(1)
        ]
    losses, wrong = (torch.stack(values) for values in zip(*found, strict=True))
    candidates = wrong | ~wrong.any(0)
    worst = losses.masked_fill(~candidates, -torch.inf).argmax(0)
    return each[torch.arange(len(images)), worst.cpu()]


def transforms_of_each(images: Tensor, labels: Tensor, transforms: Tensor) -> Tensor:
    """The transforms of each image, (n, k, 3); whatever does not fit is refused.

    Raises:
        ValueError: the images, the labels or the transforms are wrong.
    """
    require_valid(images, labels)
    shape = tuple(transforms.shape)
    if transforms.ndim == 2:
        transforms = transforms.expand(len(images), *shape)
    if transforms.shape[::2] != (len(images), 3) or not transforms.shape[1]:
        raise ValueError(f"{shape} transforms for {len(images)} images: not (k, 3) or (n, k, 3)")
    return transforms


def losses_and_errors(
    model: Model, images: Tensor, labels: Tensor, at: Tensor, interpolation: Interpolation
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each image under its transform `at` (n, 3); whether it is misclassified.

    The cross-entropy is float64: in float32 it is 0 for all that the model is sure of.
    Errors: see `finite_logits`.
    """

    def both(part: Tensor) -> Tensor:
        logits = finite_logits(model, transformed(images[part], at[part.cpu()], interpolation))
        loss = F.cross_entropy(logits.double(), labels[part], reduction="none")
        return torch.stack([loss, logits.argmax(1) != labels[part]], 1)

    loss, wrong = in_batches(both, indices(images), torch.float64).reshape(-1, 2).unbind(1)
    return loss, wrong > 0


def transformed(images: Tensor, at: Tensor, interpolation: Interpolation) -> Tensor:
    """Each image under its transform: `at` is (n, 3)."""
    return transform(images, at[:, 0], at[:, 1:], interpolation)


def spread_order(k: int) -> list[int]:
    """The indices below k, ordered so that neighbours are far apart in time.

    What breaks an image comes in runs of neighbouring transforms, so images that break leave
    early: on trained networks within 4 % of the fewest rotations possible are tried, where sorted
    order may try twice as many.
    """
    golden = (5**0.5 - 1) / 2
    return sorted(range(k), key=lambda index: index * golden % 1)
