"""What is trained and what is measured: the frozen records `Trial` and `Probe`.

A `Trial` is one training of one network, a `Probe` one measurement of it. Both are canonical: a
field left out is filled in, and a field that cannot matter is set to a fixed value, so that equal
work has equal fields and therefore an equal `key()`. Angles are degrees, eps is an L-infinity
radius in pixel units (pixels lie in [0, 1]). Nothing here imports torch.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

T = TypeVar("T")

REVISION = 1
"""Part of every key. Raise it when a change to the code changes what the numbers mean."""

DataName = Literal["mnist5k", "mnist"]
ModelName = Literal["stdcnn", "gcnn"]
Adversary = Literal["none", "fgsm", "fgsm-mix", "pgd"]
Attack = Literal["none", "noise", "fgsm", "pgd"]
RecipeName = Literal["paper", "fast"]
Interpolation = Literal["bilinear", "nearest"]

MODELS: tuple[ModelName, ...] = get_args(ModelName)
ATTACKS: tuple[Attack, ...] = get_args(Attack)

VARIANTS: dict[ModelName, tuple[str, ...]] = {
    "stdcnn": ("table1", "doubled", "matched-table1", "matched-halved"),
    "gcnn": ("table1", "halved", "matched-table1", "matched-doubled", "orbit"),
}
"""The variants of each model, the default first. `matched-X` has the parameter count of the other
model's variant X (as near as whole widths allow)."""


class Split(NamedTuple):
    """Numbers of images."""

    train: int
    val: int
    test: int


DATA: dict[DataName, Split] = {
    "mnist5k": Split(3_500, 500, 1_000),
    "mnist": Split(55_000, 5_000, 10_000),
}


