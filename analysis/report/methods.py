"""How the numbers were made, in words taken from the rows: protocol, checks and provenance."""

import polars as pl

from analysis.figures import captions
from analysis.rows import datasets, phrases, versions, vocabulary
from analysis.rows.conditions import BY_PROTOCOL, SPATIAL
from analysis.rows.loading import Loaded
from analysis.rows.overview import Overview
from rotgrid.spec import own_recipe
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.models import MODELS
from rotgrid.spec.recipes import RECIPES

SEARCHES = tuple(name for name, attack in ATTACKS.items() if attack.searches)
"""Attacks that find the eps at which an image breaks."""
NETWORK = ("model", "variant", "train_rotation", "adversary", "adversary_eps", "seed")
QUICKSTART = "quickstart data: numbers are not MNIST test accuracy"
ALWAYS = [
    "Rotation: every image is rotated by its own angle, uniform in [-x, x] degrees; test angles "
    "are drawn once and shared by all networks. An attack starts from the rotated image and, "
    "unless said otherwise, knows the true label; an image that is misclassified before the "
    "attack then counts as an error.",
    "eps is the radius of a ball, unless said otherwise of an L-infinity one and in pixel units; "
    "pixels lie in [0, 1].",
    "Accuracy is the mean over seeds. Least and greatest seed show what training varies. The 95% "
    "interval is over seeds and images from three seeds on; of fewer it is over images, and holds "
    "for these networks only. Where it is not known which images each network got right, it is "
    "Wilson's with the images of one network.",
    "Accuracy under attack is an upper bound of robustness: a stronger attack may find more. No "
    "interval covers that.",
]


def notices(whole: Overview) -> list[str]:
    """What a reader must know before any number."""
    return [QUICKSTART] if "mnist5k" in set(whole.networks["data"]) else []


def notes(whole: Overview) -> list[str]:
    """The protocol: data, networks, training, attacks, and how intervals are made."""
    attacks = [*captions.KIND, "eps_unit"]
    return [
        *(_data(part, whole.networks) for part in whole.images.partition_by("data")),
        "Networks: " + "; ".join(_networks(whole.networks)) + ".",
        *_versions(whole),
        *(_recipe(part) for part in whole.networks.sort("recipe").partition_by("recipe")),
        *(
            _attack(part, whole.networks)
            for part in whole.probes.sort(attacks).partition_by(attacks)
        ),
        *ALWAYS,
    ]


def checked(loaded: Loaded) -> str:
    """How many networks were checked for masked gradients, and how many of all fail any check."""
    tables = loaded.diagnostics, loaded.overview.networks, loaded.failed
    checked, every, failing = (table["trial"].n_unique() for table in tables)
    words = [f"Networks checked for masked gradients: {checked:,} of {every:,}."]
    if checked < every:
        others = "the others" if checked else "these networks"
        words.append(f"Whether the accuracy of {others} under attack can be believed is unknown.")
    if checked or failing:
        unbelieved = "Networks whose accuracy under attack is not to be believed"
        words.append(f"{unbelieved}, by these or other checks: {failing:,}.")
    return " ".join(words)


def failed(loaded: Loaded) -> pl.DataFrame:
    """What each network fails, with the largest value found and its limit."""
    networks = loaded.overview.networks.select(*NETWORK, "trial")
    return networks.join(loaded.failed, on="trial").sort(*NETWORK, "trial", "check")


def codes(whole: Overview) -> str:
    """Whether one code made all rows, by its digest, which rows before schema version 4 lack."""
    made = whole.machines
    digests = made["code"].drop_nulls().unique().sort().to_list()
    older = made.filter(pl.col("code").is_null())["rows"].sum()
    known = "One code" if len(digests) == 1 else f"More than one code ({len(digests)})"
    words = [f"{known} made rows: {', '.join(digests)}."] if digests else []
    words += [f"Rows that do not say which code made them: {older:,}."] if older else []
    return " ".join(words)


def provenance(whole: Overview) -> pl.DataFrame:
    """Which version, commit, code, machine and device made how many rows, and when."""
    moments = pl.col("first", "last").dt.strftime("%Y-%m-%d %H:%M UTC")
    return whole.machines.with_columns(moments)


def counts(whole: Overview) -> list[tuple[str, str]]:
    """What was measured, as numbers with their names."""
    networks = whole.networks
    return [
        *(
            (f"{count:,}", noun if count == 1 else f"{noun}s")
            for noun, count in (
                ("trained network", networks["trial"].n_unique()),
                ("measurement", whole.rows),
                ("model", networks["model"].n_unique()),
                ("seed", networks["seed"].n_unique()),
            )
        ),
        (values(networks["train_rotation"], "±{:g}°"), "rotation in training"),
        (values(whole.probes["test_rotation"], "±{:g}°"), "rotation in tests"),
    ]


