"""Results on disk: the row schemas, atomic writing, and reading that survives damaged files.

A results location is a local path or a URI that pyarrow understands (`s3://`, `gs://`). It holds
`evaluations/*.parquet` (a row per trial and probe), `training/*.parquet` (a row per trial and
epoch), `equivariance/*.parquet` (a row per trial, angle and layer), `diagnostics/*.parquet` (a row
per trial, probe and check), `checkpoints/<trial>.pt`, `failures/<trial>.json`, the launched
`grids/<name>.yaml` and pictures in `gallery/`. A file appears whole or not at all.
`python -m rotgrid.results.columns` prints the columns as Markdown.
"""

import functools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs

from rotgrid.results import storage
from rotgrid.results.columns import KEYS, NULLABLE, SCHEMA_VERSION, SCHEMAS, TableName
from rotgrid.results.parts import COMPACTED, _try_part, encoded, sealed, subset
from rotgrid.results.storage import Root

REQUESTS = 16
"""Files asked for at once where each answer takes its time: not on a local disk."""


def write(
    root: Root,
    table: TableName,
    part: str,
    rows: Sequence[Mapping[str, object]],
    provenance: Mapping[str, object],
) -> None:
    """Write `rows` as `<table>/<part>.parquet`; `provenance` also becomes file metadata.

    Raises:
        KeyError: a row lacks a column that is not in `NULLABLE`.
    """
    absent: dict[str, object] = dict.fromkeys(NULLABLE)
    schema = SCHEMAS[table].with_metadata(
        {
            "rotgrid.schema_version": str(SCHEMA_VERSION),
            "rotgrid.provenance": json.dumps(provenance, default=str),
        }
    )
    columns = {
        field.name: pa.array(
            [({**absent, **row, **provenance})[field.name] for row in rows], field.type
        )
        for field in schema
    }
    data = sealed(encoded([pa.table(columns, schema=schema)], schema))
    storage.put(root, f"{table}/{part}.parquet", data)


def read(
    root: Root,
    table: TableName,
    columns: Sequence[str] | None = None,
    trial: str = "",
) -> tuple[pa.Table, list[str]]:
    """All rows of a table, each once, and a line for every file that is not a part of it.

    Safe while others write and compact. No folder or no parts gives an empty table. Of rows with
    equal `KEYS` the newest counts. A `trial` key reads the rows of that trial only: in parts whose
    names begin with it, and in compacted ones.
    """
    wanted = SCHEMAS[table].names if columns is None else list(columns)
    schema = subset(table, [*wanted, *KEYS[table], "finished_at"])
    heads = (f"{table}/{trial}", f"{table}/{COMPACTED}")
    found, skipped = [pa.Table.from_batches([], schema)], []
    seen: set[str] = set()
    while new := [name for name in storage.names(root, table, ".parquet") if name not in seen]:
        seen.update(new)  # then look again: what is gone by now is in a file that has come
        parts = read_parts(root, [n for n in new if n.startswith(heads)], schema, trial)
        for rows, problem in parts:
            found += [] if rows is None else [rows]
            skipped += [problem] if problem else []
    return distinct(pa.concat_tables(found), table).select(wanted), skipped


def read_parts(
    root: Root, parts: Sequence[str], schema: pa.Schema, trial: str = ""
) -> Iterator[tuple[pa.Table | None, str]]:
    """The rows of each part, all or a trial's; or None, and why, or nothing if it is gone."""
    task = functools.partial(_try_part, root, schema=schema, trial=trial)
    if isinstance(storage.locate(root).filesystem, pafs.LocalFileSystem):
        yield from map(task, parts)
        return
    with ThreadPoolExecutor(REQUESTS) as pool:
        for start in range(0, len(parts), REQUESTS):  # not all at once: they need memory
            yield from pool.map(task, parts[start : start + REQUESTS])


def distinct(rows: pa.Table, table: TableName) -> pa.Table:
    """The rows in their order; of those with equal keys the newest, or else the first."""
    if not len(rows):
        return rows
    keys = keys_of(rows, table).dictionary_encode("encode")
    if len(keys.dictionary) == len(rows):
        return rows
    codes = keys.indices.to_numpy()
    age = -rows["finished_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((age, codes))
    first = np.diff(codes[order], prepend=-1) != 0
    return rows.filter(pa.array(np.isin(np.arange(len(rows)), order[first])))


def keys_of(rows: pa.Table, table: TableName) -> pa.Array:
    """What names each row, as one text."""
    import pyarrow.compute as pc  # slow to import, and a plan of new results has no use for it

    texts = [rows[name].cast(pa.string()) for name in KEYS[table]]
    slashes = pc.utf8_replace_slice(texts[0], 0, 1 << 30, "/")  # one scalar would load pandas
    return pc.binary_join_element_wise(*texts, slashes).combine_chunks()


def measured_probes(root: Root) -> dict[str, set[str]]:
    """Keys of the probes already measured, by key of the trial."""
    return probes_by_trial(read(root, "evaluations", ["trial", "probe"])[0])


def probes_by_trial(rows: pa.Table) -> dict[str, set[str]]:
    """Keys of the probes in a table of evaluations, by key of the trial."""
    done: dict[str, set[str]] = defaultdict(set)
    for trial, probe in zip(rows["trial"].to_pylist(), rows["probe"].to_pylist(), strict=True):
        done[trial].add(probe)
    return done
