"""Named optimiser settings.

The contents of a recipe are part of the key of every trial.
"""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from rotgrid.spec.entries import own_name

Share = Annotated[float, Field(gt=0, lt=1)]


class Recipe(BaseModel):
    """How a network is trained, where the trial does not say otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    optimizer: Literal["sgd", "adam", "adamw"] = Field(description="what updates the weights")
    momentum: float = Field(
        ge=0, lt=1, description="of SGD; the first beta of Adam, whose second is 0.999"
    )
    weight_decay: float = Field(
        ge=0,
        le=1e6,
        description="added to the gradient by `sgd` and `adam`; decoupled in `adamw`",
    )
    schedule: Literal["constant", "one-cycle", "milestones", "exponential"] = Field(
        description="how the learning rate changes during the training"
    )
    learning_rate: float = Field(gt=0, le=1e12, description="(peak) step size")
    batch_size: int = Field(gt=0, le=1_000_000, description="images per step")
    epochs: int = Field(gt=0, le=10_000, description="passes over the training images")
    adversary_steps: int = Field(
        default=40,
        ge=0,
        le=100_000,
        description="steps of the iterative adversaries: `pgd`, `trades` and `cusp`",
    )
    adversary_step_size: float = Field(
        default=1 / 30,
        gt=0,
        le=1e6,
        description="step size of the iterative adversaries, in units of eps",
    )
    adversary_warmup: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the training over which the adversary's eps grows from 0, so that "
        "small networks do not collapse to one class (Gowal et al. 2018 and others); not for "
        "`cusp`, which has its own curriculum",
    )
    milestones: tuple[Share, ...] = Field(
        default=(),
        description="schedule `milestones`: shares of the training after each of which the "
        "learning rate is divided by 10",
    )
    decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="schedule `exponential`: what the learning rate is multiplied by after each "
        "step",
    )
    trades_beta: float = Field(
        default=1.0,
        ge=0,
        le=1e6,
        description="of `trades`: weight of the divergence (1 for MNIST in Zhang et al. 2019)",
    )

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


# For as long as accuracy grows: docs/measurements.md, "What the recipe changes". At the rate of
# 0.005 the loss stands still for half of a long training.
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
    RecipeName = Literal[RECIPE_NAMES] | own_name(
        r"^\w[\w.-]*$", "the name of one of your own, under `recipes` of the grid"
    )
