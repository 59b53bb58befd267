"""Recipes: what each sets for a model as for the first one, and what an own one is like."""

import functools
from collections.abc import Iterable
from typing import Any

import polars as pl

from rotgrid.spec import own_recipe
from rotgrid.spec.entries import is_own
from rotgrid.spec.models import MODELS, canonical_recipe, recipe_of
from rotgrid.spec.recipes import RECIPE_NAMES, RECIPES, Recipe

OF_RECIPE = ("epochs", "batch_size", "learning_rate")
AS_OF = ("model", "recipe", "recipe_settings", *OF_RECIPE)
"""What decides whether a network follows its recipe."""


@functools.cache
def differing(settings: str, model: str) -> tuple[str, dict[str, object]]:
    """The recipe of rotgrid's that the settings of an own one for a model are most like, and what
    they set otherwise. (A row does not say which one it was written to be like.)"""
    own = own_recipe(settings).model_dump()
    found = []
    for name in RECIPE_NAMES if model in MODELS else RECIPES:
        known = _recipe(name, model).model_dump()
        found.append((name, {field: v for field, v in own.items() if v != known[field]}))
    return min(found, key=lambda one: len(one[1]))


def words(settings: str, model: str, without: Iterable[str] = ()) -> str:
    """`like fast but weight_decay 0.0005`; nothing is said of the fields in `without`."""
    like, fields = differing(settings, model)
    said = [f"{name} {_plain(v)}" for name, v in fields.items() if name not in set(without)]
    return f"like {like}" + (f" but {', '.join(said)}" if said else "")


def of_first_model(settings: str, model: str) -> Recipe:
    """An own recipe as it is for the first model, from its settings for another: what it sets
    otherwise than the recipe that it is like is the same for both."""
    like, fields = differing(settings, model)
    return _recipe(like, next(iter(MODELS))).model_copy(update=fields)


def _recipe(name: str, model: str) -> Recipe:
    """The recipe of that name for a model, of which nothing may be known."""
    return recipe_of(name, model) if model in MODELS or is_own(model) else RECIPES[name]


def _plain(value: object) -> str:
    """A setting as it is written in a grid."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_of_first_model(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with each value that a recipe sets for a model replaced by what the same recipe
    sets for the first model: settings compare equal if they follow the recipe alike."""
    keys, names = list(AS_OF), ["recipe", "recipe_settings", *OF_RECIPE]
    kinds = rows.select(keys).unique()
    replaced = list(map(kind_as_of_first_model, _as_originals(kinds.to_dicts())))
    table = kinds.with_columns(
        pl.Series(f"_{name}", [kind[name] for kind in replaced], rows.schema[name])
        for name in names
    )
    joined = rows.join(table, on=keys, how="left", maintain_order="left")
    return joined.drop(names).rename({f"_{name}": name for name in names})


def _as_originals(kinds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recipe `original` is stored by the name of an equal one, for the models that have one.

    Beside models trained as their authors did, such networks are called so again, unless other
    models were trained by that other recipe, too.
    """
    named = [k for k in kinds if k["model"] in MODELS and k["recipe"] in RECIPE_NAMES]
    others = {
        k["recipe"] for k in named if k["recipe"] != canonical_recipe("original", k["model"])
    }
    if "original" not in {kind["recipe"] for kind in kinds}:
        return kinds
    return [
        kind | {"recipe": "original"}
        if kind in named and kind["recipe"] not in others | {"original"}
        else kind
        for kind in kinds
    ]


def kind_as_of_first_model(kind: dict[str, Any]) -> dict[str, Any]:
    """A kind of training with what its recipe sets for the model as it is for the first model."""
    if settings := kind.get("recipe_settings"):
        own, first = own_recipe(settings), of_first_model(settings, kind["model"])
        kind = kind | {"recipe_settings": first.model_dump_json()}
    elif kind["recipe"] not in RECIPE_NAMES or kind["model"] not in MODELS:
        return kind
    else:
        own, first = (
            recipe_of(kind["recipe"], model) for model in (kind["model"], next(iter(MODELS)))
        )
    followed = {n: getattr(first, n) for n in OF_RECIPE if kind[n] == getattr(own, n)}
    times, rest = divmod(kind["epochs"], own.epochs)
    if not rest:  # as many times the recipe's epochs
        followed["epochs"] = times * first.epochs
    return kind | followed
