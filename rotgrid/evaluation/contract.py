"""What a network must do to be trained, attacked and compared, checked on a few random images.

Each check returns what is wrong in plain words, or nothing. `require` stops at the first before a
training; `rotgrid check` shows all.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.attacks.linf import frozen
from rotgrid.models.own_network import ContractError
from rotgrid.spec.datasets import Shape
from rotgrid.spec.loading import described
from rotgrid.training.losses import training_loss

IMAGES = 4
CLOSE = 1e-3
"""Relative to the largest logit: what rounding may change when images are computed together."""


def sample(shape: Shape, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Random images in [0, 1] and labels, always the same."""
    generator = torch.Generator().manual_seed(0)
    size = (IMAGES, shape.channels, shape.size, shape.size)
    labels = torch.arange(IMAGES) % shape.classes
    return torch.rand(size, generator=generator).to(device), labels.to(device)


def takes_images(model: nn.Module, shape: Shape) -> str:
    """Images of the data's shape, in training and in evaluation."""
    images, _ = sample(shape, device_of(model))
    expected = (IMAGES, shape.classes)
    for mode in (True, False):
        logits = model.train(mode)(images)
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            return f"returns {got} for {tuple(images.shape)} images, not logits {expected}"
        if not logits.is_floating_point() or not torch.isfinite(logits).all():
            return "returns logits that are not finite floats"
    return ""


def leaves_images(model: nn.Module, shape: Shape) -> str:
    """Images that are after a pass, in training or in evaluation, what they were before."""
    images, _ = sample(shape, device_of(model))
    before = images.clone()
    with torch.no_grad():
        for mode in (True, False):
            model.train(mode)(images)
    if not torch.equal(images, before):
        return "changes the images it is given: attacks and rows would be of other images"
    return ""


def returns_logits(model: nn.Module, shape: Shape) -> str:
    """Logits, not probabilities: losses and attacks apply the softmax themselves."""
    logits = logits_of(model, shape)
    ones = torch.ones(IMAGES, device=logits.device)
    if (
        shape.classes > 1
        and (logits >= 0).all()
        and torch.allclose(logits.sum(1), ones, atol=1e-4)
    ):
        return (
            "returns probabilities (numbers that add up to 1): return logits, without a softmax, "
            "which losses and attacks apply themselves"
        )
    return ""


def is_deterministic(model: nn.Module, shape: Shape) -> str:
    """The same logits twice, in evaluation mode."""
    once, again = logits_of(model, shape), logits_of(model, shape)
    if not torch.equal(once, again):
        return (
            f"is not deterministic in evaluation mode: logits differ by "
            f"{(once - again).abs().max():.3g} from call to call; robustness would be luck"
        )
    return ""


def treats_images_one_by_one(model: nn.Module, shape: Shape) -> str:
    """Logits of an image do not depend on the others of its batch, in evaluation mode."""
    images, _ = sample(shape, device_of(model))
    together = logits_of(model, shape)
    with frozen(model), torch.no_grad():
        alone = torch.cat([model(image[None]) for image in images])
    if (together - alone).abs().max() > CLOSE * together.abs().max().clamp(min=1e-6):
        return (
            "gives an image other logits alone than in a batch, in evaluation mode (batch norm "
            "without running statistics?): rows would depend on the batch"
        )
    return ""


def has_input_gradient(model: nn.Module, shape: Shape) -> str:
    """A gradient with respect to the pixels, finite and not zero."""
    images, labels = sample(shape, device_of(model))
    leaf = images.requires_grad_()
    with frozen(model), torch.enable_grad():
        loss = F.cross_entropy(model(leaf), labels)
        if not loss.requires_grad:
            return "passes no gradient to the pixels (no_grad, detach, a comparison, numpy?)"
        (gradient,) = torch.autograd.grad(loss, leaf, allow_unused=True)
    if gradient is None or not gradient.any():
        return (
            "has a gradient with respect to the pixels that is zero everywhere: no gradient "
            "attack can begin"
        )
    return "" if torch.isfinite(gradient).all() else "has input gradients that are not finite"


