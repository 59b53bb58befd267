"""The user's own Python files behind a name `package.module:function`: found and read, not run.

The digest of a name covers every own file that importing its module would run: the module, the
packages that it is in, and what these import of the user's files, and so on. Of installed packages
only the one that is named is the user's own. Not seen are files that are read or imported by other
means than `import` statements.
"""

import ast
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

NOT_OWN = ("rotgrid", "analysis")
"""Packages whose code is in no digest of a name: column `code` of the rows names it."""
NEEDED = (
    "altair", "e2cnn", "marimo", "numpy", "PIL", "polars", "pooch", "pyarrow", "pydantic",
    "pydantic_core", "ray", "rich", "scipy", "torch", "vl_convert", "yaml",
)  # fmt: skip
"""What rotgrid imports: a user's module of such a name would be imported in its place."""
INSTALLED = ("site-packages", "dist-packages")
STANDARD = Path(os.__file__).parent
"""Where Python's own modules are."""

FOLDERS: list[Path] = []
"""Where own files are looked for first: folders of grids that were read, of sources received."""


class SourceError(ValueError):
    """There is no such function, or it cannot be read; the message says where it should be."""


class Source(NamedTuple):
    """The files behind a name."""

    folder: Path
    """In which the top-level package or module is."""
    files: Mapping[str, bytes]
    """Contents by path below that folder, or another one on Python's path; the module's own file
    first."""


def search_in(folder: str | os.PathLike[str]) -> None:
    """Look for own files in this folder, too, and there first."""
    path = Path(folder).resolve()
    FOLDERS[:] = [path, *(other for other in FOLDERS if other != path)]


def search_path() -> list[Path]:
    """The folders in which own modules are looked for, each once: those of `FOLDERS`, the
    current one, and Python's."""
    imported = [Path(entry) for entry in sys.path if entry and not entry.endswith(".zip")]
    return list(dict.fromkeys([*FOLDERS, Path.cwd(), *imported]))


def find(name: str) -> Source:
    """The files behind a name.

    Raises:
        SourceError: there is no such module, or a file is not Python.
    """
    module, _, function = name.partition(":")
    parts = [*module.split("."), function]
    if not all(part.isidentifier() for part in parts):
        raise SourceError(f"{name}: an own name is written package.module:function")
    if parts[0] in NOT_OWN:
        raise SourceError(f"{name}: is in {parts[0]} itself, which has names without a colon")
    if parts[0] in NEEDED or parts[0] in sys.stdlib_module_names:
        raise SourceError(
            f"{name}: Python or rotgrid has a module {parts[0]}: give yours another name"
        )
    for folder in search_path():
        if (path := file_of(folder, module)) is not None:
            return Source(folder, files_from(folder, module, path))
    looked = ", ".join(map(str, dict.fromkeys([*FOLDERS, Path.cwd()])))
    below = module.replace(".", "/")
    raise SourceError(
        f"{name}: no file {below}.py or {below}/__init__.py in {looked} or on Python's path "
        "(PYTHONPATH)"
    )


def is_installed(folder: Path) -> bool:
    """Whether a folder is of installed packages, or of Python itself."""
    return any(part in INSTALLED for part in folder.parts) or folder.is_relative_to(STANDARD)


def file_of(folder: Path, module: str) -> Path | None:
    """The Python file of a module below a folder."""
    base = folder.joinpath(*module.split("."))
    choices = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((path for path in choices if path.is_file()), None)


def files_from(folder: Path, module: str, path: Path) -> dict[str, bytes]:
    """Own files that importing a module runs, by path below the folder or another one on Python's
    path, that of the module first.

    Raises:
        SourceError: one is not Python.
    """
    installed = is_installed(folder)
    top = module.partition(".")[0]
    folders = [folder, *(other for other in search_path() if not is_installed(other))]
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop(0)
        first = name.partition(".")[0]
        if first in NOT_OWN or (installed and first != top):
            continue
        place = next((place for place in folders if file_of(place, name)), folder)
        file = file_of(place, name)
        waiting += [name.rpartition(".")[0]] if "." in name else []
        if file is None or (key := file.relative_to(place).as_posix()) in found:
            continue
        found[key] = file.read_bytes().replace(b"\r\n", b"\n")
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        waiting += imported(parsed(found[key], file), package)
    return found


def parsed(text: bytes, file: Path) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        SourceError: it is not Python.
    """
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise SourceError(
            f"{file}:{getattr(error, 'lineno', 1)}: is not Python: {error}"
        ) from None


def imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of modules that a file may import, anywhere in it; `package` is the one it is in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from filter(None, [module])
            prefix = f"{module}." if module else ""
            yield from (prefix + alias.name for alias in node.names if alias.name != "*")


def digest(source: Source) -> str:
    """16 hex digits that name the contents of the files, wherever they are."""
    total = hashlib.sha256()
    for name, text in sorted(source.files.items()):
        total.update(f"{name}\0{len(text)}\0".encode() + text)
    return total.hexdigest()[:16]


def parameters(name: str, source: Source) -> dict[str, object] | None:
    """The parameters of a function by name, with their defaults; None where there is none, `...`
    where it is not written as a plain value. None in all for what is no `def` of the module's own
    file.

    Raises:
        SourceError: nothing of that name is in the file.
    """
    function = name.partition(":")[2]
    file, text = next(iter(source.files.items()))
    body = ast.parse(text).body
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return dict(signature(node.args))
    if not {function, "*"} & names_defined(body):
        defined = (
            ", ".join(n.name for n in body if isinstance(n, ast.FunctionDef)) or "no function"
        )
        raise SourceError(
            f"{name}: {source.folder / file} has no {function}; it defines {defined}"
        )
    return None


def signature(arguments: ast.arguments) -> Iterator[tuple[str, object]]:
    """Names of parameters and their defaults; `...` where one is no plain value."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(plain, defaults, strict=True)]
    pairs += [*zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    for argument, default in pairs:
        try:
            yield argument.arg, None if default is None else ast.literal_eval(default)
        except ValueError:
            yield argument.arg, ...


def names_defined(body: list[ast.stmt]) -> set[str]:
    """The names that a module's statements define, import or assign."""
    found: set[str] = set()
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}  # "*": any name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found
