"""`fit`, the only training loop: rotate, attack, step.

Everything random in an epoch is drawn from generators keyed by (trial.seed, epoch), so the
checkpoint after an epoch is all that the next one needs: a resumed training is bit-identical on
the CPU (with the same number of threads). The loop never asks which model it trains.
"""

import hashlib
import io
import math
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid import attacks, results
from rotgrid.data import Dataset, pixels, subset
from rotgrid.recipes import Recipe, recipe_of
from rotgrid.rotation import draw_angles, rotate
from rotgrid.spec import Trial

LARGEST_LOSS = 10 * math.log(10)
"""Ten times the cross-entropy of guessing: a training above it has diverged. In the first epoch
ten times as much is allowed: first logits may be large (H-Net's are) and take time to settle."""


class DivergedError(RuntimeError):
    """The loss is not finite, or far above that of guessing."""


def fit(
    model: nn.Module,
    dataset: Dataset,
    trial: Trial,
    checkpoint_in: results.Root | None = None,
) -> list[dict[str, Any]]:
    """Train `model` in place as `trial` says, on the device that it is on.

    Args:
        model: freshly built.
        dataset: on the same device; `trial.train_size` picks the subset.
        trial: recipe, rotation, adversary, seed.
        checkpoint_in: results location; a checkpoint is written there after each epoch, and one
            found there is resumed. None keeps none.

    Returns:
        A row per epoch: `epoch`, `train_loss`, `val_n`, `val_n_correct`, `seconds`. The model is
        left in evaluation mode.

    Raises:
        DivergedError: the mean loss of an epoch is not finite or above `LARGEST_LOSS`.
    """
    device = next(model.parameters()).device
    chosen = subset(dataset.train_labels, trial.train_size)
    images, labels = dataset.train_images[chosen], dataset.train_labels[chosen]
    optimizer, scheduler = optimiser(model, trial)
    rows: list[dict[str, Any]] = []
    name = f"checkpoints/{trial.key()}.training.pt"
    if checkpoint_in is not None and (saved := results.get(checkpoint_in, name)):
        state = torch.load(io.BytesIO(saved), weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        rows = state["rows"]
    for epoch in range(len(rows) + 1, trial.epochs + 1):
        start = time.perf_counter()
        loss = train_epoch(model, optimizer, scheduler, images, labels, trial, epoch)
        if not loss <= LARGEST_LOSS * (10 if epoch == 1 else 1):  # NaN is not <= anything
            raise DivergedError(f"mean training loss {loss:.4g} in epoch {epoch}")
        rows.append(
            {
                "epoch": epoch,
                "train_loss": loss,
                "val_n": len(dataset.val_labels),
                "val_n_correct": validate(model, dataset, trial),
                "seconds": time.perf_counter() - start,
            }
        )
        if checkpoint_in is not None:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"scheduler": scheduler.state_dict(), "rows": rows}
            results.put(checkpoint_in, name, serialize(state))
    model.eval()
    return rows


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    images: Tensor,
    labels: Tensor,
    trial: Trial,
    epoch: int,
) -> float:
    """One pass over the training images; the mean loss."""
    torch.manual_seed(epoch_seed(trial, epoch, "dropout"))
    shuffle = torch.Generator().manual_seed(epoch_seed(trial, epoch, "order"))
    order = torch.randperm(len(labels), generator=shuffle).to(images.device)
    angles = draw_angles(len(labels), trial.train_rotation, "train", seed=trial.seed, epoch=epoch)[
        order.cpu()
    ]
    starts = torch.Generator().manual_seed(epoch_seed(trial, epoch, "adversary"))
    total = torch.zeros((), device=images.device)
    model.train()
    for at in torch.arange(len(labels)).split(trial.batch_size):
        rotated = rotate(pixels(images[order[at]]), angles[at], trial.interpolation)
        eps = warm_eps(trial, epoch - 1 + at[0].item() / len(labels))
        loss = adversarial_loss(model, rotated, labels[order[at]], trial, eps, starts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.detach() * len(at)
    return total.item() / len(labels)


def adversarial_loss(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    trial: Trial,
    eps: float,
    generator: torch.Generator,
) -> Tensor:
    """`training_loss` of one batch under the trial's adversary (true label, eval mode).

    `fgsm` and `pgd` replace the batch by its adversarial images (Madry et al. 2018, eq. 2.1);
    `fgsm-mix` averages the clean and the adversarial loss (Goodfellow et al. 2015, section 6).
    """
    match trial.adversary:
        case "none":
            return training_loss(model, images, labels)
        case "fgsm":
            adversarial = attacks.fgsm(model, images, labels, eps=eps)
            return training_loss(model, adversarial, labels)
        case "fgsm-mix":
            adversarial = attacks.fgsm(model, images, labels, eps=eps)
            return training_loss(model, torch.cat([images, adversarial]), labels.repeat(2))
        case "pgd":
            recipe = recipe_of(trial.recipe, trial.model)
            adversarial = attacks.pgd(
                model,
                images,
                labels,
                eps=eps,
                steps=recipe.adversary_steps,
                step_size=eps * recipe.adversary_step_size,
                generator=generator,
            )
            return training_loss(model, adversarial, labels)


def training_loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of a batch: the model's own method `loss`, else the cross-entropy of its logits.

    Attacks never climb a model's own loss: that of capsules is flat where they are confident.
    """
    own: Callable[[Tensor, Tensor], Tensor] | None = getattr(model, "loss", None)
    return F.cross_entropy(model(images), labels) if own is None else own(images, labels)


def warm_eps(trial: Trial, epochs_done: float) -> float:
    """The adversary's eps at a point of the training: it grows linearly if the recipe says so."""
    warmup = recipe_of(trial.recipe, trial.model).adversary_warmup * trial.epochs
    return trial.adversary_eps * min(1.0, epochs_done / warmup if warmup else 1.0)


def optimiser(
    model: nn.Module, trial: Trial
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimiser of the trial's recipe, and the schedule of its learning rate per step."""
    recipe = recipe_of(trial.recipe, trial.model)
    optimizer: torch.optim.Optimizer
    weights, rate, decay = model.parameters(), trial.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(weights, rate, momentum=recipe.momentum, weight_decay=decay)
    else:
        kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        optimizer = kind(weights, rate, betas=(recipe.momentum, 0.999), weight_decay=decay)
    steps = trial.epochs * math.ceil(trial.train_size / trial.batch_size)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(recipe, steps))


def schedule(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Learning rate by step, as a share of its peak."""
    match recipe.schedule:
        case "constant":
            return lambda step: 1.0
        case "exponential":
            return lambda step: recipe.decay**step
        case "milestones":
            return lambda step: 0.1 ** sum(step >= share * steps for share in recipe.milestones)
        case "one-cycle":
            return one_cycle(steps)


def one_cycle(steps: int, rise: float = 0.25, first: float = 0.1) -> Callable[[int], float]:
    """A linear rise, then half a cosine to 0."""

    def share(step: int) -> float:
        progress = step / steps
        if progress < rise:
            return first + (1 - first) * progress / rise
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - rise) / (1 - rise))))

    return share


def validate(model: nn.Module, dataset: Dataset, trial: Trial) -> int:
    """Correctly classified validation images, turned like the training images."""
    angles = draw_angles(len(dataset.val_labels), trial.train_rotation, "val")
    rotated = rotate(pixels(dataset.val_images), angles, trial.interpolation)
    return int((attacks.predicted(model, rotated) == dataset.val_labels).sum())


def epoch_seed(trial: Trial, epoch: int, use: Literal["dropout", "order", "adversary"]) -> int:
    """A seed that depends on (seed, epoch) and what it is for."""
    return int.from_bytes(hashlib.sha256(f"{trial.seed}/{epoch}/{use}".encode()).digest()[:7])


def serialize(state: object) -> bytes:
    """A checkpoint as bytes, complete before anything is written."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
