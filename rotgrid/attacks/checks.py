"""What the arguments of every attack must be; each refusal says what to do instead."""

import functools
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, TypeVar, cast, get_args

import torch
from torch import Tensor

from rotgrid.attacks.linf import Model, finite_logits, frozen
from rotgrid.spec.vocabulary import ThreatName

Attack = TypeVar("Attack", bound=Callable[..., Tensor])


def checked(attack: Attack, asks_model: bool = True, threat: ThreatName = "linf") -> Attack:
    """The attack, with its arguments checked before it starts; no result carries a graph.

    Called with (model, images, labels, ...). It runs outside of `torch.inference_mode`, where
    nothing can be differentiated. `threat` is that of an attack which has no such setting.

    Raises:
        ValueError: an argument has the wrong type, shape or range.
        FloatingPointError: the logits of the first image are not finite.
    """

    @functools.wraps(attack)
    def run(
        model: Model,
        images: Tensor,
        labels: Tensor,
        *args: Any,  # noqa: ANN401
        **settings: Any,  # noqa: ANN401
    ) -> Tensor:
        checks = CHECKS_OF[as_threat("threat", settings.get("threat", threat))]
        settings = {k: checks[k](k, v) if k in checks else v for k, v in settings.items()}
        require_valid(images, labels)
        with torch.inference_mode(False), torch.no_grad():
            images, labels = ordinary(images), ordinary(labels).long()
            if asks_model:
                require_classes(model, images, labels)
            return attack(model, images, labels, *args, **settings)

    return cast(Attack, run)


def ordinary(tensor: Tensor) -> Tensor:
    """The tensor without a graph, and as one that was not made in inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def require_valid(images: Tensor, labels: Tensor) -> None:
    """Refuse images and labels that no attack can be made on.

    Raises:
        ValueError: types, shapes or ranges are wrong.
    """
    for name, value in (("images", images), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} are a {type(value).__name__}: make a torch tensor of them")
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images but {len(labels)} labels")
    require_pixels(images)
    if labels.ndim != 1:
        raise ValueError(f"labels are {tuple(labels.shape)}, not (batch,): one class an image")
    if labels.dtype == torch.bool or labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels are {labels.dtype}, not whole numbers: labels.long()")
    if labels.device != images.device:
        raise ValueError(
            f"labels are on {labels.device}, images on {images.device}: labels.to(images.device)"
        )
    if len(labels) and (least := int(labels.amin())) < 0:
        raise ValueError(f"label {least}: classes are counted from 0")


def require_pixels(images: Tensor) -> None:
    """Refuse what would make eps meaningless.

    Raises:
        ValueError: not (batch, channels, height, width), not in [0, 1], or so imprecise that
            x + eps is not eps away from x.
    """
    if not images.is_floating_point():
        raise ValueError(f"images are {images.dtype}, not floats in [0, 1]: images.float() / 255")
    if images.dtype in (torch.float16, torch.bfloat16):
        raise ValueError(
            f"images are {images.dtype}, too coarse for eps: images.float(), and lower the "
            "precision within the model"
        )
    if images.ndim != 4:
        raise ValueError(f"images are {tuple(images.shape)}, not (batch, channels, height, width)")
    if images.numel() and not (images.amin() >= 0 and images.amax() <= 1):
        low, high = images.amin().item(), images.amax().item()
        raise ValueError(f"pixels in [{low:.3g}, {high:.3g}], not [0, 1]: normalise in the model")


def require_classes(model: Model, images: Tensor, labels: Tensor) -> None:
    """Refuse labels that are no class of the model, which is asked for the first image.

    Raises:
        ValueError: logits are not (batch, classes), or a label is too large.
        FloatingPointError: they are not finite.
    """
    if not len(images):
        return
    with frozen(model):
        shape = tuple(finite_logits(model, images[:1]).shape)
    if len(shape) != 2 or shape[0] != 1:
        raise ValueError(f"the model gives {shape} for one image, not (1, classes)")
    if (most := int(labels.amax())) >= shape[1]:
        raise ValueError(f"label {most}, and the model has classes 0 to {shape[1] - 1}")


def as_number(name: str, value: object) -> float:
    """A number, or what a tensor of one number holds.

    Raises:
        ValueError: it is anything else.
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ValueError(f"{name} {value!r} is no number: one for all images")
    return float(value)


def as_radius(name: str, value: object) -> float:
    """An eps, in pixel units.

    Raises:
        ValueError: it is no number in [0, 1].
    """
    if not 0 <= (eps := as_number(name, value)) <= 1:
        raise ValueError(f"{name} {eps:g} is not in [0, 1], the unit of pixels")
    return eps


def as_length(name: str, value: object) -> float:
    """An eps of `l2`, in pixel units: that of an image may be greater than 1.

    Raises:
        ValueError: it is no number from 0.
    """
    if not (eps := as_number(name, value)) >= 0:
        raise ValueError(f"{name} {eps:g} is no length from 0, in the unit of pixels")
    return eps


def as_list(name: str, values: object, each: Callable[[str, object], float]) -> list[float]:
    """A grid of eps.

    Raises:
        ValueError: it is no list of what `each` takes.
    """
    if isinstance(values, str) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) < 1:
        raise ValueError(f"{name} {values!r} is no list: [{values}]")
    return [each("eps", value) for value in cast(list[object], values)]


def as_threat(name: str, value: object) -> str:
    """A threat model.

    Raises:
        ValueError: there is none of that name.
    """
    if value not in (choices := get_args(ThreatName)):
        raise ValueError(f"{name} {value!r}: choose from {', '.join(choices)}")
    return cast(str, value)


def as_whole_number(name: str, value: object) -> int:
    """A number of steps or restarts; how few make sense the attack knows.

    Raises:
        ValueError: it is no whole number.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{name} {value!r} is no whole number")
    return int(value)


def as_step_size(name: str, value: object) -> float | None:
    """A step size in pixel units; None is that of the attack.

    Raises:
        ValueError: it is no number above 0.
    """
    if value is None:
        return None
    if not 0 < (size := as_number(name, value)) < math.inf:
        raise ValueError(f"{name} {size:g} is not above 0: with it nothing moves")
    return size


def as_generator(name: str, value: object) -> torch.Generator | None:
    """A generator, or None.

    Raises:
        ValueError: it is anything else.
    """
    if value is not None and not isinstance(value, torch.Generator):
        raise ValueError(f"{name} {value!r}: torch.Generator().manual_seed(...) or None")
    return value


CHECKS: dict[str, Callable[[str, object], object]] = {
    "eps": as_radius,
    "eps_grid": functools.partial(as_list, each=as_radius),
    "steps": as_whole_number,
    "restarts": as_whole_number,
    "step_size": as_step_size,
    "generator": as_generator,
}
"""By name of a setting: what checks it, and converts it to the type that attacks expect."""

LENGTHS: dict[str, Callable[[str, object], object]] = {
    "eps": as_length,
    "eps_grid": functools.partial(as_list, each=as_length),
}
CHECKS_OF = {"linf": CHECKS, "l2": {**CHECKS, **LENGTHS}}
"""By threat model."""
