"""Own names and own recipes of a grid: read from their files, or as a stored grid has pinned them.

A stored grid carries what was known of its own names when it was launched, under the key `pinned`,
so that reading it needs none of their files.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from rotgrid.grid.expand import expected, known_keys, literal_choices
from rotgrid.grid.positions import Tree, Where
from rotgrid.spec import extensions
from rotgrid.spec.attacks import ATTACKS, OWN_DEFAULTS, unread_by_own
from rotgrid.spec.entries import OWN_DATA, OWN_FUNCTION, is_own
from rotgrid.spec.extensions import Own
from rotgrid.spec.models import MODELS, recipe_of
from rotgrid.spec.recipes import RECIPE_NAMES, RECIPES, Recipe
from rotgrid.spec.records import ENCODER

OWN_FIELDS = ("model", "data", "adversary", "attack", "source")
"""The fields that may have own names."""
FUNCTIONS_WITH_EPS = ("attack", "adversary")


def own_names(tree: Tree, document: Mapping[str, Any]) -> dict[str, Own]:
    """What is known of each own name of a grid; a name that is of nothing is a problem at its
    places, and not among them."""
    pins = read_pins(tree, document.get("pinned", {}))
    found: dict[str, Own] = {}
    wrong: dict[str, str] = {}
    for name, field, at in places_of(document, OWN_FIELDS):
        if not is_own(name) or not re.search(OWN_DATA if field == "data" else OWN_FUNCTION, name):
            continue  # the check of the field says so
        if name not in found and name not in wrong:
            try:
                found[name] = pins[name] if name in pins else extensions.read(name)
            except ValueError as error:
                wrong[name] = str(error)
        if problem := wrong.get(name) or misuse(name, field, found[name]):
            tree.problem(at, problem)
    return found


def misuse(name: str, field: str, own: Own) -> str:
    """Why a function cannot be what a field asks for: an attack or adversary whose settings cannot
    be read, or that takes no eps."""
    if field in FUNCTIONS_WITH_EPS and own.settings is None:
        return (
            f"{name}: is no `def` of its module's own file: its settings are read there, without "
            "running it"
        )
    if field in FUNCTIONS_WITH_EPS and "eps" not in (own.settings or {}):
        return (
            f"{name}: its `def` names no parameter eps; an own {field} is a function "
            "(model, images, labels, *, eps, ...) -> images"
        )
    unknown = [s for s in OWN_DEFAULTS if (own.settings or {}).get(s) is ...]
    if field == "attack" and unknown:
        return (
            f"{name}: its `def` gives {unknown[0]} a default that is no plain value: write the "
            "value there, it is read without running the file"
        )
    return ""


def places_of(
    document: Mapping[str, Any], fields: tuple[str, ...]
) -> Iterator[tuple[Any, str, Where]]:
    """Each value of some fields in the defaults, blocks and probes of a grid, with the field and
    the place."""
    for mapping, at in mappings_of(document):
        for field in fields:
            value = mapping.get(field)
            if isinstance(value, list):
                yield from ((item, field, (*at, field, i)) for i, item in enumerate(value))
            elif field in mapping:
                yield value, field, (*at, field)


def mappings_of(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Where]]:
    """The mappings of a grid that hold fields of trials or probes, with their places."""
    if isinstance(defaults := document.get("defaults"), dict):
        yield defaults, ("defaults",)
    blocks = document.get("blocks")
    for index, block in enumerate(blocks if isinstance(blocks, list) else []):
        if not isinstance(block, dict):
            continue
        at: Where = ("blocks", index)
        yield block, at
        probes = block.get("probes")
        if isinstance(probes, dict):
            yield probes, (*at, "probes")
        for i, probe in enumerate(probes if isinstance(probes, list) else []):
            if isinstance(probe, dict):
                yield probe, (*at, "probes", i)


def read_pins(tree: Tree, value: object) -> dict[str, Own]:
    """What a stored grid knows of its own names."""
    if not isinstance(value, dict):
        tree.problem(("pinned",), "should be a mapping, as a launch has stored it")
        return {}
    found = {}
    for name, fields in value.items():
        try:
            found[name] = extensions.remember(name, extensions.unpinned(name, fields))
        except (KeyError, TypeError, ValueError):
            tree.problem(("pinned", name), "is not what a launch stores; remove it")
    return found


def read_recipes(tree: Tree, value: object) -> dict[str, dict[str, Any]]:
    """The own recipes of a grid, by name: what each gives, and `like` which other."""
    if not isinstance(value, dict):
        tree.problem(("recipes",), "should be a mapping of names to settings")
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name, fields in value.items():
        at = ("recipes", name)
        if name in RECIPE_NAMES:
            tree.problem(at, "is a recipe of rotgrid's: give yours another name", at_key=True)
        elif not isinstance(fields, dict):
            tree.problem(at, "should be a mapping of settings, with `like`")
        else:
            known_keys(tree, fields, at, ("like", *Recipe.model_fields))
            like = fields.get("like", "paper")
            if not isinstance(like, str) or (like not in RECIPES and like not in found):
                choices = (*RECIPES, *found)
                what = "should be a recipe" + (
                    " that stands before this one" if len(value) > 1 else ""
                )
                tree.problem((*at, "like"), what, got=like, choices=choices)
                fields = {**fields, "like": "paper"}
            found[name] = dict(fields)
    return {
        name: fields if check_recipe(tree, found, name) else {} for name, fields in found.items()
    }


def check_recipe(tree: Tree, recipes: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Whether the settings that an own recipe gives are what they should be."""
    try:
        recipe_for(recipes, name, next(iter(MODELS)))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            field = str(detail["loc"][0])
            at = ("recipes", name, field)
            choices = literal_choices(detail)
            tree.problem(
                at, f"should be {expected([detail])}", got=detail["input"], choices=choices
            )
        return False
    return True


