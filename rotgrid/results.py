"""Results on disk: the row schemas, atomic writing, and reading that survives damaged files.

A results location is a local path or a URI that pyarrow understands (`s3://`, `gs://`). It holds
`evaluations/*.parquet` (a row per trial and probe), `training/*.parquet` (a row per trial and
epoch), `equivariance/*.parquet` (a row per trial, angle and layer), `diagnostics/*.parquet` (a row
per trial, probe and check), `checkpoints/<trial>.pt`, `failures/<trial>.json` and the launched
`grids/<name>.yaml`. A file appears whole or not at all.
`python -m rotgrid.results` prints the columns as Markdown.
"""

import functools
import io
import json
import os
import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from rotgrid.spec import LATER, Probe, Record, Trial

SCHEMA_VERSION = 2
"""2 added columns to 1; parts of 1 are read all the same."""
TableName = Literal["evaluations", "training", "equivariance", "diagnostics"]
Root = str | os.PathLike[str]
"""A results location."""


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
NULLABLE = ("class_n", "class_n_correct", "distances", "val_robust_n", "val_robust_n_correct")
"""Columns that are null where they do not apply or were not yet written."""
SCHEMAS = {
    table: pa.schema([pa.field(c.name, c.type) for c in columns])
    for table, columns in TABLES.items()
}


class Location(NamedTuple):
    """A folder in a file system."""

    filesystem: pafs.FileSystem
    path: str


def locate(root: Root) -> Location:
    """The file system and folder of a local path or URI.

    Raises:
        ValueError: the URI is malformed or of an unknown kind.
    """
    if "://" in os.fspath(root):
        return _locate_uri(os.fspath(root))
    return Location(pafs.LocalFileSystem(), os.path.abspath(root))


@functools.cache
def _locate_uri(uri: str) -> Location:
    try:
        return Location(*pafs.FileSystem.from_uri(uri))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{uri}: not a results location: {error}") from error


def put(root: Root, name: str, data: bytes) -> None:
    """Write one file whole or not at all, replacing it if it is there."""
    filesystem, folder = locate(root)
    path = PurePosixPath(folder, name)
    if not isinstance(filesystem, pafs.LocalFileSystem):
        with filesystem.open_output_stream(str(path)) as stream:  # an object appears on close
            stream.write(data)
        return
    os.makedirs(path.parent, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        if os.path.exists(scratch):
            os.unlink(scratch)
        raise


def get(root: Root, name: str) -> bytes | None:
    """The bytes of one file, or None if it does not exist."""
    filesystem, folder = locate(root)
    try:
        with filesystem.open_input_file(f"{folder}/{name}") as file:
            return bytes(file.read())
    except FileNotFoundError:
        return None


def delete(root: Root, name: str) -> None:
    """Remove one file; no error if it is not there."""
    filesystem, folder = locate(root)
    if exists(root, name):
        filesystem.delete_file(f"{folder}/{name}")


def exists(root: Root, name: str) -> bool:
    """Whether one file exists."""
    filesystem, folder = locate(root)
    return bool(filesystem.get_file_info(f"{folder}/{name}").type == pafs.FileType.File)


def names(root: Root, folder: str, suffix: str) -> list[str]:
    """Sorted `folder/file` names; hidden (half-written) files are left out."""
    filesystem, path = locate(root)
    selector = pafs.FileSelector(f"{path}/{folder}", allow_not_found=True)
    return sorted(
        f"{folder}/{info.base_name}"
        for info in filesystem.get_file_info(selector)
        if info.type == pafs.FileType.File
        and info.base_name.endswith(suffix)
        and not info.base_name.startswith(".")
    )


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
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), buffer, compression="zstd")
    put(root, f"{table}/{part}.parquet", buffer.getvalue())


def read(
    root: Root,
    table: TableName,
    columns: Sequence[str] | None = None,
    trial: str = "",
) -> tuple[pa.Table, list[str]]:
    """All rows of a table, and a line for every file that is not a part of it (and is skipped).

    Safe while others write. No folder or no parts gives an empty table. A `trial` key reads the
    parts of that trial only.
    """
    schema = SCHEMAS[table]
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    parts, skipped = [], []
    for name in names(root, table, ".parquet"):
        if not PurePosixPath(name).name.startswith(trial):
            continue
        try:
            parts.append(_read_part(root, name, schema))
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            skipped.append(f"{name}: skipped: {reason}")
    return pa.concat_tables(parts) if parts else pa.Table.from_batches([], schema), skipped


def _read_part(root: Root, name: str, schema: pa.Schema) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(get(root, name) or b""))
    version = (file.schema_arrow.metadata or {}).get(b"rotgrid.schema_version")
    if version is None:
        raise ValueError("not written by rotgrid")
    if int(version) > SCHEMA_VERSION:
        raise ValueError(f"schema version {int(version)} is newer than this rotgrid's")
    there = set(file.schema_arrow.names)
    asked = [name for name in schema.names if name in there]
    table = file.read(columns=asked, use_threads=False)  # no threads to race with exit
    for field in schema:
        if field.name not in there:
            table = table.append_column(field.name, _added_later(field, table.num_rows))
    return table.select(schema.names).cast(schema)


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


def record_failure(root: Root, trial: Trial, report: Mapping[str, object]) -> None:
    """Record that a trial failed: `report` says how, where and at which attempt."""
    text = json.dumps({"key": trial.key(), "trial": trial.model_dump(), **report}, indent=1)
    put(root, f"failures/{trial.key()}.json", text.encode())


def failures(root: Root) -> dict[str, dict[str, object]]:
    """The failure reports by key of the trial; damaged ones count as failures without a report."""
    found = {}
    for name in names(root, "failures", ".json"):
        try:
            report = json.loads(get(root, name) or b"{}")
        except ValueError:
            report = {}
        found[PurePosixPath(name).stem] = report if isinstance(report, dict) else {}
    return found


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
