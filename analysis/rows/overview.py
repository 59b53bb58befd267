"""What all rows say together, and which of them count, worked out from a few numbers of each.

Millions of rows have a few thousand networks, measurements and machines. Of every row only hashes
of these (64 bits: of ten million rows two are mistaken for one another once in 400,000 times) and
whether its counts fit are kept; the fields are read of one row for each.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from analysis.rows.scan import PROBE, ROW, TRIAL, ChangedError
from rotgrid.results.columns import PROVENANCE

NETWORK = ["trial", *TRIAL, "parameters"]
MACHINE = [column.name for column in PROVENANCE if column.name != "finished_at"]
IDENTITY = [*NETWORK, "probe", *PROBE]
"""What tells of which network and measurement a row is."""


class Overview(NamedTuple):
    """What all rows say together."""

    rows: int
    networks: pl.DataFrame
    """A row per trial: `NETWORK`, maybe `flags`."""
    probes: pl.DataFrame
    """A row per probe and number of images: `probe`, its fields, `n`, and `counted`: whether all
    such rows know their counts per class, as all do since the second version of the schema."""
    images: pl.DataFrame
    """Each combination of `data`, `train_size` and `n`."""
    machines: pl.DataFrame
    """A row per `MACHINE`: `rows`, `trials`, and when the `first` and the `last` was finished."""


def overview(rows: pl.DataFrame) -> Overview:
    """Of the rows of one frame, each of which counts."""
    scan = rows.lazy().with_row_index(ROW)
    return summarised(scan, facts(scan), rows)


def facts(scan: pl.LazyFrame) -> pl.DataFrame:
    """A row for each: `ROW`, hashes of trial, probe and machine, `n`, `finished_at`, and whether
    it `fits` and is of attack `transfer`."""
    wanted = scan.select(
        ROW,
        trial=of_trial(),
        probe=of_probe(),
        machine=of_machine(),
        n="n",
        finished_at="finished_at",
        fits=fits(),
        transfer=(pl.col("attack") == "transfer").fill_null(False),
    )
    return wanted.collect(engine="streaming")


def of_trial() -> pl.Expr:
    """What stands for a trial in `facts`."""
    return pl.col("trial").hash(1)


def of_probe() -> pl.Expr:
    """What stands for a probe in `facts`."""
    return pl.col("probe").hash(2)


def of_machine() -> pl.Expr:
    """What stands for a machine in `facts`."""
    hashes = [pl.col(name).hash(3 + at) for at, name in enumerate(MACHINE)]
    total = hashes[0]
    for each in hashes[1:]:
        total = total ^ each
    return total


def fits() -> pl.Expr:
    """Whether 0 <= n_correct <= n, and `correct` (where given) has n bits, n_correct of them 1."""
    k, n, bits = pl.col("n_correct"), pl.col("n"), pl.col("correct")
    one_by_one = bits.cast(pl.List(pl.UInt8)).list.eval(pl.element().bitwise_count_ones())
    right = (bits.bin.size().cast(pl.Int64) == (n + 7) // 8) & (one_by_one.list.sum() == k)
    return ((n > 0) & (k >= 0) & (k <= n) & (bits.is_null() | right)).fill_null(False)


def newest(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The rows, in their order; of those with equal keys the newest, or else the first."""
    repeated = rows.filter(pl.struct(key).is_duplicated())
    by_age = repeated.sort("finished_at", descending=True, nulls_last=True, maintain_order=True)
    kept = by_age.unique(key, keep="first", maintain_order=True)
    older = repeated.join(kept, on=ROW, how="anti")
    return without(rows, older[ROW])


def without(rows: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    """The rows that do not have these numbers."""
    return rows.filter(~pl.col(ROW).is_in(numbers.implode())) if len(numbers) else rows


def rows_at(scan: pl.LazyFrame, numbers: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of the rows with these numbers."""
    before = scan.head(
        max(numbers.to_list(), default=-1) + 1
    )  # what comes after is not read at all
    chosen = before.filter(pl.col(ROW).is_in(numbers.unique().implode()))
    return chosen.select(columns).collect(engine="streaming")


def summarised(scan: pl.LazyFrame, facts: pl.DataFrame, known: pl.DataFrame) -> Overview:
    """What the rows say that `facts` names. `known` are rows with `IDENTITY`, so that fewer have
    to be read.

    Raises:
        ChangedError: the rows of `scan` are not those of `facts`.
    """
    at, finished, many, named = (
        pl.col(ROW).min(),
        pl.col("finished_at"),
        facts.lazy(),
        known.lazy(),
    )
    cells, tests, trials, probes = pl.collect_all(
        [
            many.group_by("trial", "machine", "n").agg(
                pl.len(), at, first=finished.min(), last=finished.max()
            ),
            many.group_by("probe", "n").agg(at),
            named.select(NETWORK).unique("trial").with_columns(_is=of_trial()),
            named.select("probe", *PROBE).unique("probe").with_columns(_is=of_probe()),
        ],
        engine="streaming",
    )
    unknown = [
        cells.join(trials, left_on="trial", right_on="_is", how="anti").unique("trial"),
        tests.join(probes, left_on="probe", right_on="_is", how="anti").unique("probe"),
        cells.unique("machine"),
    ]
    numbers = pl.concat([some.select(ROW) for some in unknown])[ROW]
    read = rows_at(scan, numbers, [*IDENTITY, *MACHINE])
    trials = _more(trials, read.select(*NETWORK, _is=of_trial()))
    probes = _more(probes, read.select("probe", *PROBE, _is=of_probe()))
    machines = read.select(*MACHINE, _is=of_machine()).unique("_is")
    cells = _named(_named(cells, "trial", trials), "machine", machines)
    tests = _named(tests, "probe", probes)
    return Overview(
        facts.height,
        cells.select(NETWORK).unique().sort("trial"),
        _counted(scan, tests.select("probe", *PROBE, "n"), machines),
        cells.select("data", "train_size", "n").unique().sort(pl.all()),
        _machines(cells),
    )


def _more(known: pl.DataFrame, read: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([known, read]).unique("_is", keep="first")


def _named(hashed: pl.DataFrame, column: str, names: pl.DataFrame) -> pl.DataFrame:
    """The fields instead of the hashes in a column."""
    found = hashed.rename({column: "_is"}).join(names, on="_is", how="inner")
    if found.height != hashed.height:
        raise ChangedError
    return found.drop("_is")


def _counted(scan: pl.LazyFrame, tests: pl.DataFrame, machines: pl.DataFrame) -> pl.DataFrame:
    """The tests with a column `counted`; rows that say which code made them are not so old."""
    tests = tests.sort("probe", "n")
    if not machines["code"].null_count():
        return tests.with_columns(counted=pl.lit(True))
    old = scan.filter(pl.col("code").is_null(), pl.col("class_n").is_null())
    lacking = old.select("probe", "n").unique().collect(engine="streaming")
    lacking = lacking.with_columns(counted=pl.lit(False))
    joined = tests.join(lacking, on=["probe", "n"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("counted").fill_null(True))


def _machines(cells: pl.DataFrame) -> pl.DataFrame:
    return (
        cells.group_by(MACHINE)
        .agg(
            rows=pl.col("len").sum(),
            trials=pl.col("trial").n_unique(),
            first=pl.col("first").min(),
            last=pl.col("last").max(),
        )
        .sort(MACHINE)
    )
