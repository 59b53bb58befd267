"""The grids that were launched to a results location, stored beside its rows."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from rotgrid import grid
from rotgrid.grid import Plan
from rotgrid.grid.problems import GridError
from rotgrid.results import storage
from rotgrid.results.storage import Root

OWN_COLUMNS = ("model", "data", "adversary", "attack", "source")
"""The fields that may hold the name of something own, each with its `_digest`."""


def launched_plans(root: Root) -> tuple[dict[str, Plan], list[str]]:
    """The plans of the stored grids by the names of their files, and what is wrong with others,
    each with the name of its file."""
    plans: dict[str, Plan] = {}
    problems: list[str] = []
    for name in storage.names(root, "grids", ".yaml"):
        try:
            text = (storage.get(root, name) or b"").decode()
            plans[PurePosixPath(name).stem] = grid.parse(text, name)
        except GridError as error:
            problems.append(str(error))
        except UnicodeDecodeError as error:
            problems.append(f"{name}: {error}")
    return plans, problems


def store_grid(plan: Plan, root: Root) -> None:
    """Store the grid as it is launched, beside those of earlier launches that ask for others.

    Raises:
        StoreError: it cannot be written.
    """
    text = grid.dump(plan).encode()
    name = f"grids/{plan.name}.yaml"
    there = storage.get(root, name)
    if there not in (None, text) and not same_trials(there, text):
        name = f"grids/{plan.name}-{hashlib.sha256(text).hexdigest()[:8]}.yaml"
        there = storage.get(root, name)
    if there != text or ("pinned" in plan.document and is_outdated(root, name)):
        storage.put(root, name, text)


def is_outdated(root: Root, name: str) -> bool:
    """Whether a stored grid is older than another one: the last launch says which versions of own
    names count."""
    times = {info.base_name: info.mtime_ns or 0 for info in storage.infos(root, "grids")}
    return times[PurePosixPath(name).name] < max(times.values())


def launched_versions(root: Root, plans: Mapping[str, Plan]) -> dict[str, str]:
    """The digest of each own name in the last launch that had it; `plans` are all that were."""
    found: dict[str, str] = {}
    infos = [info for info in storage.infos(root, "grids") if info.base_name.endswith(".yaml")]
    for info in sorted(infos, key=lambda info: info.mtime_ns or 0):
        if plan := plans.get(PurePosixPath(info.base_name).stem):
            pins = plan.document.get("pinned", {})
            found |= {name: fields["digest"] for name, fields in pins.items()}
    return found


def is_superseded(fields: Mapping[str, Any], launched: Mapping[str, str]) -> bool:
    """Whether a trial or probe, by its fields, is of another version of an own name than the one
    that was launched last (`launched_versions`)."""
    return any(
        (digest := fields.get(f"{column}_digest"))
        and launched.get(fields[column], digest) != digest
        for column in OWN_COLUMNS
    )


def same_trials(stored: bytes, text: bytes) -> bool:
    """Whether a stored grid asks for the trials and probes of another, or for nothing: it is
    damaged."""
    try:
        return grid.parse(stored.decode()).trials == grid.parse(text.decode()).trials
    except (GridError, UnicodeDecodeError):
        return True
