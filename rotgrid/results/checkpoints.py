"""Networks in files: written with checksums and notes, read back only if they are what they were.

torch does not look at the checksums in its own archives: zeros in the middle of a file are read as
weights.
"""

import copy
import io
import json
import logging
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rotgrid.results import storage
from rotgrid.results.unfinished import NOTES, SUFFIX

LOG = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """What a file holds."""

    state: dict[str, Any]
    notes: dict[str, Any]
    """Empty in files that were written before there were notes."""


def weights_of(key: str) -> str:
    """The file of a trial's trained network."""
    return f"checkpoints/{key}.pt"


def training_of(key: str) -> str:
    """The file of a trial's unfinished training."""
    return f"checkpoints/{key}{SUFFIX}"


def serialize(state: object, notes: Mapping[str, Any] | None = None) -> bytes:
    """A checkpoint as bytes, complete before anything is written; its notes become JSON."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    if notes:
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr(NOTES, json.dumps(notes, default=str))
    return buffer.getvalue()


def load(root: storage.Root, name: str, *, again: bool = False) -> Checkpoint | None:
    """A checkpoint, or None if there is none or it is damaged (which is logged, but not `again`).

    Raises:
        StoreError: it could not be read.
    """
    data = storage.get(root, name)
    if data is None:
        return None
    try:
        return parse(data)
    except MemoryError:
        raise
    except Exception as error:  # anything: it may be any file
        if not again:
            report_damage(name, error)
        return None


def parse(data: bytes) -> Checkpoint:
    """A checkpoint from its bytes.

    Raises:
        Exception: of any kind, if they are not those of one that was written whole.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if wrong := archive.testzip():
            raise ValueError(f"checksum of {wrong}")
        notes = json.loads(archive.read(NOTES)) if NOTES in archive.namelist() else {}
    state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    if not isinstance(state, dict):
        raise ValueError("not a dictionary")
    return Checkpoint(state, notes)


def report_damage(name: str, reason: object) -> None:
    """Log that a checkpoint is of no use."""
    LOG.warning("%s: damaged, so what it held is computed again (%s)", name, reason)


def restore(
    root: storage.Root, key: str, model: nn.Module, *, again: bool = False
) -> dict[str, Any] | None:
    """Give a model the stored weights of a trial: the notes beside them.

    Args:
        root: results location.
        key: of the trial.
        model: freshly built, or trained.
        again: damage was logged before.

    Returns:
        None, with the model as it was, if there are none or they are damaged (which is logged).

    Raises:
        StoreError: they could not be read.
    """
    name = weights_of(key)
    found = load(root, name, again=again)
    if found is None:
        return None
    try:
        if found.notes.get("key", key) != key:
            raise ValueError(f"of trial {found.notes['key']}")
        take(model, found.state)
    except (RuntimeError, ValueError) as error:
        if not again:
            report_damage(name, error)
        return None
    return found.notes


def take(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Load weights into a model; if they are not its own, it is left as it was.

    Raises:
        RuntimeError, ValueError: names, shapes or types differ, or a number is not finite.
    """
    own = model.state_dict()
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} is no tensor")
        if name in own and value.dtype != own[name].dtype:
            raise ValueError(f"{name} is {value.dtype}, not {own[name].dtype}")
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{name} is not finite")
    before = copy.deepcopy(own)
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        model.load_state_dict(before)
        raise
