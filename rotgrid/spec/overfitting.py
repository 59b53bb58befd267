"""The watch on adversarial training: how it is kept, and when it sees catastrophic overfitting."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

WATCH_STEPS = 10
"""Steps of the attack that watches adversarial training."""

LEAST_ROBUST = 0.3
"""Three times guessing. From here on a fall to less than half is no chance: of the 100 images that
the watch has at least, it is three standard deviations."""


def watched_images(train_size: int, validation: int) -> int:
    """How many of the validation images it attacks after each epoch: 1,000, or as few as keep it
    cheap beside an epoch of few training images."""
    return min(validation, max(100, min(1_000, train_size // 40)))


def overfitted_epochs(epochs: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, float]]:
    """Yields (epoch, share of robust accuracy lost) for each epoch with catastrophic overfitting.

    So is one (Wong et al. 2020) in which robust accuracy is less than half of its best before,
    that best being at least `LEAST_ROBUST`, while clean accuracy is at least half of its own best:
    a network that loses both has collapsed to few classes, which is another failure.

    Args:
        epochs: rows of table `training`, of one trial and in order; those without the watch's
            counts are passed over.
    """
    best_robust = best_clean = 0.0
    for row in epochs:
        if row.get("val_robust_n") is None:
            continue
        robust = row["val_robust_n_correct"] / row["val_robust_n"]
        clean = row["val_n_correct"] / row["val_n"]
        lost = best_robust >= LEAST_ROBUST and robust < best_robust / 2
        if lost and clean >= best_clean / 2:
            yield int(row["epoch"]), 1 - robust / best_robust
        best_robust, best_clean = max(best_robust, robust), max(best_clean, clean)


def first_overfitted_epoch(epochs: Iterable[Mapping[str, Any]]) -> int | None:
    """The first epoch of `overfitted_epochs`, if any."""
    return next((epoch for epoch, _ in overfitted_epochs(epochs)), None)
