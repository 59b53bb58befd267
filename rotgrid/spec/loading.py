"""Own functions, imported: always the version that is asked for, and never silently another."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rotgrid.spec import sources
from rotgrid.spec.sources import Source, SourceError

NOT_THE_USERS = ("site-packages", "importlib", "<", str(Path(__file__).parents[1]))
"""Parts of the names of files that no message blames."""
_imported: dict[str, str] = {}
"""Digest by module: what `load` has imported."""
_loaded: dict[tuple[str, str], Callable[..., Any]] = {}
"""Functions by name and digest: a training that has begun is not disturbed by an edit."""
_inserted: list[str] = []
"""Folders that `load` has put on Python's path."""


def load(name: str, digest: str = "") -> Callable[..., Any]:
    """The function behind an own name, which is imported now.

    Args:
        name: `package.module:function`.
        digest: of the version that is meant; empty: whatever is there.

    Raises:
        SourceError: there is no such function, it cannot be imported, or its files are another
            version.
    """
    if (name, digest) in _loaded:
        return _loaded[name, digest]
    source = find_version(name, digest)
    here = sources.digest(source)
    module, _, function = name.partition(":")
    if _imported.get(module) != here:
        forget(source)
    put_first(source.folder)
    found = import_module(name, module)
    if (file := inspect.getsourcefile(found)) != str(source.folder / next(iter(source.files))):
        raise SourceError(f"{name}: Python imports {file} and not that in {source.folder}")
    _imported[module] = here
    if not callable(given := getattr(found, function, None)):
        raise SourceError(f"{name}: {file} defines no function {function}")
    if digest:
        _loaded[name, digest] = given
    return given


def find_version(name: str, digest: str) -> Source:
    """The files behind an own name, if they are the version that is meant.

    Raises:
        SourceError: there are none, or they are another version.
    """
    source = sources.find(name)
    if digest and (here := sources.digest(source)) != digest:
        raise SourceError(
            f"{name}: its files in {source.folder} have digest {here}, not {digest}: they were "
            "changed since; launch again with the grid to measure the new version"
        )
    return source


def forget(source: Source) -> None:
    """Drop imported modules of these files, so that they are imported anew."""
    for file in source.files:
        module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        sys.modules.pop(module, None)
        _imported.pop(module, None)
    importlib.invalidate_caches()


def put_first(folder: Path) -> None:
    """Put a folder first on Python's path, unless it was there without our doing."""
    text = str(folder)
    if text in _inserted:
        _inserted.remove(text)
        sys.path.remove(text)
    elif text in sys.path or (folder == Path.cwd() and "" in sys.path):
        return
    _inserted.append(text)
    sys.path.insert(0, text)


def import_module(name: str, module: str) -> Any:  # noqa: ANN401  # a module
    """Import a module and leave no bytecode behind: an edit within the same second would not
    count.

    Raises:
        SourceError: the module raises, or ends the process.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise SourceError(f"{name}: cannot be imported: {described(error)}") from error
    finally:
        sys.dont_write_bytecode = before


def described(error: BaseException) -> str:
    """The kind of an error, its text, and the last line of code outside of libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(place in f.filename for place in NOT_THE_USERS)]
    place = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    return f"{place}{type(error).__name__}: {error}"


def place_of(function: Callable[..., Any]) -> str:
    """The file and line in which a function is defined."""
    try:
        return f"{inspect.getsourcefile(function)}:{inspect.getsourcelines(function)[1]}"
    except (OSError, TypeError):
        return getattr(function, "__module__", "?")