def recipe_for(recipes: Mapping[str, Mapping[str, Any]], name: str, model: str) -> Recipe:
    """An own recipe as it is for a model: what it does not give is as in the recipe it is like.

    Raises:
        ValidationError: a setting is not what it should be.
    """
    fields = dict(recipes[name])
    like = fields.pop("like", "paper")
    base = recipe_for(recipes, like, model) if like in recipes else recipe_of(like, model)
    own = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    whole = {k: float(v) if type(v) is int and Recipe.model_fields[k].annotation is float else v
             for k, v in own.items() if k in Recipe.model_fields}  # fmt: skip
    return Recipe.model_validate({**base.model_dump(), **whole})


def report_recipes(
    tree: Tree, document: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Names of recipes that are of none are problems, and own recipes that no block names."""
    named = list(places_of(document, ("recipe",)))
    for name, _, at in named:
        if isinstance(name, str) and name not in (*RECIPE_NAMES, *recipes):
            choices = (*RECIPE_NAMES, *recipes)
            tree.problem(at, "is no recipe", got=name, choices=choices)
    used = {name for name, _, _ in named if isinstance(name, str)}
    used |= {str(fields.get("like")) for fields in recipes.values()}
    for name in recipes:
        if name not in used:
            tree.problem(("recipes", name), "is not read: no block names it", at_key=True)


class Derived:
    """The fields of trials and probes that follow from own names and recipes of a grid."""

    def __init__(self, names: Mapping[str, Own], recipes: Mapping[str, Mapping[str, Any]]) -> None:
        self.names, self.recipes = names, recipes
        self._first: dict[str, str] = {}

    def unread(self, attack: str) -> Collection[str]:
        """The fields of a probe that make no difference to an attack of the grid."""
        if is_own(attack):
            return unread_by_own(own.settings or {}) if (own := self.names.get(attack)) else ()
        return ATTACKS[attack].unread()

    def fields(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Those of a combination of values; None if one of its names is a problem already."""
        found: dict[str, Any] = {}
        for field in OWN_FIELDS:
            name = values.get(field)
            if isinstance(name, str) and is_own(name):
                if name not in self.names:
                    return None
                found[f"{field}_digest"] = self.names[name].digest
        recipe = values.get("recipe", "paper")
        if recipe in self.recipes and isinstance(values.get("model"), str):
            settings = ENCODER.encode(
                recipe_for(self.recipes, recipe, values["model"]).model_dump()
            )
            found["recipe_settings"] = settings
            found["recipe"] = self._first.setdefault(settings, recipe)
        return None if recipe not in (*RECIPE_NAMES, *self.recipes) else found
