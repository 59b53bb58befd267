"""What training lowers: the loss of a batch under the trial's adversary, in its precision."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.spec import Trial
from rotgrid.spec.vocabulary import Precision
from rotgrid.training.adversarial import Random, divergence, perturbed


def adversarial_loss(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    trial: Trial,
    eps: float,
    random: Random,
) -> Tensor:
    """The loss of one batch under the trial's adversary.

    `fgsm`, `fgsm-rs`, `n-fgsm`, `pgd` and `cusp` replace the batch by its adversarial images
    (Madry et al. 2018, eq. 2.1); `fgsm-mix` averages the clean and the adversarial loss
    (Goodfellow et al. 2015, section 6); `trades` adds to the clean loss what the adversary makes
    of the prediction.
    """
    adversarial = perturbed(model, images, labels, trial, eps, random)
    match trial.adversary:
        case "fgsm-mix":
            both = torch.cat([images, adversarial])
            return training_loss(model, both, labels.repeat(2), trial.precision)
        case "trades":
            beta = trial.recipe_used().trades_beta
            return trades_loss(model, images, labels, adversarial, beta, trial.precision)
        case _:
            return training_loss(model, adversarial, labels, trial.precision)


def training_loss(
    model: nn.Module, images: Tensor, labels: Tensor, precision: Precision = "float32"
) -> Tensor:
    """Mean loss of a batch: the model's own `training_loss`, or the cross-entropy of its logits.

    Attacks never climb a model's own loss: that of capsules is flat where they are confident.
    """
    own = own_loss(model)
    with computing_in(precision, images.device):
        found = model(images) if own is None else own(images, labels)
    return F.cross_entropy(found.float(), labels) if own is None else found.float()


def computing_in(precision: Precision, device: torch.device) -> torch.autocast:
    """Where this lasts, networks compute in that precision; their weights stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def trades_loss(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    adversarial: Tensor,
    beta: float,
    precision: Precision = "float32",
) -> Tensor:
    """`training_loss` + beta * KL(f(x) || f(x')), means (Zhang et al. 2019, eq. 5).

    The gradient also flows through f(x), as in the authors' code. A model's own loss needs a
    forward pass of its own; the divergence is that of the softmax of its logits all the same.
    """
    own = own_loss(model)
    with computing_in(precision, images.device):
        logits = model(images)
        own_clean = None if own is None else own(images, labels)
        attacked = model(adversarial)
    logits, attacked = logits.float(), attacked.float()
    clean = F.cross_entropy(logits, labels) if own_clean is None else own_clean.float()
    return clean + beta * divergence(logits, attacked) / len(images)


def own_loss(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The model's method `training_loss`, if it has one: a `loss` may be anything."""
    return getattr(model, "training_loss", None)
