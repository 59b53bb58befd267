"""`fit`, the only training loop: rotate, shift, attack, step; and a watch on adversaries.

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

from rotgrid import deadline
from rotgrid.data import Dataset, pixels, subset
from rotgrid.results import checkpoints, storage
from rotgrid.rotation import draw_angles, draw_shifts, transform
from rotgrid.spec import Trial, batch_sizes
from rotgrid.spec.overfitting import first_overfitted_epoch
from rotgrid.training import optimizers
from rotgrid.training.adversarial import draw, stage
from rotgrid.training.cuda_graph import Step, stepper
from rotgrid.training.validation import Row, rotated_validation, validate

LOG = logging.getLogger(__name__)

LARGEST_LOSS = 10.0
"""Times the cross-entropy of guessing: a training above it has diverged. In the first epoch ten
times as much is allowed: first logits may be large (H-Net's are) and take time to settle."""

ROTATION_CHUNK = {"cpu": 256, "cuda": 16_384}
"""Images that are rotated at once: on a CPU as many as stay in its cache."""

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
    images, labels = training_images(dataset, trial)
    optimizer, scheduler = optimizers.build(model, trial)
    val = rotated_validation(dataset, trial)
    training = Training(model, optimizer, scheduler)
    name = checkpoints.training_of(trial.key())
    done, rows = resume(checkpoint_in, name, training, trial)
    step = stepper(model, optimizer, trial)
    every, written = seconds_between_checkpoints(until), time.monotonic()
    last, start = math.ceil(trial.passes()), time.perf_counter()
    for epoch in range(done + 1, last + 1):
        progress(f"epoch {epoch} of {last}")
        loss = train_epoch(step, scheduler, images, labels, trial, epoch, until)
        require_convergence(loss, epoch, dataset.shape.classes)
        if has_row(trial, epoch):
            found = validate(model, *val, trial)
            seconds, start = time.perf_counter() - start, time.perf_counter()
            rows.append({"epoch": epoch, "train_loss": loss, **found, "seconds": seconds})
            if first_overfitted_epoch(rows) == epoch:
                LOG.warning("%s: catastrophic overfitting in epoch %d", trial.key(), epoch)
        if checkpoint_in is not None and time.monotonic() - written >= every and epoch < last:
            state = {**training.state_dict(), "rows": rows, "epoch": epoch}
            notes = {"key": trial.key(), "trial": trial.model_dump(), "rows": rows}
            storage.put(checkpoint_in, name, checkpoints.serialize(state, notes))
            written = time.monotonic()
    require_finite(model)
    with torch.no_grad():  # what is built of the weights in `eval` carries no gradient
        model.eval()
    return rows


def training_images(dataset: Dataset, trial: Trial) -> tuple[Tensor, Tensor]:
    """The images (n, channels, height, width) that a trial trains on, and their labels (n,)."""
    chosen = subset(dataset.train_labels, trial.train_size)
    return dataset.train_images[chosen], dataset.train_labels[chosen]


def require_convergence(loss: float, epoch: int, classes: int) -> None:
    """Refuse to go on after an epoch of such a mean loss.

    Raises:
        DivergedError: it is not finite, or above `LARGEST_LOSS`.
    """
    most = LARGEST_LOSS * math.log(classes) * (10 if epoch == 1 else 1)
    if not loss <= most:  # NaN is not <= anything
        raise DivergedError(f"mean training loss {loss:.4g} in epoch {epoch}")


def require_finite(model: nn.Module) -> None:
    """Refuse weights that are not finite: the loss of an epoch was that before its last step.

    Raises:
        DivergedError: one is not.
    """
    if not all(weight.isfinite().all() for weight in model.parameters()):
        raise DivergedError("weights are not finite after the last epoch")


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
        optimizers.rates_to(self.optimizer, device)
        self.scheduler.load_state_dict(state["scheduler"])


def has_row(trial: Trial, epoch: int) -> bool:
    """Whether the network is validated after an epoch: each, or where many small ones make
    `train_steps` the first after each tenth of the training."""
    tenths = [min(10, math.floor(10 * at / trial.passes())) for at in (epoch - 1, epoch)]
    return not trial.train_steps or tenths[0] < tenths[1]


def resume(
    root: storage.Root | None, name: str, training: Training, trial: Trial
) -> tuple[int, list[Row]]:
    """Go on from a stored training: how many epochs it has, and their rows; 0 and none if there
    is none of this trial.

    A damaged one is logged, and the training stays as it was. In either case the model is in
    training mode, as it was when it was stored: e2cnn's layers have other buffers in evaluation.
    """
    training.model.train()
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

    On a GPU nothing here waits for it but the last line, and own adversaries.
    """
    torch.manual_seed(epoch_seed(trial, epoch, "dropout"))
    starts = torch.Generator().manual_seed(epoch_seed(trial, epoch, "adversary"))
    total = torch.zeros((), device=images.device)
    sizes = batch_sizes(len(labels), trial.batch_size)
    sizes = sizes[: trial.steps() - (epoch - 1) * len(sizes)]
    for batch, truth, eps in itertools.islice(batches(images, labels, trial, epoch), len(sizes)):
        deadline.check(until, f"epoch {epoch}")
        total += step(batch, truth, eps, draw(trial, batch, starts)) * len(truth)
        scheduler.step()
    return total.item() / sum(sizes)


def batches(
    images: Tensor, labels: Tensor, trial: Trial, epoch: int
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """The moved images of an epoch, their labels, and the adversary's eps, batch by batch: each is
    rotated and shifted by its own draws, in one resampling."""
    n, size = len(labels), trial.batch_size
    shuffle = torch.Generator().manual_seed(epoch_seed(trial, epoch, "order"))
    order = torch.randperm(n, generator=shuffle)
    unit_angles = draw_angles(n, 1.0, "train", seed=trial.seed, epoch=epoch)[order]
    sizes = batch_sizes(n, size)
    stages = [stage(trial, epoch - 1 + at / n) for at in range(0, n, size)][: len(sizes)]
    rotations = torch.tensor([now.rotation for now in stages], dtype=unit_angles.dtype)
    angles = unit_angles * rotations.repeat_interleave(torch.tensor(sizes))
    shifts = draw_shifts(n, trial.train_translation, "train", seed=trial.seed, epoch=epoch)[order]
    order, eps = order.to(images.device), iter(stages)
    chunk = batches_per_chunk(size, images.device)
    for first in range(0, len(sizes), chunk):
        some = sizes[first : first + chunk]
        part = slice(first * size, first * size + sum(some))
        moved = transform(
            pixels(images[order[part]]), angles[part], shifts[part], trial.interpolation
        )
        for batch, truth in zip(moved.split(some), labels[order[part]].split(some), strict=True):
            yield batch, truth, next(eps).eps


def batches_per_chunk(size: int, device: torch.device) -> int:
    """Batches whose images are rotated at once."""
    return max(1, ROTATION_CHUNK[device.type] // size)


def epoch_seed(trial: Trial, epoch: int, use: Literal["dropout", "order", "adversary"]) -> int:
    """A seed that depends on (seed, epoch) and what it is for."""
    return int.from_bytes(hashlib.sha256(f"{trial.seed}/{epoch}/{use}".encode()).digest()[:7])
