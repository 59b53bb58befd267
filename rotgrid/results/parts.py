"""One Parquet file of rows: written with checksums, read with what is wrong with it."""

import contextlib
import hashlib
import io
import zlib
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import cast

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from rotgrid.results import storage
from rotgrid.results.columns import NULLABLE, SCHEMA_VERSION, SCHEMAS, TableName
from rotgrid.results.storage import Root
from rotgrid.spec import ADDED_FIELDS, REMOVED_FIELDS

COMPACTED = "compacted-"
"""How the names of merged files begin. They end with a digest of the content: it never changes."""

DIGITS = 16
"""Of SHA-256 in their names."""

GROUP_ROWS = 10_000
"""Rows are written in groups; to find a trial, only those that may hold it are read."""

SEAL, UNSEALED = b"crc32=", b"00000000"
"""Where a part has the checksum of the whole file, and what it is computed with in that place."""

NONSENSE = (pa.ArrowException, OSError, ValueError, KeyError)
"""What is raised for content that is no part."""


def encoded(groups: Iterable[pa.Table], schema: pa.Schema) -> bytes:
    """Groups of rows as a Parquet file; its pages have checksums, and it can be `sealed`."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, compression="zstd", write_page_checksum=True) as file:
        for rows in groups:
            file.write_table(rows, row_group_size=GROUP_ROWS)
        file.add_key_value_metadata({"rotgrid.seal": (SEAL + UNSEALED).decode()})
    return buffer.getvalue()


def subset(table: TableName, columns: Iterable[str]) -> pa.Schema:
    """Some columns of a table, each once."""
    return pa.schema([SCHEMAS[table].field(name) for name in dict.fromkeys(columns)])


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
    """Whether a file is a merged one, named by its content."""
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
        asked = [name for name in (*schema.names, *REMOVED_FIELDS) if name in there]
        groups = _groups(file, trial)
        # no threads to race with exit
        table = file.read_row_groups(groups, columns=asked, use_threads=False)
    for name in there.intersection(REMOVED_FIELDS):
        table = table.filter([value == REMOVED_FIELDS[name] for value in table[name].to_pylist()])
    for field in schema:
        if field.name not in there:
            table = table.append_column(field.name, _added_later(field, table.num_rows))
    table = table.select(schema.names).cast(schema)
    table.validate(full=True)  # text that is none would end those who print it
    if not trial:
        return table
    import pyarrow.compute as pc  # slow to import

    return table.filter(pc.equal(table["trial"], trial))


def _groups(file: pq.ParquetFile, trial: str) -> list[int]:
    """The row groups that may hold rows of a trial; without one all."""
    every = range(file.num_row_groups)
    if not trial:
        return list(every)
    column = file.schema.names.index("trial")
    bounds = {i: file.metadata.row_group(i).column(column).statistics for i in every}
    return [i for i, b in bounds.items() if not (b and b.has_min_max) or b.min <= trial <= b.max]


def _added_later(field: pa.Field, rows: int) -> pa.Array:
    """A column that did not exist when the part was written.

    Raises:
        KeyError: it always existed, so the part is damaged.
    """
    if field.name in ADDED_FIELDS:
        return pa.array([ADDED_FIELDS[field.name]] * rows, field.type)
    if field.name in NULLABLE:
        return pa.nulls(rows, field.type)
    raise KeyError(f"column {field.name} is missing")
