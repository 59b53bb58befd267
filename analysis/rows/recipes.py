"""Recipes of the user's own: which of rotgrid's each is like, and what differs from it."""

import functools
from collections.abc import Iterable

from rotgrid.spec import own_recipe
from rotgrid.spec.entries import is_own
from rotgrid.spec.models import MODELS, recipe_of
from rotgrid.spec.recipes import RECIPE_NAMES, RECIPES, Recipe


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
