"""Which rows a figure shows: comparable ones only, with words for every choice that was made."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from analysis.rows import versions, vocabulary
from analysis.rows.notes import LeftOut, Note, OtherVariants
from analysis.rows.phrases import listed
from analysis.rows.recipes import AS_OF, as_of_first_model
from rotgrid.spec import ADDED_FIELDS
from rotgrid.spec.entries import is_own
from rotgrid.spec.models import MODELS

SETTING = (
    "train_size",
    "data",
    "recipe",
    "epochs",
    "train_steps",
    "batch_size",
    "learning_rate",
    "interpolation",
    "precision",
    "train_translation",
    "recipe_settings",
)
"""How networks were trained and tested, besides what figures vary: one combination per figure.

What a recipe sets for each model separately counts as equal for all models that follow it.
"""
PROTOCOL = (
    "n_images",
    "steps",
    "restarts",
    "loss",
    "label_rule",
    "source",
)
"""How an attack was run: one combination per attack and figure."""

CONDITIONS = (
    "data",
    "train_size",
    "adversary",
    "train_rotation",
    "test_rotation",
    "test_translation",
    "attack",
    "eps",
)
"""How networks were trained and tested, however often: what a variant was measured under."""

FIRST = vocabulary.Names(
    {name: model.default for name, model in MODELS.items()}, lambda name: MODELS[name].default
)
"""The first variant of each model."""


class NotMeasured(LookupError):
    """The rows that a figure needs do not exist (yet); the message says which."""


class MixedRowsError(ValueError):
    """Rows that should differ in the seed alone differ in more; the message says in what."""


class CannotShow(ValueError):
    """A figure cannot show so many rows, or such values; the message says which."""


class Comparable(NamedTuple):
    """Rows that differ only in what a figure varies, and what was left out to get there."""

    rows: pl.DataFrame
    notes: list[Note]


def main_variants(rows: pl.DataFrame) -> dict[str, str]:
    """The variant that stands for each model: the first (of StdCNN and GCNN that of Table 1). If
    it was not measured, or under less than half as many conditions as another, that with the most
    conditions."""
    shared = [name for name in CONDITIONS if name in rows.columns]
    conditions = rows.select("model", "variant", *shared).unique()
    kinds = conditions.group_by("model", "variant").len()
    kinds = kinds.join(rows.group_by("model", "variant").len("rows"), on=["model", "variant"])
    measured: dict[str, dict[str, int]] = {}
    for model, variant, count, _ in kinds.sort("len", "rows", "variant").iter_rows():
        measured.setdefault(model, {})[variant] = count
    return {model: _main(model, measured[model]) for model in vocabulary.in_order(measured)}


def _main(model: str, conditions: Mapping[str, int]) -> str:
    """The main variant of a model, of the conditions of each, in ascending order."""
    *_, (most, count) = conditions.items()
    first = FIRST[model]
    return first if 2 * conditions.get(first, 0) >= count else most


def of_variants(variants: Mapping[str, str]) -> pl.Expr:
    """Whether a network is of the given variant of its model."""
    return pl.any_horizontal(
        (pl.col("model") == model) & (pl.col("variant") == variant)
        for model, variant in variants.items()
    )


def one_variant(rows: pl.DataFrame) -> Comparable:
    """The rows of the main variants, and a note if they are not those of Table 1."""
    main = main_variants(rows)
    kinds = set(rows.select("model", "variant").unique().iter_rows())
    several = Counter(model for model, _ in kinds)
    others = {m: v for m, v in main.items() if v != FIRST[m] and (several[m] > 1 or not is_own(m))}
    measured = {m: FIRST[m] for m in others if (m, FIRST[m]) in kinds}
    notes: list[Note] = [OtherVariants(others, measured)] if others else []
    return Comparable(rows.filter(of_variants(main)), notes)


def several_versions(names: Sequence[str]) -> str:
    """Why rows with several versions of these own names cannot be put together."""
    which = f"rows are of several versions of {listed(names)}"
    return f"{which}: choose one, as newest_versions(rows) does"


def where(rows: pl.DataFrame, needs: str, *predicates: pl.Expr) -> pl.DataFrame:
    """The rows that meet all predicates.

    Raises:
        NotMeasured: there is none; `needs` says what was asked for.
    """
    chosen = rows.filter(*predicates)
    if chosen.is_empty():
        raise NotMeasured(f"needs rows with {needs}")
    return chosen


def at_least_two(rows: pl.DataFrame, column: str, needs: str) -> pl.DataFrame:
    """The rows, if they can make a line.

    Raises:
        NotMeasured: `column` has fewer than two values; `needs` says of which rows.
    """
    if rows[column].n_unique() < 2:
        only = ", ".join(f"{value:g}" for value in rows[column].unique())
        wanted = f"rows at two values of {column} or more, with {needs}"
        raise NotMeasured(f"needs {wanted} (measured: {only})")
    return rows


def comparable(rows: pl.DataFrame, *, all_variants: bool = False) -> Comparable:
    """Keep rows that are trained, tested and attacked alike, of own names those of the newest
    version. Unless `all_variants`, keep one variant per model."""
    notes: list[Note] = []
    if names := versions.mixed(rows):
        if "finished_at" not in rows.columns:
            raise MixedRowsError(several_versions(names))
        rows, lines = versions.newest(rows)
        notes += [f"{each}." for each in lines]
    if not all_variants:
        rows, variants = one_variant(rows)
        notes += variants
    for choose in (trained_alike, tested_alike, attacked_alike):
        rows, left_out = choose(rows)
        notes += left_out
    return Comparable(rows, notes)


def trained_alike(rows: pl.DataFrame) -> Comparable:
    """The rows of one setting and one eps per adversary."""
    rows, notes = most_frequent(rows, SETTING)
    rows, more = most_frequent(rows, ["adversary_eps"], ["adversary"])
    return Comparable(rows, notes + more)


def alike_networks(networks: pl.DataFrame) -> Comparable:
    """The rows of networks of one variant per model that were trained alike, of any table."""
    kept, notes = one_variant(networks)
    kept, more = trained_alike(kept)
    return Comparable(kept, [*notes, *more])


def tested_alike(rows: pl.DataFrame) -> Comparable:
    """The rows of one range of shifts and one mode of the network, those with an attack in one
    threat model and unit of eps, and clipped alike."""
    rows, notes = most_frequent(rows, ["test_translation", "mode"])
    attacked = pl.col("attack") != "none"
    kept, more = most_frequent(rows.filter(attacked), ["eps_unit", "clip", "threat"])
    return Comparable(pl.concat([rows.filter(~attacked), kept]), notes + more)


def attacked_alike(rows: pl.DataFrame) -> Comparable:
    """The rows of one protocol per attack."""
    return most_frequent(rows, PROTOCOL, ["attack"])


def most_frequent(
    rows: pl.DataFrame, columns: Sequence[str], by: Sequence[str] = ()
) -> Comparable:
    """The rows with the most frequent combination of `columns` in each group, and notes on the
    rest. Of equally frequent ones that with the most defaults is kept, then the larger."""
    by, columns = list(by), list(columns)
    kinds = rows.group_by({*AS_OF, *by, *columns}).len()
    compared = as_of_first_model(kinds)
    defaults = [pl.col(name) == ADDED_FIELDS[name] for name in columns if name in ADDED_FIELDS]
    counts = compared.group_by([*by, *columns]).agg(pl.col("len").sum())
    counts = counts.with_columns(_defaults=pl.sum_horizontal(0, *defaults))
    counts = counts.sort("len", "_defaults", *columns, descending=True)
    kept = counts.group_by(by, maintain_order=True).first() if by else counts.head(1)
    left = counts.join(kept, on=[*by, *columns], how="anti").sort([*by, *columns])
    if left.is_empty():
        return Comparable(rows, [])
    notes: list[Note] = []
    for other in left.iter_rows(named=True):
        same = kept.filter(*(pl.col(name) == other[name] for name in by)).row(0, named=True)
        differing = [name for name in columns if other[name] != same[name]]
        group, ours, theirs = (
            {name: row[name] for name in names}
            for row, names in ((other, by), (same, differing), (other, differing))
        )
        notes.append(LeftOut(other["len"], group, ours, theirs))
    at = compared.with_row_index("_row").join(kept, on=[*by, *columns], how="semi")["_row"]
    alike = kinds[at].drop("len")
    return Comparable(rows.join(alike, on=alike.columns, how="semi", maintain_order="left"), notes)
