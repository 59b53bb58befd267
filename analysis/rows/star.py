"""Very many rows, with what they share stored once: a star of small tables around their numbers.

A row is made of a trial, a probe, a machine and numbers of its own; millions of rows have a few
thousand of the first three. Figures get the rows that they read as one frame (`narrow`); what is
said of all rows is worked out from the small tables. Every function takes a plain frame as well.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from analysis.rows import parquet
from rotgrid.results.columns import PROVENANCE
from rotgrid.spec import Probe, Trial

SHARED = {
    "_trial": ["trial", *Trial.model_fields, "parameters"],
    "_probe": ["probe", *Probe.model_fields, "n", "_counted"],
    "_machine": [column.name for column in PROVENANCE if column.name != "finished_at"],
}
"""The columns of each small table, by the column of `facts` that says where a row has them."""
CLASSES = ["class_n", "class_n_correct"]
OWN = ["n_correct", "seconds", "finished_at", "fits"]


class Star(NamedTuple):
    """Rows, taken apart; the outcomes of single images are left out."""

    facts: pl.DataFrame
    """A row for each."""
    shared: dict[str, pl.DataFrame]
    """The small tables, and as `_classes` the counts per class."""


Rows = pl.DataFrame | Star


def apart(rows: pl.DataFrame, fits: pl.Series) -> Star:
    """Rows of results, and whether their counts fit; sorted by trial and probe."""
    classes = rows.select(CLASSES)
    known = classes["class_n"].is_not_null()
    rows = rows.drop("correct", "distances", *CLASSES).rechunk()  # together they are fast
    rows = rows.with_columns(fits.alias("fits"), known.alias("_counted"))
    facts, shared = rows.select(OWN), {}
    for place, columns in SHARED.items():
        shared[place], at = _numbered(rows.select(columns))
        facts = facts.with_columns(at.alias(place))
    kept = (rows["eps"] == 0).fill_null(False) & rows["_counted"]
    shared["_classes"] = classes.filter(kept)
    numbers = pl.when(kept).then(kept.cum_sum().cast(pl.UInt32) - 1)
    return Star(facts.with_columns(_classes=numbers).sort("_trial", "_probe"), shared)


def counted(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with a column that says whether they know their counts per class; these are kept of
    rows without attack on pixels only."""
    return rows.with_columns(rows["class_n"].is_not_null().alias("_counted"))


def joined(stars: Sequence[Star]) -> Star:
    """All rows below each other."""
    facts, shared = [star.facts for star in stars], {}
    for place in stars[0].shared:
        tables = [star.shared[place] for star in stars]
        starts = pl.Series([table.height for table in tables]).cum_sum().shift(fill_value=0)
        facts = [
            own.with_columns(pl.col(place) + pl.lit(start, pl.UInt32))
            for own, start in zip(facts, starts, strict=True)
        ]
        shared[place] = pl.concat(tables)
    together = pl.concat(facts)
    for place in SHARED:
        shared[place], at = _numbered(shared[place])
        together = together.with_columns(_of_rows(at, place).alias(place))
    return Star(together, shared)


def height(rows: Rows) -> int:
    """How many rows there are."""
    return rows.facts.height if isinstance(rows, Star) else rows.height


def whole(rows: Rows, columns: Sequence[str] = ()) -> pl.DataFrame:
    """The rows as one frame, with these columns or those of results and what was added."""
    if isinstance(rows, pl.DataFrame):
        return rows.select(columns) if columns else rows
    frame = _side_by_side(rows, columns)
    schema = parquet.empty("evaluations").schema
    added = [name for name in ("fits", "flags") if name in frame.columns]
    columns = columns or [*schema, *added]
    absent = {name: pl.lit(None, schema[name]) for name in columns if name not in frame.columns}
    return frame.with_columns(**absent).select(columns)


def narrow(rows: Rows, *predicates: pl.Expr, columns: Sequence[str] = ()) -> pl.DataFrame:
    """The rows that meet all predicates, as one frame with these columns or all."""
    if isinstance(rows, pl.DataFrame):
        return whole(rows.filter(*predicates), columns)
    across = []
    for predicate in predicates:  # those about one small table are decided there
        names = set(predicate.meta.root_names())
        place = next((p for p in SHARED if names <= set(rows.shared[p].columns)), None)
        if place is None:  # it takes several, or the row's own numbers
            across.append(predicate)
        else:
            met = rows.shared[place].with_columns(_met=predicate.fill_null(False))["_met"]
            rows = rows._replace(facts=rows.facts.filter(_of_rows(met, place)))
    for predicate in across:
        values = _side_by_side(rows, predicate.meta.root_names())
        rows = rows._replace(facts=rows.facts.filter(values.select(predicate).to_series()))
    return whole(rows, columns)


def outcomes(rows: Rows) -> pl.DataFrame:
    """The rows, with the outcome of each image where it is known: none of a star."""
    if isinstance(rows, pl.DataFrame):
        return rows
    return whole(rows._replace(facts=rows.facts.clear()))


