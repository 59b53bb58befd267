"""Files of results -> one lazy table of their rows; damaged files are named and left out.

A file whose checksum is right (`rotgrid.results.parts.verified`) is sound, and only its footer is
read before its rows are. A file of an early version, which has none, is first read whole by
pyarrow, as launches read it: polars may end the process over content that makes no sense.
"""

import functools
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars as pl
import pyarrow.fs as pafs

from rotgrid import results
from rotgrid.results import storage
from rotgrid.results.columns import NULLABLE, SCHEMA_VERSION, SCHEMAS, TableName
from rotgrid.results.parts import verified
from rotgrid.spec import ADDED_FIELDS, REMOVED_FIELDS, Probe, Trial

Place = str | os.PathLike[str]
TRIAL, PROBE = [*Trial.model_fields], [*Probe.model_fields]
FIELDS = [*TRIAL, *PROBE]
ROW = "_row"
"""The column that numbers all rows of a scan from 0."""
TRIES = 5
"""How often rows are read again while others replace their files."""
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What polars raises for a file that is gone or makes no sense."""
Made = TypeVar("Made")


class ChangedError(Exception):
    """A file was replaced while it was read."""


class File(NamedTuple):
    """A sound file: its name in messages, where polars reads it, and its columns unless they are
    those of this version."""

    name: str
    path: str
    columns: tuple[tuple[str, pl.DataType], ...] | None = None


class Found(NamedTuple):
    """The files of one table at some places."""

    files: list[File]
    skipped: list[str]
    """A line for every file that is left out."""
    empty: list[Place]
    """Places without any file."""


def read(
    places: Sequence[Place], table: TableName, then: Callable[[pl.LazyFrame], Made]
) -> tuple[Made, Found]:
    """What `then` makes of all rows of a table, and the files that they come from.

    Safe while others write and compact: rows may come twice. Only if reading fails is each file
    tried on its own, to name the one that is damaged.

    Raises:
        StoreError: a place or file cannot be reached.
    """
    with tempfile.TemporaryDirectory() as spool:
        found = survey(places, table, spool)
        for left in reversed(range(TRIES)):
            try:
                return then(rows_of(found.files, table)), found
            except storage.StoreError:
                raise
            except (*UNREADABLE, ChangedError):
                if not left:
                    raise
            found = _tried(survey(places, table, spool), table)
    raise AssertionError  # the last try returns or raises


def survey(places: Sequence[Place], table: TableName, spool: str) -> Found:
    """The sound files of all places, in order; copies of those far away are put into `spool`."""
    found = Found([], [], [])
    for number, place in enumerate(places):
        seen: set[str] = set()
        while new := [n for n in storage.names(place, table, ".parquet") if n not in seen]:
            seen.update(new)  # then look again: what is gone by now is in a file that has come
            for file, problem in _checked(place, table, new, Path(spool, str(number))):
                found.files.extend([file] if file else [])
                found.skipped.extend([f"{os.fspath(place)}: {problem}"] if problem else [])
        if not seen:
            found.empty.append(place)
    return found


def rows_of(files: Sequence[File], table: TableName) -> pl.LazyFrame:
    """All rows of some files with every column of the table, and `ROW`.

    What earlier versions did not write is null, or what it was then (`rotgrid.spec.ADDED_FIELDS`).
    Rows that differ in a field that there is no more (`REMOVED_FIELDS`) are left out.
    """
    target, start, frames = schema(table), 0, []
    groups: dict[tuple[tuple[str, pl.DataType], ...] | None, list[str]] = {}
    for file in files:
        groups.setdefault(file.columns, []).append(file.path)
    for columns, paths in groups.items():
        there = target if columns is None else pl.Schema(columns)
        rows = pl.scan_parquet(
            paths,
            schema=there,
            extra_columns="ignore",
            glob=False,
            use_statistics=False,  # to ask them takes longer than what they spare
            row_index_name=ROW,
            row_index_offset=start,
        )
        for name in set(there).intersection(REMOVED_FIELDS):
            rows = rows.filter(pl.col(name) == REMOVED_FIELDS[name])
        frames.append(rows.select(ROW, *_completed(there, target)))
        if len(groups) > 1:
            start += rows.select(pl.len()).collect().item()
    if not frames:
        return pl.LazyFrame(schema={ROW: pl.get_index_type(), **target})
    return pl.concat(frames) if len(frames) > 1 else frames[0]


@functools.cache
def schema(table: TableName) -> pl.Schema:
    """Columns and types of a table."""
    return pl.Schema(SCHEMAS[table])  # not from an empty table, which imports pandas


def _completed(there: pl.Schema, target: pl.Schema) -> Iterator[pl.Expr]:
    """Every column of the table from those of a file.

    Raises:
        ColumnNotFoundError: it lacks one that there always was.
    """
    for name, dtype in target.items():
        if name not in there and name not in (*ADDED_FIELDS, *NULLABLE):
            raise pl.exceptions.ColumnNotFoundError(f"column {name} is missing")
        if name not in there:
            yield pl.lit(ADDED_FIELDS.get(name), dtype).alias(name)
        else:
            yield pl.col(name) if there[name] == dtype else pl.col(name).cast(dtype)


def _checked(
    place: Place, table: TableName, names: Sequence[str], spool: Path
) -> Iterator[tuple[File | None, str]]:
    """Each file if it is sound, or why not; neither if it is gone."""
    filesystem, folder = storage.locate(place)
    if isinstance(filesystem, pafs.LocalFileSystem):
        yield from (_check(place, table, name, Path(folder)) for name in names)
        return
    with ThreadPoolExecutor(results.REQUESTS) as pool:
        task = functools.partial(_check, place, table, folder=spool, copy=True)
        yield from pool.map(task, names)


def _check(
    place: Place, table: TableName, name: str, folder: Path, *, copy: bool = False
) -> tuple[File | None, str]:
    data = storage.get(place, name)
    if data is None:
        return None, ""
    try:
        columns = _columns(data, table) if verified(name, data) else ()
    except (ValueError, pl.exceptions.PolarsError):
        columns = ()
    if columns == ():  # no checksum or a wrong one, or not what a version wrote
        ((rows, problem),) = results.read_parts(place, [name], SCHEMAS[table])
        if rows is None:
            return None, problem
        columns = tuple(pl.read_parquet_schema(io.BytesIO(data)).items())
    path = folder / name
    if copy:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return File(f"{os.fspath(place)}: {name}", str(path), columns), ""


def _columns(data: bytes, table: TableName) -> tuple[tuple[str, pl.DataType], ...] | None:
    """The columns of a sound file, None if they are those of this version, or () if they are not
    those of any."""
    version = pl.read_parquet_metadata(io.BytesIO(data)).get("rotgrid.schema_version", "")
    if version == str(SCHEMA_VERSION):
        return None
    if not version.isdecimal() or int(version) > SCHEMA_VERSION:
        return ()
    columns = pl.read_parquet_schema(io.BytesIO(data))
    list(_completed(pl.Schema(columns), schema(table)))
    return tuple(columns.items())


def _tried(found: Found, table: TableName) -> Found:
    """The files that can be read, each on its own, and a line for every other one."""
    files, skipped = [], found.skipped
    for file in found.files:
        try:
            columns = tuple(pl.read_parquet_schema(file.path).items())
            rows_of([file._replace(columns=columns)], table).select(pl.all().count()).collect()
        except FileNotFoundError:
            continue
        except UNREADABLE as error:
            skipped.append(f"{file.name}: skipped: {str(error).splitlines()[0]}")
        else:
            files.append(file._replace(columns=columns))
    return Found(files, skipped, found.empty)
