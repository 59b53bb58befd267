"""FGSM and PGD with the clipping and the mode that some published code has: plain loops.

Studies that contradict each other differ in both, some by mistake: the code of "Bridging Symmetry
and Robustness" (arXiv 2510.16171; ifratmitul/Role-of-Equivariance, 7257b8a) standardises images
and clips adversarial ones to [0, 1] all the same, and attacks and evaluates some networks in
training mode. Here each can be chosen by itself, to measure what it does. Neither is a threat
model: all else is as in `rotgrid.attacks.dispatch.sweep`, at each eps by itself.

`clip`: `pixel` is [0, 1], `none` nothing, and `normalised` that mistake: [0, 1] of standardised
images, which are pixels in [mean, mean + std], by channel. Images themselves lie outside of that
range, so that the clipped ones leave the ball, at eps 0 too.

`mode`: with `train` batch norm takes its statistics from the images that pass together, and
dropout is on. So what passes together is part of the definition: `BATCH` images in test order,
those that are misclassified already among them, attacked in step until the last one. The masks of
dropout come from fixed seeds: one set for every pass that judges images, so that the network that
is judged is one function and eps 0 breaks nothing, and fresh ones for each gradient.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import Loss, Model, finite_logits, frozen, indices, input_gradient
from rotgrid.attacks.networks import network_of
from rotgrid.attacks.starts import StartsOfSome, draw_starts, require_starts
from rotgrid.spec import batch_sizes
from rotgrid.spec.attacks import AttackName
from rotgrid.spec.datasets import Shape
from rotgrid.spec.vocabulary import Clip, LabelRule, Mode

BATCH = 100
"""Images that pass together, one more where the last one would be alone."""

SEED = 20192
"""Of the masks of dropout."""


class Loop(NamedTuple):
    """What of an attack is no convention."""

    offsets: Iterable[Tensor] = ()
    """Of each start, for all images, in units of eps; one of 0 starts at the image itself."""
    steps: int = 0
    steps_per_eps: int = 1
    loss: Loss = "ce"


class Batch(NamedTuple):
    """Images that pass together."""

    model: Model
    images: Tensor
    labels: Tensor
    """That are attacked."""
    box: tuple[Tensor, Tensor]
    """Least and greatest pixel, (channels, 1, 1)."""
    number: int
    """From 0."""


@checked
def sweep(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    attack: AttackName,
    eps_grid: Sequence[float],
    shape: Shape,
    clip: Clip = "pixel",
    mode: Mode = "eval",
    label_rule: LabelRule = "true",
    **settings: Any,  # noqa: ANN401  # they differ by attack
) -> Tensor:
    """Whether each image is still classified correctly at each eps: bool (len(eps_grid), n).

    An image is broken if it is misclassified at the start or after any step of any restart. The
    network, its buffers and all random generators are left as they were.

    Args:
        model: logits from pixels in [0, 1].
        images: (n, channels, height, width) in [0, 1], in test order.
        labels: (n,) true labels.
        attack: `none`, `fgsm` or `pgd`.
        eps_grid: L-infinity radii in pixel units.
        shape: of the data set; `normalised` needs its mean and deviation.
        clip: see above.
        mode: see above.
        label_rule: as in `rotgrid.attacks.dispatch.sweep`.
        settings: of `pgd`: `steps`, `restarts`, `loss`, `generator`.

    Raises:
        ValueError: an argument has the wrong type, shape or range, or there is no plain loop of
            the attack.
        TypeError: a setting that the attack does not have.
        OutOfMemoryError: a GPU does not hold a batch; another size would be another definition.
    """
    if attack not in LOOPS:
        raise ValueError(f"no plain loop of {attack!r}; choose from {', '.join(LOOPS)}")
    loop, box = LOOPS[attack](images, **settings), box_of(clip, shape, images)
    result = torch.zeros(len(eps_grid), len(images), dtype=torch.bool, device=images.device)
    batches = indices(images).split(batch_sizes(len(images), BATCH)) if len(images) else ()
    with in_mode(model, mode), own_randomness(images.device):
        for number, at in enumerate(batches):
            batch = Batch(model, images[at], labels[at], box, number)
            some = loop._replace(offsets=StartsOfSome(loop.offsets, at))
            for row, eps in enumerate(eps_grid):
                result[row, at] = survival(batch, some, images.new_tensor(eps), label_rule)
    return result


def no_loop(images: Tensor) -> Loop:
    """No attack."""
    return Loop()


def fgsm_loop(images: Tensor) -> Loop:
    """One step of eps from the image."""
    return Loop([torch.zeros_like(images)], steps=1)


def pgd_loop(
    images: Tensor,
    *,
    steps: int = 40,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
) -> Loop:
    """Steps of eps / 30 from the starts of `rotgrid.attacks.pgd`."""
    require_starts(steps, restarts, generator)
    return Loop(draw_starts(images, restarts, generator), steps, 30, loss)


LOOPS: dict[AttackName, Callable[..., Loop]] = {
    "none": no_loop,
    "fgsm": fgsm_loop,
    "pgd": pgd_loop,
}
"""From all images, and the settings of the attack."""


def survival(batch: Batch, loop: Loop, eps: Tensor, label_rule: LabelRule) -> Tensor:
    """(n,): whether each image of a batch is classified correctly under attack.

    An image ends in the last class that differs from the attacked label in the first restart that
    finds one: that decides where a misclassified image is attacked by its predicted label.
    """
    truth, classes = batch.labels, classes_of(batch, batch.images)
    if label_rule == "predicted":
        batch = batch._replace(labels=classes)
    found, numbers = batch.labels, itertools.count(1)
    for offset in loop.offsets:
        last = batch.labels
        for images in climb(batch, loop, offset, eps, numbers):
            now = classes_of(batch, images)
            last = torch.where(now == batch.labels, last, now)
        found = torch.where(found == batch.labels, last, found)
    return (found == truth) & ((classes == truth) | (label_rule == "predicted"))


def climb(
    batch: Batch, loop: Loop, offset: Tensor, eps: Tensor, numbers: Iterator[int]
) -> Iterator[Tensor]:
    """The images at the start and after each step of signed gradient ascent, all in step."""
    current = batch.images
    if offset.any():
        current = clipped(batch, current + eps * offset, eps)
    yield current
    for _ in range(loop.steps):
        seed_masks(batch, next(numbers))
        _, gradient = input_gradient(batch.model, current, batch.labels, loop.loss)
        step = eps / loop.steps_per_eps * gradient.sign()
        current = clipped(batch, current + step, eps)
        yield current


def clipped(batch: Batch, adversarial: Tensor, eps: Tensor) -> Tensor:
    """The nearest images within the ball, and then within the box."""
    near = adversarial.clamp(batch.images - eps, batch.images + eps)
    return near.clamp(*batch.box)


def classes_of(batch: Batch, images: Tensor) -> Tensor:
    """(n,): the class of each image, which the network judges with the same masks every time."""
    seed_masks(batch, 0)
    return finite_logits(batch.model, images).argmax(1)


def box_of(clip: Clip, shape: Shape, images: Tensor) -> tuple[Tensor, Tensor]:
    """What adversarial images are clipped to: least and greatest pixel, (channels, 1, 1) each.

    Raises:
        ValueError: there is no such clipping.
    """
    mean, std = (images.new_tensor(each).view(-1, 1, 1) for each in (shape.mean, shape.std))
    zero = torch.zeros_like(mean)
    match clip:
        case "pixel":
            return zero, zero + 1
        case "none":
            return zero - torch.inf, zero + torch.inf
        case "normalised":
            return mean, mean + std
    raise ValueError(f"clip {clip!r}; choose from {', '.join(get_args(Clip))}")


@contextmanager
def in_mode(model: Model, mode: Mode) -> Iterator[None]:
    """That mode and no gradients of parameters; afterwards all is as it was, buffers included.

    Raises:
        ValueError: there is no such mode.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode {mode!r}; choose from {', '.join(get_args(Mode))}")
    network = network_of(model)
    with frozen(model):
        network.train(mode == "train")
        with unchanged_buffers(network):
            yield


@contextmanager
def unchanged_buffers(network: nn.Module) -> Iterator[None]:
    """Whatever passes do to buffers is undone."""
    before = [
        (module, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        for module, name, buffer, value in before:
            setattr(module, name, buffer.copy_(value))


def own_randomness(device: torch.device) -> Any:  # noqa: ANN401  # a context, of a private type
    """What is drawn while this lasts moves no global generator in the end."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def seed_masks(batch: Batch, number: int) -> None:
    """Let the masks of dropout depend on the batch and the number of the pass alone."""
    text = f"{SEED}/{batch.number}/{number}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    device = batch.images.device
    cuda = device.type == "cuda"
    generator = torch.cuda.default_generators[device.index] if cuda else torch.default_generator
    generator.manual_seed(seed)
