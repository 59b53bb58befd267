"""What is measured on the validation images after an epoch: accuracy, and robust accuracy where a
training has an adversary."""

from typing import Any

import torch
from torch import Tensor, nn

from rotgrid import attacks
from rotgrid.data import Dataset, pixels, subset
from rotgrid.rotation import draw_angles, draw_shifts, transform
from rotgrid.spec import Trial
from rotgrid.spec.overfitting import WATCH_STEPS, watched_images

Row = dict[str, Any]


def rotated_validation(dataset: Dataset, trial: Trial) -> tuple[Tensor, Tensor]:
    """Validation images rotated and shifted like the training images (of the last stage), and
    their labels."""
    n = len(dataset.val_labels)
    angles = draw_angles(n, trial.train_rotation, "val")
    shifts = draw_shifts(n, trial.train_translation, "val")
    moved = transform(pixels(dataset.val_images), angles, shifts, trial.interpolation)
    return moved, dataset.val_labels


def validate(model: nn.Module, images: Tensor, labels: Tensor, trial: Trial) -> Row:
    """How many images are classified correctly; with an adversary also how many under attack.

    The attack is a PGD of 10 steps of eps / 4 at the trial's full eps, from the same starts after
    every epoch, on a stratified part of the images.
    """
    row: Row = {"val_n": len(labels)}
    row["val_n_correct"] = int((attacks.predicted(model, images) == labels).sum())
    if trial.adversary == "none":
        return row | {"val_robust_n": None, "val_robust_n_correct": None}
    chosen = subset(labels, watched_images(trial.train_size, len(labels)))
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
