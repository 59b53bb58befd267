"""Where results are: a local folder, or a URI that pyarrow understands (`s3://`, `gs://`)."""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs

Root = str | os.PathLike[str]
"""A results location."""
LIMITS = {"connect_timeout": 5.0, "request_timeout": 5.0}
"""Seconds for S3 to take up a connection, and to send or take any byte."""
TRIES = 3
"""Of one request to S3."""
RETRY_SECONDS = 8
"""For which Google's client repeats a request; by itself it goes on for a quarter of an hour."""


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
        StoreError: its server had to be asked, and did not answer.
    """
    if "://" in os.fspath(root):
        return _locate_uri(os.fspath(root))
    return Location(pafs.LocalFileSystem(), os.path.abspath(root))


@functools.cache
def _locate_uri(uri: str) -> Location:
    with as_store_error("find", uri):
        try:
            filesystem, path = pafs.FileSystem.from_uri(_retrying_briefly(uri))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"{uri}: not a results location: {error}") from error
        return Location(_answering_soon(filesystem), path)


def _retrying_briefly(uri: str) -> str:
    """The URI of a bucket of Google's with a limit on retries, unless it sets one itself."""
    if not uri.startswith(("gs://", "gcs://")) or "retry_limit_seconds=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}retry_limit_seconds={RETRY_SECONDS}"


def _answering_soon(filesystem: pafs.FileSystem) -> pafs.FileSystem:
    """The file system with limits on what one request may take, which a URI of S3 cannot set."""
    if filesystem.type_name != "s3":
        return filesystem
    rebuild, (options,) = filesystem.__reduce__()
    retries = pafs.AwsStandardS3RetryStrategy(max_attempts=TRIES)
    return rebuild({**options, **LIMITS, "retry_strategy": retries})


@contextlib.contextmanager
def as_store_error(doing: str, name: str) -> Iterator[None]:
    """Raise what a file system raises as `StoreError`, which says what could not be done."""
    try:
        yield
    except StoreError:
        raise
    except (OSError, pa.ArrowException) as error:
        number, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
        text = f"cannot {doing} {name}: {reason or error}"
        raise (StoreError(number, text) if number else StoreError(text)) from error