def distinct(rows: Rows, columns: Sequence[str]) -> pl.DataFrame:
    """The combinations of values of some columns of trials and probes, each once."""
    if isinstance(rows, pl.DataFrame):
        return rows.select(columns).unique(maintain_order=True)
    found, tables = _keyed(rows, columns)
    pairs = found.select(*tables).unique()
    frames = [table.select(pl.all().gather(pairs[name])) for name, table in tables.items()]
    return pl.concat(frames, how="horizontal").select(columns).sort(columns)


def newest(rows: Rows, key: Sequence[str]) -> Rows:
    """Each combination of the columns once, in their order, or of a star in that of its tables."""
    if isinstance(rows, pl.DataFrame):
        return parquet.newest(rows, key)
    found, tables = _keyed(rows, key)
    return rows._replace(facts=parquet.newest(found, [*tables]).drop(*tables))


def fitting(rows: Rows) -> Rows:
    """The rows that fit, without the column that says so."""
    if isinstance(rows, pl.DataFrame):
        return (rows if rows["fits"].all() else rows.filter("fits")).drop("fits")
    return rows._replace(facts=rows.facts.filter("fits").drop("fits"))


def told_apart(rows: Rows, columns: Sequence[str]) -> bool:
    """Whether rows of a star cannot agree in these columns of trials and probes."""
    return isinstance(rows, Star) and not any(
        table.select(name for name in columns if name in table.columns).is_duplicated().any()
        for table in (rows.shared["_trial"], rows.shared["_probe"])
    )


def lacking(rows: Rows, pairs: pl.DataFrame) -> pl.DataFrame:
    """Those of some trials and probes of which there is no row."""
    names = ["trial", "probe"]
    if isinstance(rows, Star):
        found, tables = _keyed(rows, names)
        for place, table in tables.items():
            at = table.with_row_index(place)
            pairs = pairs.join(at, on=table.columns, how="left", maintain_order="left")
        pairs = pairs.join(found, on=[*tables], how="anti", maintain_order="left")
        return pairs.select(names)
    return pairs.join(rows, on=names, how="anti", maintain_order="left")


def tally(rows: Rows, by: Sequence[str], /, **counted: pl.Expr) -> pl.DataFrame:
    """An aggregation of the trials (`trial`) and own numbers of rows by their machines, sorted."""
    if isinstance(rows, pl.DataFrame):
        return rows.group_by(by).agg(**counted).sort(by)
    found, tables = _keyed(rows, ["trial", *by])
    trial, machine = tables
    counts = found.rename({trial: "trial"}).group_by(machine).agg(**counted)
    named = tables[machine].with_row_index(machine)
    return counts.join(named, on=machine).select(*by, *counted).sort(by)


def with_of_trials(rows: Rows, added: pl.DataFrame) -> Rows:
    """The rows with the columns that `added` has for some trials."""
    if isinstance(rows, pl.DataFrame):
        more = rows.select("trial").join(added, on="trial", how="left", maintain_order="left")
        return rows.with_columns(more.drop("trial"))
    table = rows.shared["_trial"].join(added, on="trial", how="left", maintain_order="left")
    return rows._replace(shared={**rows.shared, "_trial": table})


def _numbered(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """The distinct rows, sorted, and for each row which of them it is."""
    distinct = rows.unique().sort(rows.columns)
    first = rows.columns[0]
    on = rows.columns if distinct[first].is_duplicated().any() else [first]
    numbers = distinct.with_row_index("_number").select(*on, "_number")
    found = rows.join(numbers, on=on, how="left", maintain_order="left", nulls_equal=True)
    copied = pl.col(pl.String) + ""  # as it is, a text holds on to those of all rows
    return distinct.with_columns(copied), found["_number"]


def _of_rows(values: pl.Series, place: str) -> pl.Expr:
    """What rows have, of something that is known of each row of a small table."""
    return pl.lit(values).gather(pl.col(place))


def _keyed(star: Star, columns: Sequence[str]) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """The facts with the number of their combination of the columns in each small table, and by
    the name of that number the combinations."""
    facts, tables = star.facts, {}
    for place in SHARED:
        mine = [name for name in columns if name in star.shared[place].columns]
        if mine:
            tables[f"_key{place}"], at = _numbered(star.shared[place].select(mine))
            facts = facts.with_columns(_of_rows(at, place).alias(f"_key{place}"))
    return facts, tables


def _side_by_side(star: Star, columns: Sequence[str] = ()) -> pl.DataFrame:
    """The rows with those of these columns that a star has, or all."""
    frames = [star.facts.select(name for name in star.facts.columns if _asked(name, columns))]
    for place, table in star.shared.items():
        mine = [name for name in table.columns if _asked(name, columns)]
        frames.append(table.select(pl.col(mine).gather(star.facts[place])))
    return pl.concat((frame for frame in frames if frame.width), how="horizontal")


def _asked(name: str, columns: Sequence[str]) -> bool:
    return name in columns or not columns
