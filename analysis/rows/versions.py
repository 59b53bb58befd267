"""Versions of what is the user's own: of each name the newest counts, unmixed with others.

A name with a colon or an `.npz` is told apart by its digest; an own recipe, of each model, by its
settings. The newest version is the one with the row that was finished last; where results have
stored grids, the one that was launched last.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from analysis.rows import recipes
from analysis.rows.overview import Overview, of_probe, of_trial
from analysis.rows.phrases import listed, plural
from analysis.rows.scan import PROBE, TRIAL
from rotgrid.spec import Probe, Trial

VERSION = {f"{c}_digest": pl.col(c) for c in ("model", "data", "adversary", "attack", "source")}
VERSION["recipe_settings"] = pl.format("recipe {} of {}", "recipe", "model")
"""The columns that hold versions, each with what they are versions of."""
SEEN: dict[str, pl.DataType] = {
    "name": pl.String(),
    "version": pl.String(),
    "last": pl.Datetime("us", "UTC"),
}


class Newest(NamedTuple):
    """Rows of the newest version of each own name, and a line for each name with others."""

    rows: pl.DataFrame
    problems: list[str]


def newest_versions(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows whose own networks, data, attacks, adversaries and recipes are all of the newest
    version among these rows."""
    return newest(rows).rows


def newest(rows: pl.DataFrame) -> Newest:
    """The same, and how many rows of earlier versions were left out."""
    older = earlier(seen(rows))
    if older.is_empty():
        return Newest(rows, [])
    lines = [line(part, rows.filter(is_of(part, rows.columns)).height) for part in by_name(older)]
    return Newest(rows.filter(~is_of(older, rows.columns)), lines)


def columns_used(table: pl.DataFrame) -> list[str]:
    """The columns of a table that hold versions of own names."""
    return [
        version
        for version, name in VERSION.items()
        if {version, *name.meta.root_names()} <= set(table.columns)
        and (table[version] != "").any()
    ]


def seen(table: pl.DataFrame, last: str = "finished_at") -> pl.DataFrame:
    """Each version that a table names, and when the last row with it was finished."""
    parts = [
        table.filter(pl.col(version) != "").select(
            name=VERSION[version], version=version, last=pl.col(last).cast(SEEN["last"])
        )
        for version in columns_used(table)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=SEEN)


def seen_in(facts: pl.DataFrame, whole: Overview) -> pl.DataFrame:
    """`seen` of many rows, from what is known of them together."""
    parts = []
    for column, table, key in (
        ("trial", whole.networks, of_trial()),
        ("probe", whole.probes, of_probe()),
    ):
        if columns_used(table):
            last = facts.group_by(column).agg(pl.col("finished_at").max())
            parts.append(
                seen(table.with_columns(_is=key).join(last, left_on="_is", right_on=column))
            )
    return pl.concat(parts) if parts else pl.DataFrame(schema=SEEN)


def are_of(versions: pl.DataFrame, facts: pl.DataFrame, whole: Overview) -> pl.Series:
    """Of many rows, whether each is of one of these versions."""
    trials = whole.networks.filter(is_of(versions, TRIAL)).select(of_trial())
    probes = whole.probes.filter(is_of(versions, PROBE)).select(of_probe())
    either = [
        pl.col(column).is_in(hashes.to_series().unique().implode())
        for column, hashes in (("trial", trials), ("probe", probes))
    ]
    return facts.select(pl.any_horizontal(either)).to_series()


def earlier(seen: pl.DataFrame, launched: Mapping[str, str] | None = None) -> pl.DataFrame:
    """The versions of each name but the newest, `name` and `version`, sorted. A version that is
    `launched`, by name, counts as the newest: a file may have been put back as it was."""
    each = seen.group_by("name", "version").agg(pl.col("last").max())
    wanted = pl.col("name").replace_strict(launched or {"": ""}, default=None)
    each = each.with_columns(launched=(pl.col("version") == wanted).fill_null(value=False))
    by_age = ["name", "launched", "last", "version"]
    each = each.sort(by_age, descending=[False, True, True, True], nulls_last=True)
    return each.filter(~pl.col("name").is_first_distinct()).select("name", "version")


def by_name(versions: pl.DataFrame) -> list[pl.DataFrame]:
    """The versions of each name."""
    return versions.partition_by("name", maintain_order=True)


def is_of(versions: pl.DataFrame, columns: Sequence[str]) -> pl.Expr:
    """Whether a row of a table with these columns is of one of these versions."""
    keys = versions.select(pl.concat_str("name", "version", separator="\n")).to_series().implode()
    return pl.any_horizontal(
        pl.concat_str(name, version, separator="\n").is_in(keys)
        for version, name in VERSION.items()
        if version in columns
    )


def line(versions: pl.DataFrame, count: int) -> str:
    """How many rows of the earlier versions of one name are left out."""
    rows, name = plural(pl.Series([count]), "row"), versions["name"][0]
    texts = versions["version"].to_list()
    one = len(texts) == 1
    if name.startswith("recipe "):
        model = name.rpartition(" of ")[2]
        said = "; ".join(recipes.words(text, model) for text in texts)
        of = (
            f"with {'other, earlier' if one else f'{len(texts)} other, earlier'} settings ({said})"
        )
    else:
        which = "another version (digest" if one else f"{len(texts)} other versions (digests"
        of = f"of {which} {listed(texts)})"
    return f"{name}: {rows} {of} {'is' if count == 1 else 'are'} left out"


def mixed(rows: pl.DataFrame, by: Sequence[str] = ()) -> list[str]:
    """The own names of which rows with equal values of `by` are of several versions."""
    found: list[str] = []
    for version in columns_used(rows):
        if version in by:
            continue
        cells = rows.group_by(*by, _name=VERSION[version]).agg(pl.col(version).n_unique())
        found.extend(cells.filter(pl.col(version) > 1)["_name"].unique().sort())
    return list(dict.fromkeys(found))


def named_by(record: Trial | Probe) -> Iterator[tuple[str, str]]:
    """The versions that a trial or probe names: `name` and `version`."""
    for version in VERSION:
        if value := getattr(record, version, ""):
            column = version.removesuffix("_digest")
            own = version != "recipe_settings"
            fields = vars(record)
            name = fields[column] if own else f"recipe {fields['recipe']} of {fields['model']}"
            yield name, value
