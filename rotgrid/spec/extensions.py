"""Names that are the user's own: a function `package.module:function`, or data in `name.npz`.

Where they are looked for, and nothing here imports or runs what it finds.
"""

import os
import sys
from pathlib import Path

FOLDERS: list[Path] = []
"""Where own files are looked for first: the folders of the grids that were read."""


def is_own(name: object) -> bool:
    """Whether a name is the user's: all names of rotgrid's are words."""
    return isinstance(name, str) and (":" in name or name.endswith(".npz"))


def search_in(folder: str | os.PathLike[str]) -> None:
    """Look for own files in this folder, too, and there first."""
    path = Path(folder).resolve()
    FOLDERS[:] = [path, *(other for other in FOLDERS if other != path)]


def search_path() -> list[Path]:
    """The folders in which own files are looked for, in this order, each once."""
    imported = [Path(entry) if entry else Path.cwd() for entry in sys.path]
    return list(dict.fromkeys([*FOLDERS, Path.cwd(), *imported]))


def find_data(name: str) -> Path | None:
    """The file of that name: as it is, or below a folder of the search path or ROTGRID_DATA."""
    folders = [*FOLDERS, Path.cwd()]
    if data := os.environ.get("ROTGRID_DATA"):
        folders.append(Path(data))
    return next((path for folder in folders if (path := folder / name).is_file()), None)
