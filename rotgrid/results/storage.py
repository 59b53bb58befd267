"""Files at a results location: a local folder, or a URI that pyarrow understands (`s3://`, `gs://`).

A file appears whole or not at all. Whatever a file system raises is raised as `StoreError`; that a
file is not there is no error.
"""

import contextlib
import errno
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.fs as pafs

from rotgrid.results.location import Location, Root, StoreError, as_store_error, locate

__all__ = ["Location", "Root", "StoreError", "locate"]

OUTAGE_SECONDS = 60.0
"""How long results may be out of reach before those who wait for them give up."""
LASTING = re.compile(
    rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EROFS}|{errno.EISDIR}|{errno.ENOTDIR})\]"
    "|is a directory"
)
"""Of errors that waiting does not help."""
NO_FLUSHING = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF,
               errno.EACCES, errno.EPERM}  # fmt: skip
"""How file systems say that they do not flush folders."""


def put(root: Root, name: str, data: bytes) -> None:
    """Write one file whole or not at all, replacing it if it is there.

    Raises:
        StoreError: it could not be written.
    """
    _write(root, name, data, _replace)


def create(root: Root, name: str, data: bytes) -> bool:
    """Write one file whole or not at all, unless it is there: whether it was written.

    Of several processes that create a file in a local folder, one succeeds. With an object store,
    or where the file system has no links, a process that asks in the same moment may replace it.

    Raises:
        StoreError: it could not be written.
    """
    return not exists(root, name) and _write(root, name, data, _link)


Move = Callable[[PurePosixPath, PurePosixPath], bool]
"""Gives a complete file its name; whether it did."""


def _replace(scratch: PurePosixPath, path: PurePosixPath) -> bool:
    os.replace(scratch, path)
    return True


def _link(scratch: PurePosixPath, path: PurePosixPath) -> bool:
    try:
        os.link(scratch, path)
    except FileExistsError:
        return False
    except OSError:  # no links here
        return _replace(scratch, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)
    return True


def _write(root: Root, name: str, data: bytes, move: Move) -> bool:
    filesystem, folder = locate(root)
    path = PurePosixPath(folder, name)
    with as_store_error("write", f"{root}/{name}"):
        if isinstance(filesystem, pafs.LocalFileSystem):
            return _write_locally(path, data, move)
        with filesystem.open_output_stream(str(path)) as stream:  # appears on close
            stream.write(data)
        return True


def _write_locally(path: PurePosixPath, data: bytes, move: Move) -> bool:
    os.makedirs(path.parent, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        moved = move(scratch, path)
        _flush_folder(path.parent)
        return moved
    except BaseException:
        if os.path.exists(scratch):
            os.unlink(scratch)
        raise


def _flush_folder(path: PurePosixPath) -> None:
    """Let the names in a folder outlive a loss of power, as their content does, if it can be."""
    try:
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in NO_FLUSHING:
            raise


def get(root: Root, name: str) -> bytes | None:
    """The bytes of one file, or None if it does not exist.

    Raises:
        StoreError: it could not be read.
    """
    filesystem, folder = locate(root)
    with as_store_error("read", f"{root}/{name}"):
        try:
            with filesystem.open_input_file(f"{folder}/{name}") as file:
                return bytes(file.read())
        except FileNotFoundError:
            return None


@contextlib.contextmanager
def opened(root: Root, name: str) -> Iterator[pa.NativeFile]:
    """One file to read parts of; what its reading raises is not translated.

    Raises:
        StoreError: it could not be opened.
    """
    filesystem, folder = locate(root)
    with as_store_error("read", f"{root}/{name}"):
        file = filesystem.open_input_file(f"{folder}/{name}")
    with file:
        yield file


def require_writable(root: Root) -> None:
    """Write a file, read it, and remove it.

    Raises:
        StoreError: this process cannot.
    """
    name = f".check.{socket.gethostname()}.{os.getpid()}"
    put(root, name, b"rotgrid")
    if get(root, name) != b"rotgrid":
        raise StoreError(f"{name}: what was written is not what is read")
    delete(root, name)


def wait_until_writable(root: Root, seconds: float) -> str:
    """Wait for results that are out of reach: "" once they can be written, or why they cannot.

    It is asked at once, and then every second for as long as waiting may help.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            require_writable(root)
        except StoreError as error:
            if is_lasting(error) or time.monotonic() > until:
                return str(error)
            time.sleep(1)
        else:
            return ""


def is_lasting(error: object) -> bool:
    """Whether an error, or its text, says that waiting does not help: no space, read-only."""
    return bool(LASTING.search(str(error)))


def delete(root: Root, name: str) -> None:
    """Remove one file; no error if it is not there.

    Raises:
        StoreError: it could not be removed.
    """
    filesystem, folder = locate(root)
    with as_store_error("delete", f"{root}/{name}"), contextlib.suppress(FileNotFoundError):
        filesystem.delete_file(f"{folder}/{name}")


def exists(root: Root, name: str) -> bool:
    """Whether one file exists.

    Raises:
        StoreError: it could not be seen.
    """
    filesystem, folder = locate(root)
    with as_store_error("see", f"{root}/{name}"):
        return bool(filesystem.get_file_info(f"{folder}/{name}").type == pafs.FileType.File)


def names(root: Root, folder: str, suffix: str) -> list[str]:
    """Sorted `folder/file` names; hidden (half-written) files are left out.

    Raises:
        StoreError: they could not be listed.
    """
    return sorted(
        f"{folder}/{name}"
        for name in _files(root, folder)
        if name.endswith(suffix) and not name.startswith(".")
    )


def _files(root: Root, folder: str) -> list[str]:
    """Names of the files in a folder; no such folder has none."""
    filesystem, path = locate(root)
    if not isinstance(filesystem, pafs.LocalFileSystem):
        return [info.base_name for info in infos(root, folder)]
    with as_store_error("list", f"{root}/{folder}"):  # pyarrow's list asks for sizes, one by one
        try:
            with os.scandir(f"{path}/{folder}") as entries:
                return [entry.name for entry in entries if entry.is_file()]
        except FileNotFoundError:
            return []


def infos(root: Root, folder: str, recursive: bool = False) -> list[pafs.FileInfo]:
    """Name, size and time of each file in a folder, hidden ones too; no such folder has none.

    Raises:
        StoreError: they could not be listed.
    """
    filesystem, path = locate(root)
    selector = pafs.FileSelector(f"{path}/{folder}", allow_not_found=True, recursive=recursive)
    with as_store_error("list", f"{root}/{folder}"):
        found = filesystem.get_file_info(selector)
    return [info for info in found if info.type == pafs.FileType.File]
