"""Parquet parts -> frames, some at a time."""

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from rotgrid import results
from rotgrid.results import storage
from rotgrid.results.columns import SCHEMAS, TableName

Place = str | os.PathLike[str]
AT_ONCE = 20
"""Parts in a batch: their columns are thinned before the next are read."""
BESIDE = 2
"""Batches read at a time."""
Made = TypeVar("Made")


def batches(
    place: Place, table: TableName, then: Callable[[pl.DataFrame], Made]
) -> Iterator[tuple[Made, list[str]]]:
    """All rows of a place, some parts at a time and what `then` makes of them, with a line for
    every skipped file.

    Safe while others write and compact: rows may come twice, see `newest`.
    """

    def made(names: Sequence[str]) -> tuple[Made, list[str]]:
        rows, skipped = _read(place, names, table)
        return then(rows), [f"{os.fspath(place)}: {line}" for line in skipped]

    seen: set[str] = set()
    with ThreadPoolExecutor(BESIDE) as pool:
        while new := [n for n in storage.names(place, table, ".parquet") if n not in seen]:
            seen.update(new)  # then look again: what is gone by now is in a file that has come
            yield from pool.map(made, _batches(new))


def height(place: Place, table: TableName) -> int:
    """How many rows the parts of a local folder have by their own account; 0 if one is damaged."""
    filesystem, folder = storage.locate(place)
    names = storage.names(place, table, ".parquet")
    if not isinstance(filesystem, pafs.LocalFileSystem):
        return 0
    try:
        return sum(pq.read_metadata(f"{folder}/{name}").num_rows for name in names)
    except (pa.ArrowException, OSError, ValueError):
        return 0


@functools.cache
def empty(table: TableName) -> pl.DataFrame:
    """A table without rows."""
    return _frame(SCHEMAS[table].empty_table())


def newest(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Each key once, in an order that does not depend on the file system."""
    if _ascending(rows, key):
        return rows
    by_age = (
        rows.select(*key, "finished_at")
        .with_row_index("_row")
        .sort("finished_at", descending=True, nulls_last=True, maintain_order=True)
    )
    return rows[by_age.unique(key, keep="first", maintain_order=True).sort(key)["_row"]]


def fit(rows: pl.DataFrame) -> pl.Series:
    """Whether 0 <= n_correct <= n, and `correct` (where given) has n bits, n_correct of them 1."""
    rows = rows.select("n", "n_correct", "correct").rechunk()
    k, n = pl.col("n_correct"), pl.col("n")
    ones = pl.lit(_ones(rows["correct"]))
    length = pl.col("correct").bin.size().cast(pl.Int64)
    given = pl.col("correct").is_null() | ((length == (n + 7) // 8) & (ones == k))
    fits = (n > 0) & (k >= 0) & (k <= n) & given
    return rows.select(fits=fits.fill_null(False))["fits"]


def _ones(bits: pl.Series) -> pl.Series:
    """How many bits of each row are 1."""
    packed = bits.fill_null(b"").to_arrow().cast(pa.large_binary())
    _, offsets, content = packed.buffers()
    ends = np.frombuffer(offsets, np.int64)[packed.offset :][: len(packed) + 1]
    counts = np.bitwise_count(np.frombuffer(content or b"", np.uint8)[ends[0] : ends[-1]])
    lengths = np.diff(ends)
    if len(lengths) and (lengths == lengths[0]).all():
        return pl.Series("ones", counts.reshape(len(lengths), -1).sum(1, dtype=np.int64))
    before = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return pl.Series("ones", np.diff(before[ends - ends[0]]))


def _ascending(rows: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether each key is greater than that of the row before, so that none repeats."""
    greater = pl.lit(False)
    for name in reversed(key):
        column, before = pl.col(name), pl.col(name).shift()
        greater = (column > before) | ((column == before) & greater)
    return bool(rows.select(greater.slice(1).fill_null(False).all()).item())


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    """Sorted names in batches that do not part what belongs to one trial."""
    batch: list[str] = []
    for _, group in itertools.groupby(names, lambda name: PurePosixPath(name).stem.split("-")[0]):
        batch += group
        if len(batch) >= AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _read(place: Place, names: Sequence[str], table: TableName) -> tuple[pl.DataFrame, list[str]]:
    """The rows of some parts, and a line for every one that is skipped.

    Read by pyarrow, as launches do: a flipped bit can make polars end the whole process.
    """
    read = list(results.read_parts(place, names, SCHEMAS[table]))
    found = [part for part, _ in read if part is not None]
    return _frame(pa.concat_tables([SCHEMAS[table].empty_table(), *found])), [
        problem for _, problem in read if problem
    ]


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
