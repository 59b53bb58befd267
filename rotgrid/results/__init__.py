"""Results on disk: the row schemas, atomic writing, and reading that survives damaged files.

A results location is a local path or a URI that pyarrow understands (`s3://`, `gs://`). It holds
`evaluations/*.parquet` (a row per trial and probe), `training/*.parquet` (a row per trial and
epoch), `equivariance/*.parquet` (a row per trial, angle and layer), `diagnostics/*.parquet` (a row
per trial, probe and check), `checkpoints/<trial>.pt`, `failures/<trial>.json` and the launched
`grids/<name>.yaml`. A file appears whole or not at all.
`python -m rotgrid.results` prints the columns as Markdown.
"""

import contextlib
import functools
import hashlib
import io
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Literal, NamedTuple, Union, cast, get_args, get_origin

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from rotgrid.results import storage
from rotgrid.results.storage import Root
from rotgrid.spec import LATER, Probe, Record, Trial

SCHEMA_VERSION = 4
"""Later versions added columns to earlier ones, whose parts are read all the same."""
TableName = Literal["evaluations", "training", "equivariance", "diagnostics"]


class Column(NamedTuple):
    """One column: `unit` is empty where there is none."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str


UNITS = {
    "train_size": "images",
    "train_rotation": "degrees",
    "adversary_eps": "pixel units",
    "test_rotation": "degrees",
    "test_translation": "pixels",
    "eps": "`eps_unit`",
    "n_images": "images",
}


def columns_of(record: type[Record]) -> list[Column]:
    """The fields of a record as columns."""

    def arrow_type(annotation: object) -> pa.DataType:
        kinds = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
        if all(get_origin(kind) is Literal or kind is str for kind in kinds):
            return pa.string()
        return pa.int64() if annotation is int else pa.float64()

    return [
        Column(name, arrow_type(field.annotation), UNITS.get(name, ""), field.description or "")
        for name, field in record.model_fields.items()
    ]


PROVENANCE = [
    Column("rotgrid_version", pa.string(), "", "version that produced the row"),
    Column(
        "git_commit", pa.string(), "", "commit of the checkout, `-dirty` if changed, or unknown"
    ),
    Column(
        "code",
        pa.string(),
        "",
        "digest of rotgrid's own files and of the versions of torch, numpy, scipy and e2cnn",
    ),
    Column("torch_version", pa.string(), "", "version of torch"),
    Column("device", pa.string(), "", "cpu, or the name of the GPU"),
    Column("host", pa.string(), "", "machine"),
    Column("finished_at", pa.timestamp("us", tz="UTC"), "UTC", "when the row was finished"),
]
TABLES: dict[TableName, list[Column]] = {
    "evaluations": [
        Column("trial", pa.string(), "", "key of the trial"),
        Column("probe", pa.string(), "", "key of the probe"),
        *columns_of(Trial),
        *columns_of(Probe),
        Column("n", pa.int64(), "images", "test images measured"),
        Column("n_correct", pa.int64(), "images", "images still classified correctly"),
        Column("correct", pa.binary(), "", "a bit per image in test order (numpy.packbits)"),
        Column("class_n", pa.list_(pa.int64()), "images", "`n` of each class, 0 to 9"),
        Column("class_n_correct", pa.list_(pa.int64()), "images", "`n_correct` of each class"),
        Column(
            "distances",
            pa.list_(pa.float32()),
            "pixel units",
            "fmn: L-inf distance of each image to the decision boundary, from above",
        ),
        Column(
            "search_checked",
            pa.int64(),
            "images",
            "attacks that search: a random few of the images that count as correct here because "
            "the attack failed at a larger eps, attacked here directly",
        ),
        Column(
            "search_missed",
            pa.int64(),
            "images",
            "of them broken; they still count as correct",
        ),
        Column(
            "no_gradient",
            pa.int64(),
            "images",
            "strong: images at which the margin has a gradient of exactly zero",
        ),
        Column(
            "square_only",
            pa.int64(),
            "images",
            "strong: images that Square alone broke, at any eps measured together",
        ),
        Column("parameters", pa.int64(), "", "trainable parameters of the network"),
        Column("seconds", pa.float64(), "s", "time of the measurement (a sweep is shared evenly)"),
        *PROVENANCE,
    ],
    "training": [
        Column("trial", pa.string(), "", "key of the trial"),
        *columns_of(Trial),
        Column("epoch", pa.int64(), "", "passes over the training images, from 1"),
        Column("train_loss", pa.float64(), "nats", "mean loss of the epoch (capsules: their own)"),
        Column(
            "val_n", pa.int64(), "images", "validation images, turned like the training images"
        ),
        Column("val_n_correct", pa.int64(), "images", "of them classified correctly, no attack"),
        Column(
            "val_robust_n",
            pa.int64(),
            "images",
            "validation images attacked by PGD-10 at `adversary_eps` (with an adversary only)",
        ),
        Column("val_robust_n_correct", pa.int64(), "images", "of them classified correctly"),
        Column("parameters", pa.int64(), "", "trainable parameters of the network"),
        Column("seconds", pa.float64(), "s", "time of the epoch"),
        *PROVENANCE,
    ],
    "equivariance": [
        Column("trial", pa.string(), "", "key of the trial"),
        Column("probe", pa.string(), "", "key of the probe"),
        *columns_of(Trial),
        Column("degrees", pa.float64(), "degrees", "exact turn of every image"),
        Column("position", pa.int64(), "", "of the layer in the network, from 1"),
        Column("layer", pa.string(), "", "module of the network, or `logits`"),
        Column(
            "error",
            pa.float64(),
            "deviations of the maps",
            "0: turns with the image (logits: stays)",
        ),
        Column("n", pa.int64(), "images", "test images measured"),
        *PROVENANCE,
    ],
    "diagnostics": [
        Column("trial", pa.string(), "", "key of the trial"),
        Column("probe", pa.string(), "", "key of the probe"),
        *columns_of(Trial),
        *columns_of(Probe),
        Column("check", pa.string(), "", "what was checked (README, section Checks)"),
        Column("value", pa.float64(), "", "what was measured"),
        Column("limit", pa.float64(), "", "the largest value that passes"),
        Column("passed", pa.bool_(), "", "whether the network's robustness can be believed"),
        Column("n", pa.int64(), "images", "test images measured"),
        *PROVENANCE,
    ],
}
NULLABLE = (
    *("class_n", "class_n_correct", "distances", "val_robust_n", "val_robust_n_correct"),
    *("search_checked", "search_missed", "no_gradient", "square_only"),
    "code",
)
"""Columns that are null where they do not apply or were not yet written."""
SCHEMAS = {
    table: pa.schema([pa.field(c.name, c.type) for c in columns])
    for table, columns in TABLES.items()
}


KEYS: dict[TableName, tuple[str, ...]] = {
    "evaluations": ("trial", "probe"),
    "training": ("trial", "epoch"),
    "equivariance": ("trial", "probe", "layer"),
    "diagnostics": ("trial", "probe", "check"),
}
"""What names a row of each table."""
COMPACTED = "compacted-"
"""How the files of `rotgrid.compact` begin: named by their content, so that it never changes."""
DIGITS = 16
"""Of SHA-256 in their names."""
SEAL, UNSEALED = b"crc32=", b"00000000"
"""Where a part has the checksum of the whole file, and what it is computed with in that place."""
NONSENSE = (pa.ArrowException, OSError, ValueError, KeyError)
"""What is raised for content that is no part."""
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


def encoded(groups: Iterable[pa.Table], schema: pa.Schema) -> bytes:
    """Groups of rows as a Parquet file; its pages have checksums, and it can be `sealed`."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, compression="zstd", write_page_checksum=True) as file:
        for rows in groups:
            file.write_table(rows)
        file.add_key_value_metadata({"rotgrid.seal": (SEAL + UNSEALED).decode()})
    return buffer.getvalue()


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


