"""Copies of the user's own source files beside the rows that they made: `RESULTS/code/<digest>/`.

With them stored weights can be loaded after the source has changed or is gone.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from rotgrid.results import storage
from rotgrid.results.storage import Root
from rotgrid.spec import sources
from rotgrid.spec.sources import SourceError


def store_sources(root: Root, names: Iterable[str]) -> None:
    """Store the files behind own names, as they are now, unless they are there.

    Raises:
        SourceError: a name is of nothing.
        StoreError: they cannot be written.
    """
    for name in names:
        source = sources.find(name)
        folder = folder_of(sources.digest(source))
        there = stored_files(root, folder)
        for file, text in source.files.items():
            if file not in there:
                storage.put(root, f"{folder}/{file}", text)


def folder_of(digest: str) -> str:
    """Where files of that digest are, below the results."""
    return f"code/{digest}"


def use_stored_source(root: Root, name: str, digest: str) -> None:
    """Let the stored files of a version be found first, unless the files in place are the same.

    Raises:
        SourceError: there are none.
        StoreError: they cannot be read.
    """
    if is_in_place(name, digest):
        return
    folder = folder_of(digest)
    files = {file: storage.get(root, f"{folder}/{file}") for file in stored_files(root, folder)}
    if not files:
        raise SourceError(
            f"{name}: its files here are not the version {digest}, and {root} holds no copy of it"
        )
    search_in_copy({file: text or b"" for file, text in files.items()})


def receive(shipped: Mapping[str, tuple[str, Mapping[str, bytes]]]) -> None:
    """Take the files behind own names from another process, with the digest of each name, unless
    those in place are the same. All go into one folder: names may be of one package."""
    if not all(is_in_place(name, digest) for name, (digest, _) in shipped.items()):
        search_in_copy({at: text for _, files in shipped.values() for at, text in files.items()})


def is_in_place(name: str, digest: str) -> bool:
    """Whether the files behind a name are that version here."""
    try:
        return sources.digest(sources.find(name)) == digest
    except SourceError:
        return False


def stored_files(root: Root, folder: str) -> set[str]:
    """Paths of the files below a folder of the results."""
    marker = f"/{folder}/"
    found = storage.infos(root, folder, recursive=True)
    return {info.path.rpartition(marker)[2] for info in found if info.path.endswith(".py")}


def search_in_copy(files: Mapping[str, bytes]) -> None:
    """Write source files to a new folder, in which own modules are then found first."""
    place = tempfile.mkdtemp(prefix="rotgrid-code-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for name, text in files.items():
        path = Path(place, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    sources.search_in(place)
