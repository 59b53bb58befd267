"""Named optimiser settings, and the watch on adversarial training.

The contents of a recipe are part of the key of every trial.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

WATCH_STEPS = 10
"""Steps of the attack that watches adversarial training."""

LEAST_ROBUST = 0.3
"""Three times guessing. From here on a fall to less than half is no chance: of the 100 images that
the watch has at least, it is three standard deviations."""


def watched(train_size: int, validation: int) -> int:
    """How many of the validation images it attacks after each epoch: 1,000, or as few as keep it
    cheap beside an epoch of few training images."""
    return min(validation, max(100, min(1_000, train_size // 40)))


def robustness_lost(epochs: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, float]]:
    """The epochs with catastrophic overfitting (Wong et al. 2020), and the share that is lost.

    There the robust accuracy is less than half of the best of the epochs before, which was at
    least `LEAST_ROBUST`, while the clean accuracy is at least half of its best: a network that
    loses both has collapsed to few classes, which is another failure.

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


def overfitted(epochs: Iterable[Mapping[str, Any]]) -> int | None:
    """The first epoch of `robustness_lost`, if any."""
    return next((epoch for epoch, _ in robustness_lost(epochs)), None)


class Recipe(BaseModel):
    """How a network is trained, where the trial does not say otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    optimizer: Literal["sgd", "adam", "adamw"]
    momentum: float
    """Of SGD; the first beta of Adam, whose second is 0.999."""
    weight_decay: float
    """Added to the gradient by `sgd` and `adam`; decoupled in `adamw`."""
    schedule: Literal["constant", "one-cycle", "milestones", "exponential"]
    learning_rate: float
    batch_size: int
    epochs: int
    adversary_steps: int = 40
    """Steps of the iterative adversaries: `pgd`, `trades` and `cusp`."""
    adversary_step_size: float = 1 / 30
    """Step size of the iterative adversaries in units of eps."""
    adversary_warmup: float = 0.0
    """Share of the training over which the adversary's eps grows from 0, so that small networks
    do not collapse to one class (Gowal et al. 2018 and others). Not for `cusp`, which has its own
    curriculum."""
    milestones: tuple[float, ...] = ()
    """Of schedule `milestones`: shares of the training after each of which the learning rate is
    divided by 10."""
    decay: float = 1.0
    """Of schedule `exponential`: what the learning rate is multiplied by after each step."""
    trades_beta: float = 1.0
    """Of the `trades` adversary: weight of the divergence (1 for MNIST in Zhang et al. 2019)."""

    def contents(self) -> dict[str, object]:
        """What belongs in a key: all but the later fields that are not used."""
        later = {"milestones": (), "decay": 1.0, "trades_beta": 1.0}
        fields = self.model_dump()
        return {name: v for name, v in fields.items() if v != later.get(name, NotImplemented)}


# The MNIST example of adambielski/pytorch-gconv-experiments, the likely origin of Table 1.
PAPER = Recipe(
    optimizer="sgd",
    momentum=0.5,
    weight_decay=0.0,
    schedule="constant",
    learning_rate=0.01,
    batch_size=64,
    epochs=10,
)
FAST = Recipe(
    optimizer="adamw",
    momentum=0.9,
    weight_decay=1e-4,
    schedule="one-cycle",
    learning_rate=5e-3,
    batch_size=64,
    epochs=4,
    adversary_steps=10,
    adversary_step_size=0.25,
    adversary_warmup=0.5,
)


# For as long as accuracy grows: README, "What the recipe changes". At the rate of 0.005 the loss
# stands still for half of a long training.
CONVERGED = FAST.model_copy(update={"epochs": 40, "learning_rate": 2e-3})
PAPER_LONG = PAPER.model_copy(update={"epochs": 100})


def adam(learning_rate: float, batch_size: int, epochs: int, **more: object) -> Recipe:
    """Adam as the originals use it, at a constant rate unless said otherwise."""
    return Recipe.model_validate(
        {
            "optimizer": "adam",
            "momentum": 0.9,
            "weight_decay": 0.0,
            "schedule": "constant",
            "learning_rate": learning_rate,
            "batch_size": batch_size,
            "epochs": epochs,
            **more,
        }
    )


RECIPES: dict[str, Recipe] = {
    "paper": PAPER,
    "fast": FAST,
    "converged": CONVERGED,
    "paper-long": PAPER_LONG,
}
"""One for all models."""

RECIPE_NAMES = (*RECIPES, "original")
"""`original` is one for each model (`rotgrid.spec.models`)."""

if TYPE_CHECKING:
    RecipeName: TypeAlias = str
else:
    RecipeName = Literal[RECIPE_NAMES]
