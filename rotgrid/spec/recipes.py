"""Named optimiser settings, and the watch on adversarial training.

The contents of a recipe are part of the key of every trial.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

RecipeName = Literal["paper", "fast", "original", "converged", "paper-long"]

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


ORIGINALS: dict[str, Recipe] = {
    "stdcnn": PAPER,
    "gcnn": PAPER,
    # Worrall et al. 2017: the rate falls after every 50 epochs.
    "hnet": adam(0.0076, 46, 200, schedule="milestones", milestones=(0.25, 0.5, 0.75)),
    "ptn": adam(0.01, 200, 500),  # Esteves et al. 2018
    # COGMAR/RotEqNet: the rate falls after 20 and 40 epochs.
    "roteqnet": adam(0.01, 128, 90, schedule="milestones", milestones=(20 / 90, 40 / 90)),
    # Sabour et al. 2017: 0.96 per 2,000 steps; 300,000 steps of 128 of 60,000 images.
    "capsnet": adam(1e-3, 128, 640, schedule="exponential", decay=0.96 ** (1 / 2000)),
    "z2cnn": adam(1e-3, 128, 300),  # Cohen & Welling 2016
    "p4cnn": adam(1e-3, 128, 100),
    "tipooling": adam(1e-4, 64, 100),  # dlaptev/TI-pooling, TensorFlow; no number of epochs given
    "cyclic": PAPER,  # no MNIST network was published: that of Table 1, which ours derives from
    # Li et al. 2017: 400,000 steps of 32 of 12,000 images, the rate falls after every 120,000.
    "dren": adam(
        1e-3, 32, 1067, weight_decay=1e-4, schedule="milestones", milestones=(0.3, 0.6, 0.9)
    ),
    "steerable": adam(1e-3, 128, 100),  # no MNIST network was published: that of p4cnn
    "emcaps": adam(0.01, 128, 30),  # yl-1993; there the rate also falls when accuracy stalls
    "madrycnn": adam(1e-4, 50, 90),  # Madry et al. 2018: 100,000 steps, PGD 40 x eps / 30
}
"""Each model as its authors (or, failing them, the code that we follow) trained it."""

RECIPES: dict[RecipeName, Recipe] = {
    "paper": PAPER,
    "fast": FAST,
    "converged": CONVERGED,
    "paper-long": PAPER_LONG,
}
"""One for all models; `original` is one for each."""

FOR_MODEL: dict[tuple[RecipeName, str], dict[str, object]] = {
    ("fast", "hnet"): {"learning_rate": 1e-3, "epochs": 8},
    ("converged", "hnet"): {"learning_rate": 1e-3, "epochs": 60},
    ("paper", "hnet"): {"learning_rate": 1e-5},
    ("paper-long", "hnet"): {"learning_rate": 1e-5},
}
"""What a recipe sets for a model by itself. H-Net's first weights are of the size 0.01 and its
first logits of the size 10: Adam's steps of 0.005 throw the weights about for as long as a short
training lasts, and SGD's at a rate of 1e-3 make the loss grow. It also learns slower than others.
"""


def recipe_of(name: RecipeName, model: str) -> Recipe:
    """The recipe of that name for that model.

    Raises:
        KeyError: there is none.
    """
    if name == "original":
        return ORIGINALS[model]
    own = FOR_MODEL.get((name, model))
    return RECIPES[name].model_copy(update=own) if own else RECIPES[name]


def canonical(name: RecipeName, model: str) -> RecipeName:
    """The first recipe with the same contents for that model: `original` is `paper` for some."""
    contents = recipe_of(name, model)
    names: tuple[RecipeName, ...] = get_args(RecipeName)
    return next(other for other in names if recipe_of(other, model) == contents)
