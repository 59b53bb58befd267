"""Where rows come from: the code that ran and its commit, versions of libraries, the machine.

`python -m rotgrid.results.provenance` prints commit and files of this checkout as `ROTGRID_COMMIT`
takes them, for a copy of it that is sent elsewhere without `.git`.
"""

import datetime
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

import rotgrid
from rotgrid.spec import digest

FOLDER = Path(__file__).parents[1]
LIBRARIES = ("torch", "numpy", "scipy", "e2cnn")
"""What computes the numbers, besides rotgrid."""
UNKNOWN = "unknown"
STAMP = "ROTGRID_COMMIT"
"""The environment variable that says the commit of files whose checkout is elsewhere."""


def provenance(device: torch.device) -> dict[str, object]:
    """The columns of `results.columns.PROVENANCE` for rows made here and now on a device."""
    return {
        "rotgrid_version": rotgrid.__version__,
        "git_commit": git_commit(),
        "code": code_digest(),
        "torch_version": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "host": platform.node(),
        "finished_at": datetime.datetime.now(datetime.UTC),
    }


@functools.cache
def code_digest() -> str:
    """12 hex digits that name rotgrid's own files and the versions of `LIBRARIES`."""
    libraries = {name: versions()[name] for name in LIBRARIES}
    return digest({"files": files_digest(), **libraries})[:12]


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python (`3.11`) and of `LIBRARIES`, by name; builds of one version are equal."""
    installed = {name: importlib.metadata.version(name) for name in LIBRARIES}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{name: v.partition("+")[0] for name, v in installed.items()}}


@functools.cache
def files_digest(folder: Path = FOLDER) -> str:
    """12 hex digits that name the Python files below a folder, wherever it is.

    Ends of lines do not count: git may change them on the way to another machine.
    """
    content = {
        path.relative_to(folder).as_posix(): path.read_bytes().replace(b"\r\n", b"\n")
        for path in folder.rglob("*.py")
    }
    return digest({name: hashlib.sha256(text).hexdigest() for name, text in content.items()})[:12]


@functools.cache
def git_commit() -> str:
    """The commit of these files, `-dirty` if they are changed, or `unknown`.

    It is what `ROTGRID_COMMIT` says of the very same files, or else that of the checkout.
    """
    commit, _, named = os.environ.get(STAMP, "").rpartition(":")
    return (commit if named == files_digest() else "") or _checkout() or UNKNOWN


def stamp() -> str:
    """Commit and digest of these files: `ROTGRID_COMMIT` for other copies of them."""
    return f"{git_commit()}:{files_digest()}"


def adopt_stamp(stamp: str) -> None:
    """Take the commit of another process, from its `stamp`, for one's own where the files are
    the same."""
    if os.environ.get(STAMP) != stamp:
        os.environ[STAMP] = stamp
        git_commit.cache_clear()


def _checkout() -> str:
    """The commit of the checkout that rotgrid runs from, if it is one."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(FOLDER), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(FOLDER))
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""


if __name__ == "__main__":
    print(stamp())
