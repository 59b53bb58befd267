"""What attacks the training images: the adversary of a trial, and how it grows.

Every adversary attacks in evaluation mode, with the true label, images that are already rotated.
Ours look at no number, so that no GPU is waited for and a step can be captured: what is not finite
makes the loss of the epoch NaN, and that ends the training.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.attacks import own_attack
from rotgrid.attacks.fgsm import ascent_direction, step_along
from rotgrid.attacks.linf import frozen, unchecked_gradient, unchecked_logits
from rotgrid.attacks.pgd import pgd_loop
from rotgrid.attacks.starts import Draw, normal_noise, uniform_offsets
from rotgrid.attacks.threats import LINF
from rotgrid.models.own_network import load_own
from rotgrid.spec import Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.entries import function_at, is_own, settings_named

RANDOM_STEP = 1.25
"""Step of `fgsm-rs` in units of eps (Wong et al. 2020, section 4.2; 0.375 for eps 0.3)."""

NOISE = 2
"""Of `n-fgsm` in units of eps: the authors' k (de Jorge et al. 2022, section 4)."""

KL_START = 0.001
"""Deviation, in pixel units, of the noise that `trades` starts from (Zhang et al. 2019)."""

CURRICULUM = ((0.625, 2 / 3, 1 / 4), (0.75, 5 / 6, 1 / 2), (math.inf, 1.0, 1.0))
"""Of `cusp`: (until which share of the training, share of the rotation, share of eps). The
authors' CIFAR-10 schedule: (120 degrees, 2/255) for 75 of 120 epochs, (150, 4/255) until 90, then
(180, 8/255)."""


DRAWS: Mapping[str, Draw] = {"offsets": uniform_offsets, "noise": normal_noise}
"""What adversaries draw for each batch, by the names in their signatures."""

Random = Mapping[str, Any]
"""What was drawn for a batch, by name; of own adversaries the `generator`."""


class Stage(NamedTuple):
    """What the training images undergo at a point of the training."""

    rotation: float
    """Images rotate by U[-rotation, rotation] degrees."""
    eps: float


def stage(trial: Trial, epochs_done: float) -> Stage:
    """Rotation and eps at a point of the training.

    `cusp` raises both together (Kamath et al. 2021): the recipe's `adversary_warmup` does not
    apply to it. For the others the rotation stays, and eps grows linearly if the recipe says so.
    Shifts stay for all.
    """
    if trial.adversary == "cusp":
        done = epochs_done / trial.passes()
        rotation, share = next(shares for until, *shares in CURRICULUM if done < until)
        return Stage(rotation * trial.train_rotation, share * trial.adversary_eps)
    warmup = trial.recipe_used().adversary_warmup * trial.passes()
    grown = min(1.0, epochs_done / warmup if warmup else 1.0)
    return Stage(trial.train_rotation, trial.adversary_eps * grown)


def perturbed(
    model: nn.Module, images: Tensor, labels: Tensor, trial: Trial, eps: float, random: Random
) -> Tensor:
    """The images as the trial's adversary makes them, by what `draw` has drawn for them."""
    recipe = trial.recipe_used()
    settings: dict[str, Any] = {
        "eps": eps,
        "steps": recipe.adversary_steps,
        "step_size": eps * recipe.adversary_step_size,
        **random,
    }
    perturb = adversary_of(trial)
    named = settings_named(perturb)
    told = {k: v for k, v in settings.items() if k in named}
    if is_own(trial.adversary):
        return own_attack.perturbed(trial.adversary, perturb, model, images, labels, **told)
    return perturb(model, images, labels, **told)


def draw(trial: Trial, images: Tensor, generator: torch.Generator) -> Random:
    """What is random in the trial's adversary, for a batch: drawn before the step, since one that
    is captured as a CUDA graph draws nothing. Own adversaries get the generator itself."""
    if is_own(trial.adversary):
        return {"generator": generator}
    named = settings_named(adversary_of(trial))
    return {name: of(images, generator) for name, of in DRAWS.items() if name in named}


def adversary_of(trial: Trial) -> Callable[..., Tensor]:
    """What makes the images of the trial's adversary, by the settings that its signature names."""
    return (
        load_own(trial.adversary, trial.adversary_digest)
        if is_own(trial.adversary)
        else function_at("rotgrid.training", ADVERSARIES[trial.adversary].run)
    )


def unperturbed(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The images, as they are."""
    return images


def fgsm_unchecked(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float) -> Tensor:
    """`attacks.fgsm`."""
    return step_along(images, ascent_direction(model, images, labels, unchecked_gradient), eps)


def pgd_from_random(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int,
    step_size: float,
    offsets: Tensor,
) -> Tensor:
    """PGD from one random point of the ball (Madry et al. 2018)."""
    start = LINF.project(images + eps * offsets, images, eps)
    with frozen(model):
        return pgd_loop(
            model, images, labels, start, eps, steps, step_size, "ce", check=False
        )[0]  # fmt: skip


def fgsm_from_random(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, offsets: Tensor
) -> Tensor:
    """One step of 1.25 eps from a random point of the ball, projected (Wong et al. 2020).

    The start is kept within [0, 1], as in their CIFAR-10 code; their MNIST code does not.
    """
    start = LINF.project(images + eps * offsets, images, eps)
    direction = ascent_direction(model, start, labels, unchecked_gradient)
    return LINF.project(start + RANDOM_STEP * eps * direction, images, eps)


def fgsm_from_noise(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, offsets: Tensor
) -> Tensor:
    """N-FGSM (de Jorge et al. 2022, algorithm 1): noise of 2 eps, then one step of eps from there.

    Nothing is projected to the ball, so that a pixel may change by 3 eps; it stays within [0, 1].
    The noise is kept within [0, 1] before the gradient is taken, as in the authors' code.
    """
    start = step_along(images, NOISE * offsets, eps)
    return step_along(start, ascent_direction(model, start, labels, unchecked_gradient), eps)


def most_divergent(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int,
    step_size: float,
    noise: Tensor,
) -> Tensor:
    """Images whose predictions differ most, by `divergence`, from those of the clean ones.

    Signed gradient ascent from x + 0.001 N(0, 1), where the gradient is not 0 as it is at x
    (Zhang et al. 2019, algorithm 1). The labels are not used. Unlike the authors' start, ours is
    projected too, and the network is in evaluation mode throughout.
    """
    current = LINF.project(images + KL_START * noise, images, eps)
    with frozen(model):
        clean = unchecked_logits(model, images)
        for _ in range(steps):
            _, gradient = unchecked_gradient(
                model, current, labels, lambda logits, _: divergence(clean, logits)
            )
            current = LINF.project(current + step_size * gradient.sign(), images, eps)
    return current


def divergence(clean: Tensor, other: Tensor) -> Tensor:
    """KL(softmax(clean) || softmax(other)) of logits, summed over the batch."""
    return F.kl_div(other.log_softmax(1), clean.log_softmax(1), reduction="sum", log_target=True)
