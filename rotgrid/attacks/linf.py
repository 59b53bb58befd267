"""What all pixel attacks share: the threat model, the frozen network, the loss that is climbed.

The threat model: max|x' - x| <= eps and x' in [0, 1], where x is the image as the network would
see it, that is after any rotation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.attacks.networks import network_of
from rotgrid.models.layers import filters_kept

Model = Callable[[Tensor], Tensor]
Loss = Literal["ce", "margin"]
Objective = Callable[[Tensor, Tensor], Tensor]
"""(logits, labels) -> what is climbed, summed over the batch."""
Radius = float | Tensor
"""eps, in pixel units: one for all images, or (batch, 1, 1, 1)."""
ATTACK_BATCH = {"cpu": 250, "cuda": 1_000}
"""Images that are attacked together, by type of device; of a GPU's only the share of its memory
that the process may use."""
TOLERANCE = 1e-6
"""By how much x' - x may exceed eps: the rounding of x + eps in float32."""


def attack_batch(device: torch.device) -> int:
    """Images attacked together; how many affects nothing beyond float noise."""
    if device.type == "cpu":
        return ATTACK_BATCH["cpu"]
    share = torch.cuda.get_per_process_memory_fraction(device) if device.type == "cuda" else 1.0
    return max(1, int(share * ATTACK_BATCH["cuda"]))


def in_batches(work: Callable[[Tensor], Tensor], at: Tensor, dtype: torch.dtype) -> Tensor:
    """What `work` makes of each attack batch of the indices `at`, joined; (0,) of none.

    A batch that the memory of the GPU does not hold is halved, and so are those after it: `work`
    must not change anything before it returns.

    Args:
        work: indices of a batch -> a row per image.
        at: (n,) indices, on the device of the images.
        dtype: of the result.

    Raises:
        torch.OutOfMemoryError: the memory does not hold a batch of one image.
    """
    done, size = [torch.empty(0, dtype=dtype, device=at.device)], attack_batch(at.device)
    while len(at):
        try:
            found = work(at[:size])
        except torch.OutOfMemoryError:
            if (size := min(size, len(at)) // 2) == 0:
                raise
            continue
        done.append(found)
        at = at[size:]
    return torch.cat(done)


def indices(images: Tensor) -> Tensor:
    """(n,): 0 to n - 1, on the device of the images."""
    return torch.arange(len(images), device=images.device)


@contextmanager
def frozen(model: Model) -> Iterator[None]:
    """Evaluation mode and no gradients of parameters; afterwards all is as it was.

    Dropout left on would be a randomised defence, and would make every attack look weak. Filters
    that the model builds from its weights are built once: weights must not change meanwhile.
    Networks that a function refers to are frozen as well (`rotgrid.attacks.networks`).
    """
    network = network_of(model)
    modules, parameters = list(network.modules()), list(network.parameters())
    modes = [module.training for module in modules]
    wanted = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        if any(modes):
            network.eval()
        with filters_kept(network):
            yield
    finally:
        restore_modes(modules, modes)
        for parameter, want in zip(parameters, wanted, strict=True):
            parameter.requires_grad_(want)


def restore_modes(modules: Sequence[nn.Module], modes: Sequence[bool]) -> None:
    """Put each module into its mode, by `train`: some (e2cnn's) build or drop filters in there.

    Modules come before those that they hold, as `modules()` gives them.
    """
    for module, mode in zip(modules, modes, strict=True):
        if module.training != mode:
            module.train(mode)


def require_steps(steps: int, least: int = 1) -> None:
    """Refuse an attack that would not take a step.

    Raises:
        ValueError: fewer than the least number of steps.
    """
    if steps < least:
        raise ValueError(f"steps {steps}: at least {least}, or nothing is attacked")


def require_restarts(restarts: int) -> None:
    """Refuse an attack that would not start.

    Raises:
        ValueError: fewer than one restart.
    """
    if restarts < 1:
        raise ValueError(f"restarts {restarts}: at least 1, or nothing is attacked")


def objective_of(logits: Tensor, labels: Tensor, loss: Loss | Objective) -> Tensor:
    """What the attack increases, summed over the batch (a mean would scale gradients down).

    `ce` is cross-entropy; `margin` the best wrong logit minus the true one, which does not
    saturate. Any other objective is called.
    """
    if callable(loss):
        return loss(logits, labels)
    if loss == "ce":
        return F.cross_entropy(logits, labels, reduction="sum")
    if loss == "margin":
        return margins(logits, labels).sum()
    raise ValueError(f"loss {loss!r} is neither ce nor margin")


def true_and_wrong(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The true logit of each image, and the logits with that one at -inf."""
    at = labels[:, None]
    return logits.gather(1, at).squeeze(1), logits.scatter(1, at, -torch.inf)


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """(batch,): the best wrong logit minus the true one; positive where misclassified."""
    true, wrong = true_and_wrong(logits, labels)
    return wrong.amax(1) - true


def input_gradient(
    model: Model, images: Tensor, labels: Tensor, loss: Loss | Objective
) -> tuple[Tensor, Tensor]:
    """Logits of the images, and the gradient of the loss with respect to them.

    Raises:
        FloatingPointError: one of them is not finite; sign(NaN) would be silent garbage.
    """
    logits, gradient = unchecked_gradient(model, images, labels, loss)
    if not (all_finite(gradient) and all_finite(logits)):
        raise FloatingPointError("logits or input gradient are not finite")
    return logits, gradient


def all_finite(numbers: Tensor) -> bool:
    """Whether none is infinite or not a number; all are looked at only if their sum is not."""
    return bool(torch.isfinite(numbers.sum()) or torch.isfinite(numbers).all())


def unchecked_gradient(
    model: Model, images: Tensor, labels: Tensor, loss: Loss | Objective
) -> tuple[Tensor, Tensor]:
    """`input_gradient` for callers who notice what is not finite later: no GPU is waited for."""
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        logits = model(leaf)
        (gradient,) = torch.autograd.grad(objective_of(logits, labels, loss), leaf)
    return logits.detach(), gradient


def finite_logits(model: Model, images: Tensor) -> Tensor:
    """The model's logits, without gradient.

    Raises:
        FloatingPointError: they are not finite; their argmax would be silent garbage.
    """
    logits = unchecked_logits(model, images)
    if not all_finite(logits):
        raise FloatingPointError("logits are not finite")
    return logits


def unchecked_logits(model: Model, images: Tensor) -> Tensor:
    """`finite_logits` for callers who notice what is not finite later."""
    with torch.no_grad():
        return model(images)


def margins_and_errors(model: Model, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The margin of each image, and whether it is misclassified. Errors: see `finite_logits`."""
    logits = finite_logits(model, images)
    return margins(logits, labels), logits.argmax(1) != labels


def misclassified(model: Model, images: Tensor, labels: Tensor) -> Tensor:
    """(batch,): whether the class of an image is not its label. Errors: see `finite_logits`."""
    return finite_logits(model, images).argmax(1) != labels
