"""What is the user's own: functions by names `package.module:function`, and data by `name.npz`.

All that a plan needs to know of them is read from their files without running them, and is pinned
in the stored grid, so that status and analysis need neither. Own names are as good as rotgrid's
everywhere; what tells two versions of one apart is its digest, a field of its own in `Trial` and
`Probe`.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from rotgrid.spec import archives, sources
from rotgrid.spec.datasets import DataSet, Shape
from rotgrid.spec.entries import is_own
from rotgrid.spec.records import field_error
from rotgrid.spec.sources import FOLDERS, SourceError

Digest = Annotated[str, Field(pattern="^([0-9a-f]{16})?$")]
"""A digest, or "" where a name is not own."""


class Own(NamedTuple):
    """What is known of an own name."""

    digest: str
    settings: Mapping[str, object] | None = None
    """Of a function: its parameters with their defaults; None where its `def` was not found."""
    data: DataSet | None = None
    """Of an `.npz`."""


_known: dict[tuple[str, str], Own] = {}
"""By name and digest: what has been read here, or was pinned in a grid."""


def read(name: str) -> Own:
    """What the files behind an own name say now.

    Raises:
        SourceError: there is no such file or function.
        ValueError: the `.npz` is not what it should be.
    """
    if name.endswith(".npz"):
        path = find_data(name)
        return remember(name, Own(archives.digest(path), data=archives.describe(path)))
    source = sources.find(name)
    return remember(name, Own(sources.digest(source), sources.parameters(name, source)))


def find_data(name: str) -> Path:
    """The `.npz` of that name in a folder of a grid, the current one, or ROTGRID_DATA.

    Raises:
        SourceError: there is none.
    """
    folders = [*FOLDERS, Path.cwd()]
    folders += [Path(data)] if (data := os.environ.get("ROTGRID_DATA")) else []
    if found := next((path for folder in folders if (path := folder / name).is_file()), None):
        return found
    looked = ", ".join(dict.fromkeys(map(str, folders)))
    raise SourceError(f"{name}: no such file in {looked}; `rotgrid data make` writes one")


def remember(name: str, own: Own) -> Own:
    """Let `known` give this."""
    _known[name, own.digest] = own
    return own


def known(name: str, digest: str) -> Own:
    """What is known of a version of an own name; nothing but its digest, if it was never read."""
    return _known.get((name, digest)) or Own(digest)


def data_set(name: str, digest: str) -> DataSet | None:
    """The counts and the shape of an own data set, if they are known."""
    return known(name, digest).data


def pinned(own: Own) -> dict[str, Any]:
    """What is known of an own name, as plain data for the stored grid."""
    found: dict[str, Any] = {"digest": own.digest}
    if own.settings is not None:
        plain = {k: None if v is ... else v for k, v in own.settings.items()}
        found["settings"] = plain
    if own.data is not None:
        counts = {part: getattr(own.data, part) for part in ("train", "val", "test")}
        shape = {
            k: list(v) if isinstance(v, tuple) else v for k, v in own.data.shape._asdict().items()
        }
        found |= {**counts, **shape}
    return found


def unpinned(name: str, fields: Mapping[str, Any]) -> Own:
    """What `pinned` has made plain.

    Raises:
        KeyError, TypeError: it is something else.
    """
    digest = fields["digest"]
    if not re.fullmatch("[0-9a-f]{16}", digest):
        raise TypeError("digest")
    if not name.endswith(".npz"):
        settings = fields.get("settings")
        return Own(digest, None if settings is None else dict(settings))
    channels, size, classes = (int(fields[k]) for k in ("channels", "size", "classes"))
    shape = Shape(channels, size, classes, tuple(fields["mean"]), tuple(fields["std"]))
    train, val, test = (int(fields[part]) for part in ("train", "val", "test"))
    return Own(digest, data=DataSet(train, val, test, shape, name))


def with_digests(values: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The values with the digest of each own name among some fields: the one that is given, or
    that of the files as they are now."""
    found = dict(values)
    for field in fields:
        name, at = values.get(field), f"{field}_digest"
        if not is_own(name):
            found[at] = ""
        elif not values.get(at):
            try:
                found[at] = read(str(name)).digest
            except ValueError as error:
                raise field_error(field, str(error)) from None
    return found
