"""What several architectures share: normalisation, and filters that are built from weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.spec.datasets import Shape

Invariants = dict[str, Callable[[Tensor], Tensor]]
"""By module name: what to make of its output to see whether the layer rotates with images.

The result is (batch, channels, size, size), maps that rotate with the image if the layer is
equivariant; with any other number of axes it does not change at all if it is. Models list theirs
as `invariants`; `rotgrid.evaluation.equivariance` reads them.
"""


class Normalize(nn.Module):
    """Standardise pixels in [0, 1] by the mean and deviation of each channel in training images.

    The first layer of every model, so that eps keeps its unit: nothing outside ever normalises.
    """

    mean: Tensor | float
    std: Tensor | float

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        if shape.channels == 1:
            (self.mean,), (self.std,) = shape.mean, shape.std
            return
        for name, numbers in {"mean": shape.mean, "std": shape.std}.items():
            self.register_buffer(name, torch.tensor(numbers).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, h, w), the same shape."""
        return (images - self.mean) / self.std


class Expanded(nn.Module):
    """A layer that convolves with filters built from its weights (rotated, resampled, combined).

    Subclasses define `expand`, and use `filters()` in `forward`. In training the filters are
    built anew for every batch; under `filters_kept` once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[tuple[Tensor, ...]] | None = None  # None: nothing is kept

    def expand(self) -> tuple[Tensor, ...]:
        """Build what the convolution needs from the weights."""
        raise NotImplementedError

    def filters(self) -> tuple[Tensor, ...]:
        """What `expand` returns; the kept ones where filters are kept."""
        if self._kept is None:
            return self.expand()
        if not self._kept:
            with torch.no_grad():
                self._kept.append(self.expand())
        return self._kept[0]


class _ConvolveImage(torch.autograd.Function):
    """See `convolve_image`."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: int,
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        return F.conv2d(images, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        images, weight = ctx.saved_tensors
        wanted = [False, *ctx.needs_input_grad[1:3]]
        of_weight = of_bias = of_images = None
        if any(wanted):
            _, of_weight, of_bias = torch.ops.aten.convolution_backward(
                gradient, images.to(gradient.dtype), weight.to(gradient.dtype),
                [len(weight)], [1, 1], [ctx.padding] * 2, [1, 1], False, [0, 0], 1, wanted,
            )  # fmt: skip
        if ctx.needs_input_grad[0]:  # in bfloat16 the sum would be worth little
            of_images = image_gradient(gradient.to(weight.dtype), weight, ctx.padding).to(
                images.dtype
            )
        return of_images, of_weight, of_bias, None


def image_gradient(gradient: Tensor, weight: Tensor, padding: int) -> Tensor:
    """The gradient with respect to a one-channel image: (batch, 1, h, w)."""
    (batch, channels, height, width), size = gradient.shape, weight.shape[-1]
    filters = weight.reshape(channels, size * size).t()
    shares = filters @ gradient.permute(0, 2, 3, 1).reshape(-1, channels).t()
    image = gradient.new_zeros(batch, height + size - 1, width + size - 1)
    for at, share in enumerate(shares.view(size * size, batch, height, width)):
        down, right = divmod(at, size)
        image[:, down : down + height, right : right + width] += share
    inner = slice(padding, -padding) if padding else slice(None)
    return image[:, None, inner, inner]


def convolve_image(
    images: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0
) -> Tensor:
    """`F.conv2d` of one-channel images, with a gradient for the images that attacks can afford.

    torch's, with respect to a single channel, takes as long as the rest of a small network: on a
    CPU 11 ms against 1.5 ms here, for 250 images and 10 filters of 3 x 3.

    Args:
        images: (batch, 1, height, width).
        weight: (channels, 1, size, size).
        bias: (channels,), or none.
        padding: of black pixels on each side.
    """
    result: Tensor = _ConvolveImage.apply(images, weight, bias, padding)
    return result


class ImageConv2d(nn.Conv2d):
    """A first `nn.Conv2d`, of stride 1, whose images are to be attacked: fast for one channel."""

    def forward(self, images: Tensor) -> Tensor:
        """(batch, in, h, w) -> (batch, out, h', w')."""
        if self.in_channels > 1:
            return super().forward(images)
        return convolve_image(images, self.weight, self.bias, int(self.padding[0]))


@contextmanager
def filters_kept(model: nn.Module) -> Iterator[None]:
    """Build every filter of the model at most once while this lasts; weights must not change.

    The kept filters carry no gradient to the weights. Nested uses share the outermost one's.
    """
    keepers = [m for m in model.modules() if isinstance(m, Expanded) and m._kept is None]
    try:
        for layer in keepers:
            layer._kept = []
        yield
    finally:
        for layer in keepers:
            layer._kept = None


def without_cached_filters(model: nn.Module) -> nn.Module:
    """The model, which was copied while filters were kept, with none kept."""
    for module in model.modules():
        if isinstance(module, Expanded):
            module._kept = None
    return model
