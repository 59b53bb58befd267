"""`python -m rotgrid.compact RESULTS`: merge many small Parquet parts into few large files.

It may run while others launch, read or compact, and may be killed: a file is deleted only when a
copy of each of its rows is stored, and `results.read` shows rows that are stored twice once. Other
readers of `*.parquet` see rows twice from the writing of the copy to the deletion of the parts; if
that was cut short, until the next run, which deletes what is left.

Exit codes: 0 done, 2 usage or no results, 5 the results cannot be read or written.
"""

import argparse
import contextlib
import datetime
import functools
import hashlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from rotgrid import results
from rotgrid.console import tolerate_lost_output
from rotgrid.results import Root, storage
from rotgrid.results.columns import KEYS, SCHEMA_VERSION, SCHEMAS, TableName
from rotgrid.results.parts import COMPACTED, DIGITS, encoded, subset

FULL_BYTES = 128 << 20
"""In memory: a file with as much is not written again; few have more than twice as much."""
FULL = f"{COMPACTED}full-"
"""How the names of such files begin."""
GROUP_ROWS = 10_000
"""Rows are written in groups; to find a trial, only those that may hold it are read."""
DEAD = datetime.timedelta(hours=1)
"""No file takes as long to write."""

Pack = dict[str, pa.Table]
"""Rows to merge, by file."""
Known = dict[str, pa.Array]
"""Keys of the rows of files that need no merging, by file; no key is in two of them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rotgrid.compact",
        description="Merge many small Parquet parts into few large files.",
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", metavar="RESULTS", help="folder, s3:// or gs://")
    root = parser.parse_args(arguments).results
    try:
        with contextlib.suppress(OSError):  # it will be met again
            storage.locate(root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return compact_all(root)
    except OSError as error:
        print(f"{error}; nothing is lost: run it again", file=sys.stderr)
        return 5


def compact_all(root: Root) -> int:
    """Merge and report each table; the exit code."""
    if not any(storage.infos(root, folder) for folder in (*KEYS, "grids")):
        print(f"{root}: no launched grid and no rows", file=sys.stderr)
        return 2
    for table in KEYS:
        count, size = usage(root, table)
        rows, problems = compact(root, table)
        left, smaller = usage(root, table)
        print(
            f"{table}: {count:,} -> {left:,} files, {rows:,} rows, "
            f"{size / 1e6:,.1f} -> {smaller / 1e6:,.1f} MB"
        )
        for line in problems:
            print(line, file=sys.stderr)
    for line in (*tidied(root), *left_over(root)):
        print(line, file=sys.stderr)
    return 0


def compact(root: Root, table: TableName) -> tuple[int, list[str]]:
    """Merge the parts of one table.

    Returns:
        The number of its rows, and a line for each file that is not a part of it.

    Raises:
        StoreError: a file cannot be written or deleted.
    """
    problems: list[str] = []
    known, parts = survey(root, table, problems)
    for pack in packs(root, table, parts, problems):
        merge(root, table, pack, known, problems)
    return sum(map(len, known.values())), problems


def survey(root: Root, table: TableName, problems: list[str]) -> tuple[Known, list[str]]:
    """The full files, and all to merge: the others, and full ones with a key of another."""
    names = storage.names(root, table, ".parquet")
    parts = [name for name in names if not is_full(name)]
    full = [name for name in names if is_full(name)]
    known: Known = {}
    for name, rows in readable(root, full, subset(table, KEYS[table]), problems):
        keys = results.keys_of(rows, table)
        if any(overlap(keys, others) for others in known.values()):
            parts.append(name)
        else:
            known[name] = keys
    return known, parts


def packs(root: Root, table: TableName, parts: list[str], problems: list[str]) -> Iterator[Pack]:
    """The parts by and by, as many at once as fill a file."""
    pack: Pack = {}
    size = 0
    for name, rows in readable(root, parts, SCHEMAS[table], problems):
        pack[name] = rows
        size += rows.nbytes
        if size >= FULL_BYTES:
            yield pack
            pack, size = {}, 0
    if pack:
        yield pack


def merge(root: Root, table: TableName, pack: Pack, known: Known, problems: list[str]) -> None:
    """Write the rows of a pack and of known files that share a key or are not full; delete these.

    A pack of one file stays as it is. `pack` is emptied, `known` brought up to date.
    """
    keys = results.keys_of(pa.concat_tables(pack.values()), table)
    again = [name for name in known if not is_full(name) or overlap(known[name], keys)]
    pack.update(readable(root, again, SCHEMAS[table], problems))
    for name in again:
        del known[name]
    given = pa.concat_tables(pack.values())
    rows = results.distinct(given, table)
    if len(pack) == 1 and len(rows) == len(given):
        known.update(dict.fromkeys(pack, keys))
        return
    sources = list(pack)
    pack.clear()
    written = store(root, table, rows)
    known.update(written)
    with ThreadPoolExecutor(results.REQUESTS) as pool:
        merged = [name for name in sources if name not in written]
        list(pool.map(functools.partial(storage.delete, root), merged))


def store(root: Root, table: TableName, rows: pa.Table) -> Known:
    """Write rows, sorted, to as few files as may be; their keys."""
    order = pc.sort_indices(rows, [(name, "ascending") for name in KEYS[table]])
    keys = results.keys_of(rows, table).take(order)
    size = rows.nbytes
    rows = rows.combine_chunks()
    head = FULL if size >= FULL_BYTES else COMPACTED
    count = max(1, size // FULL_BYTES)
    bounds = [len(rows) * i // count for i in range(count + 1)]
    written = {}
    for start, stop in itertools.pairwise(bounds):
        data = encode(rows, order[start:stop])
        name = f"{table}/{head}{hashlib.sha256(data).hexdigest()[:DIGITS]}.parquet"
        storage.put(root, name, data)
        written[name] = keys[start:stop]
    return written


def encode(rows: pa.Table, order: pa.Array) -> bytes:
    """Some of the rows in this order as a Parquet file."""
    version = {"rotgrid.schema_version": str(SCHEMA_VERSION)}
    starts = range(0, len(order), GROUP_ROWS)
    groups = (rows.take(order[start : start + GROUP_ROWS]) for start in starts)
    return encoded(groups, rows.schema.with_metadata(version))


def readable(
    root: Root, names: list[str], schema: pa.Schema, problems: list[str]
) -> Iterator[tuple[str, pa.Table]]:
    """The files that have rows; why others have none is added to `problems`."""
    parts = results.read_parts(root, names, schema)
    for name, (rows, problem) in zip(names, parts, strict=True):
        if rows is not None:
            yield name, rows
        elif problem:
            problems.append(problem)


def is_full(name: str) -> bool:
    """Whether a file is large enough to be left alone."""
    return name.rpartition("/")[2].startswith(FULL)


def overlap(some: pa.Array, others: pa.Array) -> bool:
    """Whether any key is among the others."""
    return bool(pc.any(pc.is_in(some, value_set=others)).as_py())


def tidied(root: Root) -> Iterator[str]:
    """Delete the states of trainings whose weights are stored."""
    weights = set(storage.names(root, "checkpoints", ".pt"))
    for name in sorted(weights):
        key, training, _ = name.partition(".training.pt")
        if training and f"{key}.pt" in weights:
            storage.delete(root, name)
            yield f"{name}: deleted: the training is complete"


def left_over(root: Root) -> Iterator[str]:
    """What writers that were killed have left."""
    now = datetime.datetime.now(datetime.UTC)
    for folder in (*KEYS, "checkpoints", "failures", "grids"):
        for info in storage.infos(root, folder):
            hidden = info.base_name.startswith(".") and info.base_name.endswith(".tmp")
            if hidden and info.mtime and now - info.mtime > DEAD:
                yield f"{folder}/{info.base_name}: half written by a process that died: delete it"


def usage(root: Root, table: TableName) -> tuple[int, int]:
    """How many files a table has, and their bytes."""
    sizes = [info.size for info in storage.infos(root, table) if info.base_name[0] != "."]
    return len(sizes), sum(sizes)


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