def subset(table: TableName, columns: Iterable[str]) -> pa.Schema:
    """Some columns of a table, each once."""
    return pa.schema([SCHEMAS[table].field(name) for name in dict.fromkeys(columns)])


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


def _try_part(root: Root, name: str, schema: pa.Schema, trial: str) -> tuple[pa.Table | None, str]:
    """Only what was read and makes no sense is damaged; what cannot be read is a `StoreError`."""
    if streamed(root, name, trial):
        with contextlib.suppress(*NONSENSE), storage.opened(root, name) as source:
            return _rows(source, schema, trial), ""
    data = storage.get(root, name)
    if data is None:
        return None, ""
    try:
        # without a checksum all columns have to make sense, as for those who read them all
        whole = schema if verified(name, data) else SCHEMAS[cast(TableName, name.split("/")[0])]
        return _rows(pa.BufferReader(data), whole, trial).select(schema.names), ""
    except NONSENSE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return None, f"{name}: skipped: {reason}"


def streamed(root: Root, name: str, trial: str) -> bool:
    """Whether to read only what is asked for: of compacted files, which never change, a trial, or
    what is far away; others may be replaced while they are read."""
    near = isinstance(storage.locate(root).filesystem, pafs.LocalFileSystem)
    return is_compacted(name) and (bool(trial) or not near)


