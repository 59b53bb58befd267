"""Files of data sets: where they are looked for, their checksums, their downloads."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pooch

from rotgrid.results.failures import MachineError
from rotgrid.spec.datasets import DATA


class DataError(MachineError):
    """Data are missing or damaged; the message names the file and what to do."""


def places(name: str, *layouts: str) -> list[Path]:
    """The folders below `ROTGRID_DATA` that may hold a set's files: the one of its name, those of
    other layouts, and the folder itself. None if `ROTGRID_DATA` is not set."""
    root = os.environ.get("ROTGRID_DATA")
    return [Path(root, folder) for folder in (name, *layouts, "")] if root else []


def existing(folders: Iterable[Path], names: Sequence[str]) -> Iterator[Path]:
    """The files of these names, by folder."""
    return (path for folder in folders for name in names if (path := folder / name).is_file())


def not_found(name: str, wanted: str, folders: Iterable[Path], more: str = "") -> DataError:
    """That `ROTGRID_DATA` is set and lacks what a data set needs."""
    looked = ", ".join(map(str, folders))
    return DataError(
        f"{wanted}: not found; it belongs to {name}, and was looked for in {looked}{more}. "
        f"Put it into the first of them, or {UNSET.format(DATA[name].label)}"
    )


UNSET = "unset ROTGRID_DATA to download {}"


def remedy(name: str) -> str:
    """What to do about a damaged file of `ROTGRID_DATA`."""
    return f"replace it, or {UNSET.format(DATA[name].label)}"


def cache(name: str) -> Path:
    """The folder of the user's cache for the files of a set."""
    return Path(pooch.os_cache("rotgrid")) / name


def download(name: str, file: str, mirrors: Iterable[str], checksum: str) -> Path:
    """A file from the cache, or from the first mirror that serves it intact.

    Args:
        name: the data set.
        file: its name, which follows that of a mirror.
        mirrors: addresses that end with a slash.
        checksum: `algorithm:hexadecimal digits`.

    Raises:
        DataError: no mirror serves it.
    """
    errors = []
    for mirror in mirrors:
        try:
            return Path(pooch.retrieve(mirror + file, checksum, fname=file, path=cache(name)))
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            errors.append(f"{mirror}: {error}")
    todo = f"set ROTGRID_DATA to a folder that holds the files of {DATA[name].label}"
    raise DataError("\n  ".join([f"{file}: cannot be downloaded; {todo}", *errors]))


def read(path: Path, todo: str) -> bytes:
    """The content of a file, uncompressed if its name ends with `.gz`."""
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: truncated or not gzip ({error}); {todo}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); {todo}") from error


def require_checksums(content: bytes, checksums: Iterable[str], where: object, todo: str) -> bytes:
    """`content` if it has all of these checksums, `algorithm:hexadecimal digits` each."""
    for checksum in checksums:
        algorithm, _, wanted = checksum.partition(":")
        if (found := hashlib.new(algorithm, content).hexdigest()) != wanted:
            raise DataError(
                f"{where}: corrupt: {len(content):,} bytes with {algorithm.upper()} {found}, "
                f"not {wanted}; {todo}"
            )
    return content
