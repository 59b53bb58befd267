"""Trainings that are under way, as their latest checkpoints say: read without torch."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from rotgrid.results import storage
from rotgrid.results.storage import Root

NOTES = "archive/rotgrid.json"
"""Beside the tensors in a checkpoint; torch passes over it."""
SUFFIX = ".training.pt"


class Unfinished(NamedTuple):
    """A training that has begun and is not stored as a network yet."""

    key: str
    trial: Mapping[str, Any]
    """Fields of its trial; empty where an earlier version wrote the checkpoint."""
    rows: list[dict[str, Any]]
    """Of its epochs so far, as table `training` will have them."""


def unfinished(root: Root) -> list[Unfinished]:
    """The trainings under way at a results location, by key; a checkpoint that is being replaced
    or is damaged has no rows.

    Raises:
        StoreError: it cannot be read.
    """
    found = []
    for name in storage.names(root, "checkpoints", SUFFIX):
        notes = read_notes(storage.get(root, name) or b"")
        key = PurePosixPath(name).name.removesuffix(SUFFIX)
        found.append(Unfinished(key, notes.get("trial", {}), notes.get("rows", [])))
    return found


def read_notes(data: bytes) -> dict[str, Any]:
    """The notes in the bytes of a checkpoint; none if there are none, or they are damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            notes = json.loads(archive.read(NOTES))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError):
        return {}
    return notes if isinstance(notes, dict) else {}
