"""`fit`, the only training loop: rotate, attack, step; and a watch on adversarial training.

Everything random in an epoch is drawn from generators keyed by (trial.seed, epoch), so a
checkpoint after an epoch is all that the next one needs: a resumed training is bit-identical on
the CPU (with the same number of threads). The loop never asks which model it trains.
"""

import copy
import hashlib
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rotgrid import attacks, deadline
from rotgrid.data import Dataset, pixels, subset
from rotgrid.results import checkpoints, storage
from rotgrid.rotation import draw_angles, rotate
from rotgrid.spec import Trial, batch_sizes
from rotgrid.spec.recipes import WATCH_STEPS, Recipe, overfitted, recipe_of, watched
from rotgrid.training.adversarial import stage
from rotgrid.training.cuda_graph import Step, stepper

LOG = logging.getLogger(__name__)

Row = dict[str, Any]

LARGEST_LOSS = 10 * math.log(10)
"""Ten times the cross-entropy of guessing: a training above it has diverged. In the first epoch
ten times as much is allowed: first logits may be large (H-Net's are) and take time to settle."""

AT_ONCE = {"cpu": 256, "cuda": 16_384}
"""Images that are turned at once: on a CPU as many as stay in its cache."""


CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints of a training, at least."""


def ignore(what: str) -> None:
    """Tell nobody what begins."""


class DivergedError(RuntimeError):
    """The loss is not finite, or far above that of guessing."""


def fit(
    model: nn.Module,
    dataset: Dataset,
    trial: Trial,
    checkpoint_in: storage.Root | None = None,
    until: float = deadline.NEVER,
    progress: Callable[[str], object] = ignore,
) -> list[Row]:
    """Train `model` in place as `trial` says, on the device that it is on.

    Args:
        model: freshly built.
        dataset: on the same device; `trial.train_size` picks the subset.
        trial: recipe, rotation, adversary, seed.
        checkpoint_in: results location; a checkpoint is written there once a minute or so, after
            an epoch but the last, and one found there is resumed. None keeps none.
        until: reading of `time.monotonic` at which to stop.
        progress: is told what begins, as in `epoch 3 of 10`.

    Returns:
        A row per epoch: `epoch`, `train_loss`, those of `validate`, `seconds`. Of a training by
        `train_steps` a row for each tenth of it. The model is left in evaluation mode.

    Raises:
        DivergedError: the mean loss of an epoch is not finite or above `LARGEST_LOSS`, or a
            weight is not finite in the end.
        TimeLimitError: it is past `until`; a later call goes on from the last checkpoint.
        StoreError: a checkpoint could not be read or written.
    """
    chosen = subset(dataset.train_labels, trial.train_size)
    images, labels = dataset.train_images[chosen], dataset.train_labels[chosen]
    optimizer, scheduler = optimiser(model, trial)
    val_images, val_labels = turned_validation(dataset, trial)
    training = Training(model, optimizer, scheduler)
    name = checkpoints.training_of(trial.key())
    done, rows = resumed(checkpoint_in, name, training, trial)
    step = stepper(model, optimizer, trial)
    every, written = seconds_between_checkpoints(until), time.monotonic()
    last, start = math.ceil(trial.passes()), time.perf_counter()
    for epoch in range(done + 1, last + 1):
        progress(f"epoch {epoch} of {last}")
        loss = train_epoch(step, scheduler, images, labels, trial, epoch, until)
        if not loss <= LARGEST_LOSS * (10 if epoch == 1 else 1):  # NaN is not <= anything
            raise DivergedError(f"mean training loss {loss:.4g} in epoch {epoch}")
        if has_row(trial, epoch):
            row = {"epoch": epoch, "train_loss": loss}
            row |= validate(model, val_images, val_labels, trial)
            rows.append(row | {"seconds": time.perf_counter() - start})
            start = time.perf_counter()
            if overfitted(rows) == epoch:
                LOG.warning("%s: catastrophic overfitting in epoch %d", trial.key(), epoch)
        due = time.monotonic() - written >= every and epoch < last
        if checkpoint_in is not None and due:
            state = {**training.state_dict(), "rows": rows, "epoch": epoch}
            storage.put(checkpoint_in, name, checkpoints.serialize(state, {"key": trial.key()}))
            written = time.monotonic()
    if not all(weight.isfinite().all() for weight in model.parameters()):
        raise DivergedError("weights are not finite after the last epoch")
    model.eval()
    return rows


def seconds_between_checkpoints(until: float) -> float:
    """At least so many: fewer if all ends soon, so that one more attempt has less to do."""
    return max(0.0, min(CHECKPOINT_SECONDS, (until - time.monotonic()) / 10))


class Training(NamedTuple):
    """What changes in a training."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler

    def state_dict(self) -> dict[str, Any]:
        """All of it, by name."""
        return {name: part.state_dict() for name, part in self._asdict().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            Exception: of any kind, if it is that of another training; then parts are changed.
        """
        device = next(self.model.parameters()).device
        checkpoints.take(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        rates_to(self.optimizer, device)
        self.scheduler.load_state_dict(state["scheduler"])


def has_row(trial: Trial, epoch: int) -> bool:
    """Whether the network is validated after an epoch: each, or where many small ones make
    `train_steps` the first after each tenth of the training."""
    tenths = [min(10, math.floor(10 * at / trial.passes())) for at in (epoch - 1, epoch)]
    return not trial.train_steps or tenths[0] < tenths[1]


def resumed(
    root: storage.Root | None, name: str, training: Training, trial: Trial
) -> tuple[int, list[Row]]:
    """Go on from a stored training: how many epochs it has, and their rows; 0 and none if there
    is none of this trial.

    A damaged one is logged, and the training stays as it was.
    """
    found = None if root is None else checkpoints.load(root, name)
    if found is None:
        return 0, []
    before = copy.deepcopy(training.state_dict())
    try:
        rows: list[Row] = found.state["rows"]
        done = int(found.state.get("epoch", len(rows)))  # earlier versions: a row for each
        fits = len(rows) <= done <= trial.passes()
        if found.notes.get("key", trial.key()) != trial.key() or not fits:
            raise ValueError("of another trial")
        training.load_state_dict(found.state)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        checkpoints.report_damage(name, error)
        training.load_state_dict(before)
        return 0, []
    return done, rows


def train_epoch(
    step: Step,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    images: Tensor,
    labels: Tensor,
    trial: Trial,
    epoch: int,
    until: float = deadline.NEVER,
) -> float:
    """One pass over the training images, or what is left of the steps; the mean loss.

    On a GPU nothing here waits for it but the last line (and adversaries that search).
    """
    torch.manual_seed(epoch_seed(trial, epoch, "dropout"))
    starts = torch.Generator().manual_seed(epoch_seed(trial, epoch, "adversary"))
    total = torch.zeros((), device=images.device)
    sizes = batch_sizes(len(labels), trial.batch_size)
    sizes = sizes[: trial.steps() - (epoch - 1) * len(sizes)]
    for batch, truth, eps in itertools.islice(batches(images, labels, trial, epoch), len(sizes)):
        deadline.check(until, f"epoch {epoch}")
        total += step(batch, truth, eps, starts) * len(truth)
        scheduler.step()
    return total.item() / sum(sizes)


def batches(
    images: Tensor, labels: Tensor, trial: Trial, epoch: int
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """The turned images of an epoch, their labels, and the adversary's eps, batch by batch."""
    n, size = len(labels), trial.batch_size
    shuffle = torch.Generator().manual_seed(epoch_seed(trial, epoch, "order"))
    order = torch.randperm(n, generator=shuffle)
    turns = draw_angles(n, 1.0, "train", seed=trial.seed, epoch=epoch)[order]
    sizes = batch_sizes(n, size)
    stages = [stage(trial, epoch - 1 + at / n) for at in range(0, n, size)][: len(sizes)]
    rotations = torch.tensor([now.rotation for now in stages], dtype=turns.dtype)
    angles = turns * rotations.repeat_interleave(torch.tensor(sizes))
    order, eps = order.to(images.device), iter(stages)
    many = batches_at_once(size, images.device)
    for first in range(0, len(sizes), many):
        some = sizes[first : first + many]
        part = slice(first * size, first * size + sum(some))
        turned = rotate(pixels(images[order[part]]), angles[part], trial.interpolation)
        for batch, truth in zip(turned.split(some), labels[order[part]].split(some), strict=True):
            yield batch, truth, next(eps).eps


def batches_at_once(size: int, device: torch.device) -> int:
    """Batches whose images are turned at once."""
    return max(1, AT_ONCE[device.type] // size)


def optimiser(
    model: nn.Module, trial: Trial
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimiser of the trial's recipe, and the schedule of its learning rate per step."""
    recipe = recipe_of(trial.recipe, trial.model)
    weights = list(model.parameters())
    device = weights[0].device
    on_gpu = device.type == "cuda"
    settings: dict[str, Any] = {
        "weight_decay": recipe.weight_decay,
        "fused": True,
        # A recorded step reads the rate from the GPU.
        "lr": torch.tensor(trial.learning_rate, device=device) if on_gpu else trial.learning_rate,
    }
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(weights, momentum=recipe.momentum, **settings)
    else:
        kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        betas = (recipe.momentum, 0.999)
        optimizer = kind(weights, betas=betas, capturable=on_gpu, **settings)
    rates = schedule(recipe, trial.steps())
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rates)


def rates_to(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Put learning rates that are tensors on the device, where `load_state_dict` leaves them."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"] = group["lr"].to(device)


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


def turned_validation(dataset: Dataset, trial: Trial) -> tuple[Tensor, Tensor]:
    """Validation images turned like the training images (of the last stage), and their labels."""
    angles = draw_angles(len(dataset.val_labels), trial.train_rotation, "val")
    turned = rotate(pixels(dataset.val_images), angles, trial.interpolation)
    return turned, dataset.val_labels


def validate(model: nn.Module, images: Tensor, labels: Tensor, trial: Trial) -> Row:
    """How many images are classified correctly; with an adversary also how many under attack.

    The attack is a PGD of 10 steps of eps / 4 at the trial's full eps, from the same starts after
    every epoch, on a stratified part of the images.
    """
    row: Row = {"val_n": len(labels)}
    row["val_n_correct"] = int((attacks.predicted(model, images) == labels).sum())
    if trial.adversary == "none":
        return row | {"val_robust_n": None, "val_robust_n_correct": None}
    chosen = subset(labels, watched(trial.train_size, len(labels)))
    survived = attacks.sweep(
        model,
        images[chosen],
        labels[chosen],
        attack="pgd",
        eps_grid=[trial.adversary_eps],
        steps=WATCH_STEPS,
        step_size=trial.adversary_eps / 4 or None,
        generator=torch.Generator().manual_seed(0),
    )
    return row | {"val_robust_n": len(chosen), "val_robust_n_correct": int(survived.sum())}


def epoch_seed(trial: Trial, epoch: int, use: Literal["dropout", "order", "adversary"]) -> int:
    """A seed that depends on (seed, epoch) and what it is for."""
    return int.from_bytes(hashlib.sha256(f"{trial.seed}/{epoch}/{use}".encode()).digest()[:7])