def values(column: pl.Series, form: str = "{:g}") -> str:
    """The distinct values of a column, or the outermost and their number."""
    distinct = [form.format(value) for value in column.unique().sort()]
    if len(distinct) <= 6:
        return ", ".join(distinct)
    return f"{distinct[0]} to {distinct[-1]} ({len(distinct)} values)"


def _data(rows: pl.DataFrame, networks: pl.DataFrame) -> str:
    name = rows["data"][0]
    return (
        f"Data: {vocabulary.DATA[name]}{_shape(networks.filter(data=name))}; "
        f"{phrases.span(rows['train_size'])} training images, n = {phrases.span(rows['n'])} test "
        "images per network."
    )


def _shape(networks: pl.DataFrame) -> str:
    """What images of own data are like, if that is known."""
    name, digest = networks.select("data", "data_digest").row(0)
    shape = datasets.shape_of(name, digest) if digest else None
    if shape is None:
        return ""
    size = f"{shape.channels} x {shape.size} x {shape.size} pixels"
    return f" ({size}, {shape.classes} classes)"


def _versions(whole: Overview) -> list[str]:
    """Which version of each own name the rows are of."""
    named = dict(
        kind
        for table in (whole.networks, whole.probes)
        for version in versions.columns_used(table)
        if version != "recipe_settings"
        for kind in table.filter(pl.col(version) != "")
        .select(version.removesuffix("_digest"), version)
        .unique()
        .iter_rows()
    )
    words = [f"{name} (digest {digest})" for name, digest in sorted(named.items())]
    return [f"Versions of own names: {', '.join(words)}."] if words else []


def _networks(rows: pl.DataFrame) -> list[str]:
    kinds = rows.group_by("model", "variant").agg("parameters").sort("model", "variant")
    sizes = {(model, variant): pl.Series(sizes) for model, variant, sizes in kinds.iter_rows()}
    known = [(model, variant) for model in MODELS for variant in MODELS[model].variants]
    order = [kind for kind in known if kind in sizes]
    order += [kind for kind in sizes if kind not in known]
    return [
        f"{phrases.kind(vocabulary.label(model), variant)} "
        f"({phrases.span(sizes[model, variant])} parameters)"
        for model, variant in order
    ]


def _recipe(rows: pl.DataFrame) -> str:
    name, settings = rows.select("recipe", "recipe_settings").row(0)
    known = own_recipe(settings) if settings else RECIPES.get(name)
    how = f"{known.optimizer}, {known.schedule} schedule" if known else "each model's authors'"
    attacked = rows.filter(pl.col("adversary") != "none").unique(["adversary", "adversary_eps"])
    adversaries = [
        f"{adversary} (eps {eps:g})"
        for adversary, eps in attacked.sort("adversary", "adversary_eps")
        .select("adversary", "adversary_eps")
        .iter_rows()
    ]
    return (
        f"Training, recipe {captions.recipes_of(rows)}: {how}, "
        f"learning rate {phrases.span(rows['learning_rate'])}, "
        f"batch {phrases.span(rows['batch_size'])}, {captions.length(rows)}"
        f"{captions.train_shifts(rows)}; "
        f"seeds {values(rows['seed'], '{}')}; "
        f"{phrases.listed(sorted(set(rows['interpolation'])))} interpolation; "
        f"adversaries: {phrases.listed(adversaries) or 'none'}."
    )


def _attack(rows: pl.DataFrame, networks: pl.DataFrame) -> str:
    name, unit = rows["attack"][0], rows["eps_unit"][0]
    images = f"n = {phrases.span(rows['n'])} test images per network"
    if name not in (*SPATIAL, "spatial-pgd", "equivariance"):
        images += captions.shifts(rows)
    if name == "none":
        return f"No attack: {images}{captions.modes(rows)}."
    if name == "equivariance":
        angles = values(rows["test_rotation"], "{:g}°")
        return f"Equivariance: share of classes unchanged by a rotation of {angles}; {images}."
    settings = captions.attack_settings(rows)
    if name in SPATIAL:
        return f"{settings}: {images}."
    eps = values(rows["eps"]) + (
        "" if unit == "pixel" else f" in {captions.unit_of_eps(unit, networks)}"
    )
    falls = "; what breaks at one eps counts as broken at all larger ones"
    return f"{settings}: eps {eps}; {images}{falls if _searched(rows) else ''}."


def _searched(rows: pl.DataFrame) -> bool:
    """Whether the attack found the eps at which each image breaks; rows that do not know their
    counts per class are older than that."""
    usual = rows.filter(BY_PROTOCOL, label_rule="true")
    search = rows["attack"][0] in SEARCHES and usual.height == rows.height
    return search and bool(rows["counted"].all())
