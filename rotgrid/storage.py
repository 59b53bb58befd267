"""Files at a results location: a local folder, or a URI that pyarrow understands (`s3://`, `gs://`).

A file appears whole or not at all.
"""

import functools
import os
import socket
from pathlib import PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs

Root = str | os.PathLike[str]
"""A results location."""


class StoreError(OSError):
    """Results cannot be read or written: no space, no permission, no connection."""


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
    """Write one file whole or not at all, replacing it if it is there.

    Raises:
        StoreError: it could not be written.
    """
    filesystem, folder = locate(root)
    path = PurePosixPath(folder, name)
    try:
        if isinstance(filesystem, pafs.LocalFileSystem):
            _replace(path, data)
        else:
            with filesystem.open_output_stream(str(path)) as stream:  # appears on close
                stream.write(data)
    except OSError as error:
        raise StoreError(error.errno, f"cannot write {name}: {error.strerror or error}") from error


def _replace(path: PurePosixPath, data: bytes) -> None:
    os.makedirs(path.parent, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        _flush_folder(path.parent)
    except BaseException:
        if os.path.exists(scratch):
            os.unlink(scratch)
        raise


def _flush_folder(path: PurePosixPath) -> None:
    """Let the names in a folder outlive a loss of power, as their content does."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def get(root: Root, name: str) -> bytes | None:
    """The bytes of one file, or None if it does not exist.

    Raises:
        StoreError: it could not be read.
    """
    filesystem, folder = locate(root)
    try:
        with filesystem.open_input_file(f"{folder}/{name}") as file:
            return bytes(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(error.errno, f"cannot read {name}: {error.strerror or error}") from error


def check(root: Root) -> None:
    """Write a file, read it, and remove it.

    Raises:
        StoreError: this process cannot.
    """
    name = f".check.{socket.gethostname()}.{os.getpid()}"
    put(root, name, b"rotgrid")
    if get(root, name) != b"rotgrid":
        raise StoreError(f"{name}: what was written is not what is read")
    delete(root, name)


def delete(root: Root, name: str) -> None:
    """Remove one file; no error if it is not there.

    Raises:
        StoreError: it could not be removed.
    """
    filesystem, folder = locate(root)
    try:
        filesystem.delete_file(f"{folder}/{name}")
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(
            error.errno, f"cannot delete {name}: {error.strerror or error}"
        ) from error


def exists(root: Root, name: str) -> bool:
    """Whether one file exists."""
    filesystem, folder = locate(root)
    return bool(filesystem.get_file_info(f"{folder}/{name}").type == pafs.FileType.File)


def names(root: Root, folder: str, suffix: str) -> list[str]:
    """Sorted `folder/file` names; hidden (half-written) files are left out."""
    return sorted(
        f"{folder}/{name}"
        for name in _files(root, folder)
        if name.endswith(suffix) and not name.startswith(".")
    )


def _files(root: Root, folder: str) -> list[str]:
    """Names of the files in a folder; no such folder has none."""
    filesystem, path = locate(root)
    if isinstance(filesystem, pafs.LocalFileSystem):  # pyarrow's list asks for sizes, one by one
        try:
            with os.scandir(f"{path}/{folder}") as entries:
                return [entry.name for entry in entries if entry.is_file()]
        except FileNotFoundError:
            return []
    selector = pafs.FileSelector(f"{path}/{folder}", allow_not_found=True)
    found = filesystem.get_file_info(selector)
    return [info.base_name for info in found if info.type == pafs.FileType.File]