def is_compacted(name: str) -> bool:
    """Whether a file is one of `rotgrid.compact`, named by its content."""
    return PurePosixPath(name).name.startswith(COMPACTED)


def verified(name: str, data: bytes) -> bool:
    """Whether a file has a checksum, in its name or its seal; earlier versions wrote none.

    Raises:
        ValueError: it has, and it is not that of its content.
    """
    if is_compacted(name):
        right = PurePosixPath(name).stem.endswith(hashlib.sha256(data).hexdigest()[:DIGITS])
    elif SEAL in data:
        right = data == sealed(data)
    else:
        return False
    if not right:
        raise ValueError("its checksum is not that of its content")
    return True


def sealed(data: bytes) -> bytes:
    """A part with a checksum of itself in the place that it keeps for it."""
    at = data.rindex(SEAL) + len(SEAL)
    blank = data[:at] + UNSEALED + data[at + len(UNSEALED) :]
    return data[:at] + b"%08x" % zlib.crc32(blank) + data[at + len(UNSEALED) :]


def _rows(source: pa.NativeFile, schema: pa.Schema, trial: str) -> pa.Table:
    """These columns of a part.

    Raises:
        one of `NONSENSE`: it is no part, or damaged.
    """
    with pq.ParquetFile(source, page_checksum_verification=True) as file:
        arrow_schema = file.schema_arrow
        version = (arrow_schema.metadata or {}).get(b"rotgrid.schema_version")
        if version is None:
            raise ValueError("not written by rotgrid")
        if int(version) > SCHEMA_VERSION:
            raise ValueError(f"schema version {int(version)} is newer than this rotgrid's")
        there = set(arrow_schema.names)
        asked = [name for name in schema.names if name in there]
        groups = _groups(file, trial)
        # no threads to race with exit
        table = file.read_row_groups(groups, columns=asked, use_threads=False)
    for field in schema:
        if field.name not in there:
            table = table.append_column(field.name, _added_later(field, table.num_rows))
    table = table.select(schema.names).cast(schema)
    table.validate(full=True)  # text that is none would end those who print it
    return table.filter(pc.equal(table["trial"], trial)) if trial else table


def _groups(file: pq.ParquetFile, trial: str) -> list[int]:
    """The row groups that may hold rows of a trial; without one all."""
    every = range(file.num_row_groups)
    if not trial:
        return list(every)
    column = file.schema.names.index("trial")
    bounds = {i: file.metadata.row_group(i).column(column).statistics for i in every}
    return [i for i, b in bounds.items() if not (b and b.has_min_max) or b.min <= trial <= b.max]


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
    texts = [rows[name].cast(pa.string()) for name in KEYS[table]]
    slashes = pc.utf8_replace_slice(texts[0], 0, 1 << 30, "/")  # one scalar would load pandas
    return pc.binary_join_element_wise(*texts, slashes).combine_chunks()


def _added_later(field: pa.Field, rows: int) -> pa.Array:
    """A column that did not exist when the part was written.

    Raises:
        KeyError: it always existed, so the part is damaged.
    """
    if field.name in LATER:
        return pa.array([LATER[field.name]] * rows, field.type)
    if field.name in NULLABLE:
        return pa.nulls(rows, field.type)
    raise KeyError(f"column {field.name} is missing")


def measured(root: Root) -> dict[str, set[str]]:
    """Keys of the probes already measured, by key of the trial."""
    return probes_by_trial(read(root, "evaluations", ["trial", "probe"])[0])


def probes_by_trial(rows: pa.Table) -> dict[str, set[str]]:
    """Keys of the probes in a table of evaluations, by key of the trial."""
    done: dict[str, set[str]] = defaultdict(set)
    for trial, probe in zip(rows["trial"].to_pylist(), rows["probe"].to_pylist(), strict=True):
        done[trial].add(probe)
    return done


def column_table(tables: Iterable[TableName] = get_args(TableName)) -> str:
    """The columns of the tables in Markdown, as the README shows them."""
    lines = []
    for table in tables:
        lines += [f"**`{table}/`**", "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {c.type} | {c.unit} | {c.meaning} |" for c in TABLES[table]]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(column_table())
