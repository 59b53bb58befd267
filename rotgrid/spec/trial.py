"""One training of one network: the record `Trial`."""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from rotgrid.spec.adversaries import AdversaryName
from rotgrid.spec.datasets import DATA, DataName, DataSet
from rotgrid.spec.entries import is_own
from rotgrid.spec.extensions import Digest, data_set, with_digests
from rotgrid.spec.models import MODELS, ModelName, canonical_recipe, recipe_of
from rotgrid.spec.recipes import RECIPE_NAMES, RECIPES, Recipe, RecipeName
from rotgrid.spec.records import Keyed, entry_named, field_error, without_added_defaults
from rotgrid.spec.vocabulary import Interpolation, Precision


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
    model_digest: Digest = Field(default="", description="of the source of an own model")
    data_digest: Digest = Field(default="", description="of the file of own data")
    adversary_digest: Digest = Field(default="", description="of the source of an own adversary")
    recipe_settings: str = Field(default="", description="contents of an own recipe, as JSON")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:  # noqa: ANN401  # pydantic hands over raw input
        if not isinstance(values, Mapping):
            return values
        values = with_digests(values, ("model", "data", "adversary"))
        if (data := data_named(values.get("data", "mnist"), values["data_digest"])) is not None:
            values.setdefault("train_size", data.train)
        if (entry := entry_named(model := values.get("model"), MODELS)) is not None:
            values.setdefault("variant", entry.default)
            if isinstance(model, str):
                values = with_recipe(values, model)
        if values.get("train_steps", 0) != 0:
            values["epochs"] = 0
        if values.get("adversary", "none") == "none":
            values["adversary_eps"] = 0.0
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        entry = MODELS[self.model]
        if self.variant not in entry.variants and not is_own(self.model):
            raise field_error(
                "variant", f"is not a variant of {self.model}", tuple(entry.variants)
            )
        data = data_named(self.data, self.data_digest)
        if data is not None and (problem := entry.fits(data.shape)):
            raise field_error(
                "model", f"{self.model} {problem}; {self.data} has {data.shape.size}"
            )
        if data is not None and self.train_size > data.train:
            raise field_error("train_size", f"is more than the {data.train} of {self.data}")
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

    def recipe_used(self) -> Recipe:
        """The contents of the recipe: what it sets for this model."""
        if self.recipe_settings:
            return own_recipe(self.recipe_settings)
        return recipe_of(self.recipe, self.model)

    def key_fields(self) -> dict[str, object]:
        """Everything that affects the trained network."""
        fields = without_added_defaults(self)
        fields.pop("recipe_settings", None)
        return {**fields, "recipe": contents(self.recipe_used())}


def with_recipe(values: dict[str, Any], model: str) -> dict[str, Any]:
    """The values with what the recipe of a trial gives where they are left out."""
    name = values.get("recipe", "paper")
    if settings := values.get("recipe_settings"):
        recipe = own_recipe(settings)
        known = (n for n in RECIPE_NAMES if recipe_of(n, model) == recipe)
        name, settings = next(((n, "") for n in known), (name, settings))
    elif not isinstance(name, str):
        return values
    elif name not in RECIPE_NAMES:
        raise field_error("recipe", "is no recipe", RECIPE_NAMES)
    elif name == "original" and is_own(model):
        raise field_error("recipe", f"is not known of {model}", tuple(RECIPES))
    else:
        recipe = recipe_of(name, model)
    named = name if settings else canonical_recipe(name, model)
    own = defaults_of(recipe)
    return {**own, **values, "recipe": named, "recipe_settings": settings or ""}


def data_named(name: object, digest: str) -> DataSet | None:
    """The entry of a data set; None if it is unknown, or own and was not read here."""
    if is_own(name):
        return data_set(str(name), digest)
    return entry_named(name, DATA)


def data_of(trial: Trial) -> DataSet:
    """The entry of the data set of a trial.

    Raises:
        LookupError: it is own, and neither its file nor a stored grid was read here.
    """
    if (found := data_named(trial.data, trial.data_digest)) is None:
        raise LookupError(f"{trial.data} with digest {trial.data_digest} was not read")
    return found


@functools.cache
def own_recipe(settings: str) -> Recipe:
    """The recipe that a JSON text holds.

    Raises:
        ValueError: it is none.
    """
    return Recipe.model_validate_json(settings)


@functools.cache
def defaults_of(recipe: Recipe) -> dict[str, object]:
    """The fields of a trial that a recipe gives where they are left out."""
    return {field: getattr(recipe, field) for field in ("epochs", "batch_size", "learning_rate")}


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
