"""What is trained and what is measured: the frozen records `Trial` and `Probe`.

A `Trial` is one training of one network, a `Probe` one measurement of it. Both are canonical: a
field left out is filled in, and a field that cannot matter is set to a fixed value, so that equal
work has equal fields and therefore an equal `key()`. Angles are degrees, eps is an L-infinity
radius in pixel units (pixels lie in [0, 1]). Nothing here imports torch.
"""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rotgrid.spec.adversaries import AdversaryName
from rotgrid.spec.attacks import ATTACKS, AttackName
from rotgrid.spec.datasets import DATA, DataName
from rotgrid.spec.models import MODELS, ModelName, canonical_recipe, recipe_of
from rotgrid.spec.recipes import RECIPE_NAMES, Recipe, RecipeName
from rotgrid.spec.records import (
    ADDED_FIELDS,
    REMOVED_FIELDS,
    Keyed,
    Record,
    digest,
    entry_named,
    field_error,
    without_added_defaults,
)
from rotgrid.spec.vocabulary import (
    AttackLoss,
    Clip,
    EpsUnit,
    Interpolation,
    LabelRule,
    Mode,
    Precision,
)

__all__ = [
    "ADDED_FIELDS",
    "DEVIATION",
    "REMOVED_FIELDS",
    "Probe",
    "Record",
    "Trial",
    "batch_sizes",
    "digest",
    "entry_named",
    "without_added_defaults",
]


def _as_text(value: object) -> object:
    """The variant `2018` is a number in YAML."""
    return str(value) if type(value) is int else value