def can_be_trained(model: nn.Module, shape: Shape) -> str:
    """Parameters that get a gradient from the loss of a training step."""
    images, labels = sample(shape, device_of(model))
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        return "has no parameters to train: parameters() gives none that require a gradient"
    loss = training_loss(model.train(), images, labels)
    if loss.ndim:
        return f"has a training_loss of shape {tuple(loss.shape)}: return the mean, one number"
    if not loss.requires_grad:
        return "has a training loss that no parameter has a part in"
    loss.backward()
    if not any(p.grad is not None and p.grad.any() for p in weights):
        return "gets no gradient for any of its parameters"
    return ""


def can_be_stored(model: nn.Module, shape: Shape) -> str:
    """Weights that are tensors, all finite; and a copy that computes the same."""
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            return (
                f"has {name} in its state_dict, a {type(value).__name__}: only tensors are stored"
            )
        if value.is_floating_point() and not torch.isfinite(value).all():
            return f"has {name} in its state_dict that is not finite"
    if not torch.equal(logits_of(copy.deepcopy(model), shape), logits_of(model, shape)):
        return "computes something else after copy.deepcopy"
    return ""


def works_in_float64(model: nn.Module, shape: Shape) -> str:
    """`.double()`, with which attack `diagnostics` sees whether rounding hides gradients."""
    images, _ = sample(shape, device_of(model))
    with frozen(model), torch.no_grad():
        model.double()(images.double())
    return ""


def is_built_anew(model: nn.Module, again: nn.Module) -> str:
    """A second network, built with the same seed: other tensors with the same numbers."""
    if {id(p) for p in model.parameters()} & {id(p) for p in again.parameters()}:
        return (
            "returns a network, or a part of one, that it returned before: build a new one in "
            "each call, or one training goes on where another ended"
        )
    first, second = model.state_dict(), again.state_dict()
    if first.keys() != second.keys() or not all(torch.equal(first[k], second[k]) for k in first):
        return (
            "has other weights when it is built again with the same seed: draw them from torch's "
            "random numbers alone"
        )
    return ""


Check = Callable[[nn.Module, Shape], str]
CHECKS: dict[str, Check] = {
    "takes images of the data's shape and returns logits": takes_images,
    "leaves the images as they are": leaves_images,
    "returns logits, not probabilities": returns_logits,
    "gives the same logits twice in evaluation mode": is_deterministic,
    "treats images one by one in evaluation mode": treats_images_one_by_one,
    "passes a gradient to the pixels": has_input_gradient,
    "can be trained": can_be_trained,
    "can be stored and copied": can_be_stored,
}
"""Without these nothing is trained."""
ADVICE: dict[str, Check] = {"works in float64 (for attack diagnostics)": works_in_float64}
"""What `rotgrid check` asks besides."""


def device_of(model: nn.Module) -> torch.device:
    """Of its weights."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def logits_of(model: nn.Module, shape: Shape) -> Tensor:
    """Of the sample, in evaluation mode."""
    images, _ = sample(shape, device_of(model))
    with frozen(model), torch.no_grad():
        return model(images)


def outcome(check: Check, model: nn.Module, shape: Shape) -> str:
    """What a check finds on a copy of the network; what it raises is a finding, too."""
    try:
        with untouched(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return check(copy.deepcopy(model), shape)
    except Exception as error:
        return f"raises {described(error)}"


@contextmanager
def untouched() -> Iterator[None]:
    """Leave torch's generators as they were."""
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)
        yield


def require(model: nn.Module, shape: Shape, what: str) -> None:
    """Refuse a network that cannot be trained, attacked or compared; it is left as it was.

    Args:
        model: on any device.
        shape: of the images that it will be given.
        what: how the message begins: the network and where it is defined.

    Raises:
        ContractError: the first thing that is wrong.
    """
    for check in CHECKS.values():
        if problem := outcome(check, model, shape):
            raise ContractError(f"{what} {problem}")
