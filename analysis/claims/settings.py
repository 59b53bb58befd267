"""The settings in which a claim is judged, each by itself: how networks were trained (recipe) and
how they were attacked (tier). A setting's name and rows depend on no other setting's rows."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from analysis.rows import recipes as own_recipes
from analysis.rows.recipes import OF_RECIPE, kind_as_of_first_model
from rotgrid.spec import ADDED_FIELDS, Probe, data_named, own_recipe
from rotgrid.spec.models import MODELS, canonical_recipe, recipe_of
from rotgrid.spec.recipes import RECIPE_NAMES

TRAINED = (
    "data",
    "train_size",
    "recipe",
    *OF_RECIPE,
    "train_steps",
    "precision",
    "train_translation",
)
"""How networks were trained, besides what claims vary or declare."""
VERSIONS = ("data_digest", "recipe_settings")
"""What else there is to know of own data and of an own recipe, each of one version."""
ATTACKED = ("steps", "restarts", "loss", "label_rule", "source")
"""How an attack was run."""
WORDS = {
    "train_size": "{:,} images",
    "epochs": "{} epochs",
    "train_steps": "{} steps",
    "batch_size": "batch {}",
    "learning_rate": "rate {:g}",
    "train_translation": "shifts up to {:g} pixels",
    "steps": "{} steps",
    "restarts": "{} restarts",
    "loss": "loss {}",
    "label_rule": "{} label",
    "source": "from {}",
}
"""How the value of a field that is not the usual one is said; others are said as they are."""


def recipes(rows: pl.DataFrame, free: Sequence[str] = ()) -> dict[str, pl.DataFrame]:
    """The rows of every setting of training by its name, that of the paper first; `free` are
    fields that may differ within one.

    A network that is trained as recipe `original` has it under another name belongs to both, once
    there are networks of that recipe.
    """
    columns = ["model", *TRAINED, *VERSIONS]
    kinds = rows.select(columns).unique()
    originals = "original" in set(kinds["recipe"])
    named = [
        (*kind.values(), recipe_name({**kind, "recipe": recipe}, free))
        for kind in kinds.iter_rows(named=True)
        for recipe in _recipes_of(kind, originals)
    ]
    names = pl.DataFrame(named, schema={**kinds.schema, "_name": pl.String}, orient="row")
    joined = rows.join(names, on=columns, how="inner", maintain_order="left")
    parts = joined.partition_by("_name", as_dict=True, include_key=False)
    found = {str(name): part for (name,), part in parts.items()}
    return {name: found[name] for name in sorted(found, key=lambda n: (n != "paper", n))}


def _recipes_of(kind: Mapping[str, Any], originals: bool) -> list[str]:
    """The recipe that is stored, and `original` if it is the same for this model."""
    stored = str(kind["recipe"])
    known = kind["model"] in MODELS and stored in RECIPE_NAMES
    if originals and known and canonical_recipe("original", kind["model"]) == stored != "original":
        return [stored, "original"]
    return [stored]


def recipe_name(kind: Mapping[str, Any], free: Sequence[str] = ()) -> str:
    """`fast`, or `fast, 10,000 images, 8 epochs`: the recipe and what differs from it. Numbers
    that a recipe sets for a model by itself are those of the first model that follows it alike."""
    followed = kind_as_of_first_model(dict(kind))
    usual: dict[str, object] = {"data": "mnist", **ADDED_FIELDS}
    first, name = next(iter(MODELS)), str(kind["recipe"])
    if settings := followed.get("recipe_settings"):
        usual |= {field: getattr(own_recipe(settings), field) for field in OF_RECIPE}
        name = f"{name} ({own_recipes.words(settings, first)})"
    elif name in RECIPE_NAMES:
        usual |= {field: getattr(recipe_of(name, first), field) for field in OF_RECIPE}
    if data := data_named(kind["data"], kind.get("data_digest", "")):
        usual["train_size"] = data.train
    differing = [
        WORDS.get(field, "{}").format(followed[field])
        for field in TRAINED
        if field not in ("recipe", *free) and followed[field] != usual.get(field)
    ]
    return ", ".join([name, *differing])


def tiers(rows: pl.DataFrame, attacks: Sequence[str]) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """The rows under these attacks, once for every way in which they were run: what is unusual in
    it (`20 steps`), the tier's name (`pgd (20 steps)`) and the rows. Nothing if there are no rows
    under one of them."""
    kinds = []
    for attack in attacks:
        under = rows.filter(pl.col("attack") == attack)
        parts = under.partition_by(ATTACKED, as_dict=True)
        ways = [(unusual(attack, of), part) for of, part in parts.items()]
        kinds.append(sorted(ways, key=lambda way: way[0]))
    for chosen in itertools.product(*kinds):
        words = [way for way, _ in chosen]
        names = [
            f"{attack} ({way})" if way else attack
            for attack, way in zip(attacks, words, strict=True)
            if attack != "none"
        ]
        odd = "; ".join(filter(None, words))
        yield odd, " and ".join(names), pl.concat([part for _, part in chosen])


def unusual(attack: str, values: Sequence[object]) -> str:
    """How an attack was run (`ATTACKED`), as far as that is not its usual way."""
    probe = Probe(attack=attack)
    return ", ".join(
        WORDS.get(name, "{}").format(value)
        for name, value in zip(ATTACKED, values, strict=True)
        if value != getattr(probe, name)
    )


def most_images(rows: pl.DataFrame) -> pl.DataFrame:
    """Of measurements that differ in the number of images only, that with most."""
    if rows["n_images"].n_unique() == 1:
        return rows
    same = ["trial", *(name for name in Probe.model_fields if name != "n_images")]
    return rows.filter(pl.col("n_images") == pl.col("n_images").max().over(same))