class Trial(Keyed):
    """One network to train.

    Raises:
        pydantic.ValidationError: a field is unknown, out of range, or does not fit the others.
    """

    model: ModelName = Field(description="architecture")
    variant: Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | int)] = Field(
        default="", description="variant of the architecture"
    )
    data: DataName = Field(default="mnist", description="data set")
    train_size: int = Field(
        default=0, gt=0, description="training images, a stratified nested subset (default: all)"
    )
    train_rotation: float = Field(
        default=0.0, ge=0, le=180, description="x: training images are rotated by U[-x, x] degrees"
    )
    train_translation: float = Field(
        default=0.0,
        ge=0,
        le=14,
        description="t: training images shift by U[-t, t] pixels right and down, by own draws",
    )
    adversary: AdversaryName = Field(default="none", description="attack used in training")
    adversary_eps: float = Field(
        default=0.3, ge=0, le=1, description="L-inf radius of the adversary, pixel units"
    )
    recipe: RecipeName = Field(default="paper", description="named optimiser setting")
    epochs: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="passes over the training images; 0 where `train_steps` are given",
    )
    train_steps: int = Field(
        default=0,
        ge=0,
        le=100_000_000,
        description="optimiser steps, however many passes they are; 0: as many as `epochs` make",
    )
    batch_size: int = Field(default=0, gt=0, le=1_000_000, description="images per step")
    learning_rate: float = Field(default=0.0, gt=0, le=1e12, description="(peak) step size")
    interpolation: Interpolation = Field(
        default="bilinear", description="how rotated images are resampled"
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="of weights, order, angles, dropout and adversary"
    )
    precision: Precision = Field(
        default="float32",
        description="of training's forward and backward passes; weights, adversaries and all "
        "measurements are float32",
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:  # noqa: ANN401  # pydantic hands over raw input
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        if (data := entry_named(values.get("data", "mnist"), DATA)) is not None:
            values.setdefault("train_size", data.train)
        if (entry := entry_named(model := values.get("model"), MODELS)) is not None:
            values.setdefault("variant", entry.default)
            if (name := values.get("recipe", "paper")) in RECIPE_NAMES:
                own = defaults_of(recipe_of(name, model), name, model)
                values = {**own, **values, "recipe": own["recipe"]}
        if values.get("train_steps", 0) != 0:
            values["epochs"] = 0
        if values.get("adversary", "none") == "none":
            values["adversary_eps"] = 0.0
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        entry = MODELS[self.model]
        if self.variant not in entry.variants:
            raise field_error(
                "variant", f"is not a variant of {self.model}", tuple(entry.variants)
            )
        if self.train_size > (most := DATA[self.data].train):
            raise field_error("train_size", f"is more than the {most} of {self.data}")
        if not (self.epochs or self.train_steps):
            raise field_error("epochs", "should be 1 or more, or 0 with `train_steps`")
        for field in ("train_size", "batch_size"):
            if getattr(self, field) < (least := entry.least_batch):
                raise field_error(
                    field, f"should be {least} or more: {self.model} normalises over images"
                )
        return self

    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.train_steps or self.epochs * len(batch_sizes(self.train_size, self.batch_size))

    def passes(self) -> float:
        """How often the training goes over its images; the last pass may be a part of one."""
        if not self.train_steps:
            return float(self.epochs)
        return self.train_steps / len(batch_sizes(self.train_size, self.batch_size))

    def key_fields(self) -> dict[str, object]:
        """Everything that affects the trained network."""
        return {
            **without_added_defaults(self),
            "recipe": contents(recipe_of(self.recipe, self.model)),
        }


DEVIATION = 0.3081
"""Of MNIST's pixels, the unit of eps that is `normalised`."""


class Probe(Keyed):
    """One measurement of a trained network; eps is measured around the image *after* rotation.

    Spatial attacks (`rotation-grid`, `translation-grid`, `spatial-grid`, `worst-of-10` and, with
    pixels, `spatial-pgd`) take the worst over what the other attacks draw from: rotations within
    `test_rotation`, shifts within `test_translation`. `equivariance` attacks nothing: every image
    is rotated by exactly `test_rotation`, and counts as correct if its class stays the same; the
    errors of the layers go to a table of their own, as do the checks of `diagnostics`.

    Raises:
        pydantic.ValidationError: a field is unknown or out of range.
    """

    test_rotation: Annotated[float, Field(ge=0, le=180)] | Literal["same"] = Field(
        default="same",
        description="x: test images are rotated by U[-x, x] degrees (equivariance: by exactly x); "
        "same = train_rotation",
    )
    test_translation: float = Field(
        default=0.0,
        ge=0,
        le=14,
        description="t: test images shift by U[-t, t] pixels right and down, by their own draws",
    )
    attack: AttackName = Field(default="none", description="attack on the test images")
    eps: float = Field(default=0.3, ge=0, le=1, description="L-inf radius, in `eps_unit`")
    eps_unit: EpsUnit = Field(
        default="pixel",
        description="pixel: pixels lie in [0, 1]; normalised: deviations of MNIST (0.3081 pixel)",
    )
    steps: int = Field(
        default=40, ge=0, le=100_000, description="steps (square: queries) of an iterative attack"
    )
    restarts: int = Field(
        default=1,
        ge=0,
        le=10_000,
        description="random starts (noise: draws); the worst counts; 0: one start at the image",
    )
    loss: AttackLoss = Field(
        default="ce", description="what is climbed; dlr: the targeted loss of AutoAttack"
    )
    label_rule: LabelRule = Field(
        default="true",
        description="label that is attacked; predicted: errors may be repaired, and count then",
    )
    source: ModelName | Literal[""] = Field(
        default="", description="transfer: model on which the images are made"
    )
    clip: Clip = Field(
        default="pixel",
        description="what adversarial images are clipped to; pixel: [0, 1]; none: nothing; "
        "normalised: [0, 1] of standardised images, by mistake in published code",
    )
    mode: Mode = Field(
        default="eval",
        description="of the network while it is attacked and evaluated; train: batch norm by "
        "batches of 100 test images, dropout on, as in some published code",
    )
    n_images: int = Field(
        default=0, ge=0, description="test images, a fixed class-balanced subset (default, 0: all)"
    )

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, values: Any) -> Any:  # noqa: ANN401  # pydantic hands over raw input
        if not isinstance(values, Mapping):
            return values
        if (attack := entry_named(values.get("attack", "none"), ATTACKS)) is None:
            return values
        return {"steps": attack.steps, **values, **attack.unread()}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        attack = ATTACKS[self.attack]
        if self.loss not in attack.losses:
            raise field_error("loss", f"cannot be climbed by {self.attack}", attack.losses)
        if self.label_rule not in attack.label_rules:
            raise field_error(
                "label_rule", f"is not a choice of {self.attack}", attack.label_rules
            )
        if "source" in attack.reads and not self.source:
            raise field_error("source", f"is needed by {self.attack}", tuple(MODELS))
        for field in attack.at_least_one:
            if not getattr(self, field):
                raise field_error(field, f"should be 1 or more for {self.attack}")
        if self.mode == "train" and self.n_images == 1:
            raise field_error("n_images", "should be 2 or more with mode: train, or 0 for all")
        if attack.starts and self.steps == self.restarts == 0:
            raise field_error("restarts", f"should be 1 or more for {self.attack} with steps: 0")
        return self

    def pixel_eps(self) -> float:
        """`eps` in pixel units."""
        return self.eps * (DEVIATION if self.eps_unit == "normalised" else 1)

    def by_convention(self) -> bool:
        """Whether it is clipped or run otherwise than by the protocol, as some published code."""
        return (self.clip, self.mode) != ("pixel", "eval")

    def resolve(self, trial: Trial) -> "Probe":
        """The probe with `same` and "all images" replaced by the numbers they mean for `trial`."""
        most = DATA[trial.data].test
        if self.n_images > most:
            raise field_error("n_images", f"is more than the {most} test images of {trial.data}")
        return self.model_copy(
            update={
                "test_rotation": (
                    trial.train_rotation if self.test_rotation == "same" else self.test_rotation
                ),
                "n_images": self.n_images or most,
            }
        )

    def key_fields(self) -> dict[str, object]:
        """Everything that affects the measurement of a given network."""
        if self.test_rotation == "same" or not self.n_images:
            raise ValueError("a probe has a key once it is resolved: probe.resolve(trial).key()")
        revision = ATTACKS[self.attack].revision
        return without_added_defaults(self) | (
            {"attack_revision": revision} if revision > 1 else {}
        )


@functools.cache
def defaults_of(recipe: Recipe, name: RecipeName, model: str) -> dict[str, object]:
    """The fields of a trial that a recipe of this name gives where they are left out."""
    fields = {field: getattr(recipe, field) for field in ("epochs", "batch_size", "learning_rate")}
    return {"recipe": canonical_recipe(name, model), **fields}


@functools.cache
def contents(recipe: Recipe) -> dict[str, object]:
    """What of a recipe is in a key."""
    return recipe.contents()


def batch_sizes(n: int, size: int) -> list[int]:
    """How many of `n` images are in each batch of an epoch.

    One that would be left alone joins the batch before: batch norm has no use for one.
    """
    whole, rest = divmod(n, size)
    sizes = [size] * whole + [rest] * (rest > 0)
    if len(sizes) > 1 and sizes[-1] == 1 < size:
        sizes[-2:] = [size + 1]
    return sizes
