"""Merging many small Parquet parts of a table into few large files: read, write, delete.

Others may launch, read or merge at the same time, and this may be killed: a file is deleted only
when a copy of each of its rows is stored, and `results.read` shows rows that are there twice once.
Other readers of `*.parquet` see them twice until the parts are gone, if need be by the next run.
"""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from rotgrid import results
from rotgrid.results import storage
from rotgrid.results.columns import KEYS, SCHEMA_VERSION, SCHEMAS, TableName
from rotgrid.results.parts import COMPACTED, DIGITS, encoded, subset
from rotgrid.results.storage import Root

FULL_BYTES = 128 << 20
"""In memory: a file with as much is not written again; few have more than twice as much."""
FULL = f"{COMPACTED}full-"
"""How the names of such files begin."""
Pack = dict[str, pa.Table]
"""Rows to merge, by file."""
Keys = dict[str, pa.Array]
"""Of the rows of files."""


def compact(root: Root, table: TableName) -> tuple[int, list[str]]:
    """Merge the parts of one table.

    Returns:
        The number of its rows, and a line for each file that is not a part of it.

    Raises:
        StoreError: a file cannot be read, written or deleted.
    """
    problems: list[str] = []
    keys: Keys = {}  # of the rows of files that stay, which share none
    names = storage.names(root, table, ".parquet")
    parts = [name for name in names if not is_full(name)]
    full = [name for name in names if is_full(name)]
    for name, rows in readable(root, full, subset(table, KEYS[table]), problems):
        own = results.keys_of(rows, table)
        if any(overlap(own, others) for others in keys.values()):
            parts.append(name)
        else:
            keys[name] = own
    pack: Pack = {}
    size = 0
    for name, rows in readable(root, parts, SCHEMAS[table], problems):
        pack[name] = rows
        size += rows.nbytes
        if size >= FULL_BYTES:
            merge(root, table, pack, keys, problems)
            size = 0
    if pack:
        merge(root, table, pack, keys, problems)
    return sum(map(len, keys.values())), problems


def merge(root: Root, table: TableName, pack: Pack, keys: Keys, problems: list[str]) -> None:
    """Merge the parts of a pack, and files of `keys` that share a row with them; one part alone
    stays as it is. The pack is emptied, `keys` brought up to date."""
    own = results.keys_of(pa.concat_tables(pack.values()), table)
    shared = [name for name, others in keys.items() if overlap(own, others)]
    pack.update(readable(root, shared, SCHEMAS[table], problems))
    for name in shared:
        del keys[name]
    given = pa.concat_tables(pack.values())
    rows = results.distinct(given, table)
    sources = list(pack)
    pack.clear()
    if len(sources) == 1 and len(rows) == len(given):
        keys[sources[0]] = own
        return
    keys.update(write(root, table, rows))
    with ThreadPoolExecutor(results.REQUESTS) as pool:
        merged = [name for name in sources if name not in keys]
        list(pool.map(functools.partial(storage.delete, root), merged))


def write(root: Root, table: TableName, rows: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    """Write rows, sorted, to as few files as may be; name and keys of each."""
    rows = rows.combine_chunks().sort_by([(name, "ascending") for name in KEYS[table]])
    schema = rows.schema.with_metadata({"rotgrid.schema_version": str(SCHEMA_VERSION)})
    count = max(1, rows.nbytes // FULL_BYTES)
    head = FULL if rows.nbytes >= FULL_BYTES else COMPACTED
    for i in range(count):
        start, stop = (len(rows) * end // count for end in (i, i + 1))
        some = rows.slice(start, stop - start)
        data = encoded([some], schema)
        name = f"{table}/{head}{hashlib.sha256(data).hexdigest()[:DIGITS]}.parquet"
        storage.put(root, name, data)
        yield name, results.keys_of(some, table)


def readable(
    root: Root, names: Sequence[str], schema: pa.Schema, problems: list[str]
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
