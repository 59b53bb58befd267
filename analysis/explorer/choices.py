"""What can be chosen: rows by their fields, and what may stand on an axis."""

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from analysis.figures import theme
from analysis.rows import vocabulary
from analysis.rows.scan import FIELDS
from rotgrid.spec.entries import is_own

FIRST = (
    *("model", "variant", "data", "attack", "eps"),
    *("train_rotation", "test_rotation", "adversary", "recipe", "train_size"),
)
"""Fields that most studies vary, in the order of the page; the others follow."""
ORDER = [*FIRST, *(name for name in FIELDS if name not in FIRST)]
MEASURES = ("accuracy", "clean_accuracy", "distance", "parameters", "seconds")
"""Numbers of a network: under the attack of the row; without attack, at the same rotations; median
over images; of the network; of its training."""
TITLES = {
    "clean_accuracy": "Accuracy without attack (mean over seeds)",
    "distance": "Median distance to the boundary (pixel units)",
    "parameters": "Trainable parameters",
    "seed": "Seed",
    "data": "Data",
}
WORDS: Mapping[str, Mapping[str, str]] = {
    "model": vocabulary.LABELS,
    "data": vocabulary.DATA,
    "attack": vocabulary.ATTACKS,
    "adversary": vocabulary.ADVERSARIES,
    "eps_unit": vocabulary.EPS_UNITS,
    "threat": vocabulary.THREATS,
}
"""What stored words are called, by field."""
FEW = 6
"""Values of a field that makes facets unless told otherwise."""
SAME_TEST = ["trial", "test_rotation", "test_translation", "mode"]


def title(column: str) -> str:
    """What a column is called on the page."""
    return TITLES.get(column) or theme.title(column)


def words(column: str, value: object) -> str:
    """A value of a column for readers."""
    if isinstance(value, float):
        return f"{value:g}"
    known = WORDS.get(column, {})
    named = isinstance(value, str) and (value in known or is_own(value))
    return known[str(value)] if column in WORDS and named else str(value)


def varying(rows: pl.DataFrame) -> list[str]:
    """The fields with several values."""
    return [name for name in ORDER if rows[name].n_unique() > 1]


def values(rows: pl.DataFrame, column: str) -> dict[str, object]:
    """The values of a field by what they are called: words as in legends, numbers ascending."""
    found = rows[column].unique().to_list()
    if rows.schema[column] == pl.String:
        found = vocabulary.in_order(filter(None, found), WORDS.get(column, ()))
        found += [""] if (rows[column] == "").any() else []
    else:
        found = sorted(value for value in found if value is not None)
    return {words(column, value) or "(none)": value for value in found}


def chosen(rows: pl.DataFrame, wanted: Mapping[str, Sequence[object]]) -> pl.DataFrame:
    """The rows that have, of each field, one of the values; nothing wanted is any value."""
    return rows.filter(*(pl.col(name).is_in(some) for name, some in wanted.items() if some))


def with_measures(rows: pl.DataFrame, epochs: pl.DataFrame) -> pl.DataFrame:
    """The rows with `MEASURES`, null where they are not known.

    Args:
        rows: of table `evaluations`.
        epochs: of table `training`.
    """
    plain = rows.filter(attack="none").sort("n").group_by(SAME_TEST).last()
    clean = plain.select(*SAME_TEST, clean_accuracy=pl.col("n_correct") / pl.col("n"))
    took = epochs.group_by("trial").agg(_training=pl.col("seconds").sum())
    found = rows.join(clean, on=SAME_TEST, how="left", nulls_equal=True, maintain_order="left")
    found = found.join(took, on="trial", how="left", maintain_order="left")
    middle = pl.col("distances").list.median().cast(pl.Float64)
    return found.with_columns(
        accuracy=pl.col("n_correct") / pl.col("n"),
        distance=pl.when(middle.is_finite()).then(middle),
        seconds="_training",
    ).drop("_training")


def axes(rows: pl.DataFrame) -> dict[str, str]:
    """What may stand on an axis, by what it is called: measures that are known, and fields with
    several values."""
    known = [name for name in MEASURES if rows[name].null_count() < rows.height]
    return {title(name): name for name in [*known, *varying(rows)]}


def first_axis(rows: pl.DataFrame) -> str:
    """The numeric field with the most values, of those that most studies vary; else any field that
    varies, else the parameters."""
    fields = varying(rows)
    numbers = [name for name in FIRST if name in fields and rows.schema[name].is_numeric()]
    most = max(numbers, key=lambda name: rows[name].n_unique(), default=None)
    return most or next(iter(fields), "parameters")


def first_attack(rows: pl.DataFrame) -> str:
    """None, if that was measured."""
    return next(iter(vocabulary.in_order(rows["attack"], vocabulary.ATTACKS)), "none")


def first_facet(rows: pl.DataFrame, others: Collection[str]) -> str:
    """Of the fields that most studies vary and others do not show, that with the most values, if
    these are few; else nothing."""
    counts = {name: rows[name].n_unique() for name in FIRST if name not in others}
    few = {name: count for name, count in counts.items() if 1 < count <= FEW}
    return max(few, key=lambda name: few[name], default="")