class Record(BaseModel):
    """A frozen record that refuses unknown fields and does not convert between types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Recipe(Record):
    """A named optimiser setting; its values are part of the key of every trial that uses it."""

    optimizer: Literal["sgd", "adamw"]
    momentum: float
    weight_decay: float
    schedule: Literal["constant", "one-cycle"]
    learning_rate: float
    batch_size: int
    epochs: int
    adversary_steps: int
    """Steps of the `pgd` adversary."""
    adversary_step_size: float
    """Step size of the `pgd` adversary in units of eps."""
    adversary_warmup: float
    """Share of the training over which the adversary's eps grows from 0, so that small networks
    do not collapse to one class (Gowal et al. 2018 and others)."""


RECIPES: dict[RecipeName, Recipe] = {
    # The MNIST example of adambielski/pytorch-gconv-experiments, the likely origin of Table 1.
    "paper": Recipe(
        optimizer="sgd",
        momentum=0.5,
        weight_decay=0.0,
        schedule="constant",
        learning_rate=0.01,
        batch_size=64,
        epochs=10,
        adversary_steps=40,
        adversary_step_size=1 / 30,
        adversary_warmup=0.0,
    ),
    "fast": Recipe(
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
    ),
}


class Trial(Record):
    """One network to train.

    Raises:
        pydantic.ValidationError: a field is unknown, out of range, or does not fit the others.
    """

    model: ModelName = Field(description="architecture")
    variant: str = Field(default="", description="variant of the architecture")
    data: DataName = Field(default="mnist", description="data set")
    train_size: int = Field(
        default=0, gt=0, description="training images, a stratified nested subset (default: all)"
    )
    train_rotation: float = Field(
        default=0.0, ge=0, le=180, description="x: training images turn by U[-x, x] degrees"
    )
    adversary: Adversary = Field(default="none", description="attack used in training")
    adversary_eps: float = Field(
        default=0.3, ge=0, le=1, description="L-inf radius of the adversary, pixel units"
    )
    recipe: RecipeName = Field(default="paper", description="named optimiser setting")
    epochs: int = Field(default=0, gt=0, le=10_000, description="passes over the training images")
    batch_size: int = Field(default=0, gt=0, description="images per step")
    learning_rate: float = Field(default=0.0, gt=0, description="(peak) step size")
    interpolation: Interpolation = Field(
        default="bilinear", description="how rotated images are resampled"
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="of weights, order, angles, dropout and adversary"
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:  # noqa: ANN401  # pydantic hands over raw input
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        if (data := known(values.get("data", "mnist"), DATA)) is not None:
            values.setdefault("train_size", data.train)
        if (variants := known(values.get("model"), VARIANTS)) is not None:
            values.setdefault("variant", variants[0])
        if (recipe := known(values.get("recipe", "paper"), RECIPES)) is not None:
            for field in ("epochs", "batch_size", "learning_rate"):
                values.setdefault(field, getattr(recipe, field))
        if values.get("adversary", "none") == "none":
            values["adversary_eps"] = 0.0
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        variants = VARIANTS[self.model]
        if self.variant not in variants:
            raise mismatch("variant", f"is not a variant of {self.model}", variants)
        if self.train_size > (most := DATA[self.data].train):
            raise mismatch("train_size", f"is more than the {most} of {self.data}")
        return self

    def key(self) -> str:
        """16 hex digits that name everything that affects the trained network."""
        return digest({**self.model_dump(), "recipe": RECIPES[self.recipe].model_dump()})


class Probe(Record):
    """One measurement of a trained network; eps is measured around the image *after* rotation.

    Raises:
        pydantic.ValidationError: a field is unknown or out of range.
    """

    test_rotation: Annotated[float, Field(ge=0, le=180)] | Literal["same"] = Field(
        default="same",
        description="x: test images turn by U[-x, x] degrees; same = train_rotation",
    )
    attack: Attack = Field(default="none", description="attack on the test images")
    eps: float = Field(default=0.3, ge=0, le=1, description="L-inf radius, pixel units")
    steps: int = Field(default=40, ge=0, le=100_000, description="steps of an iterative attack")
    restarts: int = Field(
        default=1, ge=0, le=10_000, description="random starts; the worst counts"
    )
    n_images: int = Field(
        default=0, ge=0, description="test images, a fixed class-balanced subset (default, 0: all)"
    )

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, values: Any) -> Any:  # noqa: ANN401  # pydantic hands over raw input
        if not isinstance(values, Mapping):
            return values
        match values.get("attack", "none"):
            case "none":
                return {**values, "eps": 0.0, "steps": 0, "restarts": 0}
            case "noise":
                return {**values, "steps": 0}
            case "fgsm":
                return {**values, "steps": 1, "restarts": 1}
        return values

    def resolve(self, trial: Trial) -> "Probe":
        """The probe with `same` and "all images" replaced by the numbers they mean for `trial`."""
        most = DATA[trial.data].test
        if self.n_images > most:
            raise mismatch("n_images", f"is more than the {most} test images of {trial.data}")
        return self.model_copy(
            update={
                "test_rotation": (
                    trial.train_rotation if self.test_rotation == "same" else self.test_rotation
                ),
                "n_images": self.n_images or most,
            }
        )

    def key(self) -> str:
        """16 hex digits that name this measurement.

        Raises:
            ValueError: the probe is not resolved, so it has no meaning without its trial.
        """
        if self.test_rotation == "same" or not self.n_images:
            raise ValueError("a probe has a key once it is resolved: probe.resolve(trial).key()")
        return digest(self.model_dump())


def known(name: object, table: Mapping[Any, T]) -> T | None:
    """The entry of that name, or None; unlike `table.get` for a name of any type."""
    return table.get(name) if isinstance(name, str) else None


def mismatch(field: str, problem: str, choices: tuple[str, ...] = ()) -> PydanticCustomError:
    """A validation error that blames one field of a record, with its valid `choices`."""
    message = problem + (f"; choose from {', '.join(choices)}" if choices else "")
    context = {"field": field, "choices": choices}
    # Braces in a template would be read as fields.
    return PydanticCustomError("mismatch", message.replace("{", "(").replace("}", ")"), context)


def digest(fields: Mapping[str, object]) -> str:
    """16 hex digits of SHA-256 over the fields and `REVISION`; order does not matter."""
    text = json.dumps(
        {"revision": REVISION, **fields}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
