"""What the command lines share: output that may fail, and commands to print.

Output is not the work: a terminal that is gone, a full disk behind `2>` or a closed pipe must not
end a launch.
"""

import io
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from rich.console import Console


class Lossy(io.FileIO):
    """A file descriptor to write to; what cannot be written is dropped."""

    def write(self, data: Any) -> int:  # noqa: ANN401  # anything with bytes in it
        """Write some bytes, or drop them all."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def tolerate_lost_output() -> None:
    """Let nothing that this process prints raise an error, whatever stdout and stderr are."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before the start
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for good
            continue
        raw = Lossy(stream.fileno(), "w", closefd=False)
        text = io.TextIOWrapper(
            io.BufferedWriter(raw),
            stream.encoding,
            errors="backslashreplace",
            line_buffering=name == "stderr" or stream.isatty(),
        )
        setattr(sys, name, text)


def wide() -> Console:
    """A console on stdout that wraps nothing where a script may read it."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 1_000
    return console


def command(module: str, *words: str) -> str:
    """A command of this interpreter that can be pasted as it is, from the working directory."""
    return shlex.join([interpreter(), "-m", module, *words])


def interpreter() -> str:
    """The Python that runs, by a path from the working directory if it lies below it."""
    path = Path(sys.executable or "python3")
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def duration(seconds: float) -> str:
    """Seconds in words, to two figures or so: `145 s`, `12 min`, `3.5 h`, `4 days`."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"
