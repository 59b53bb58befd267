"""The report while a launch runs: drawn now and then in the background, at low priority."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO

from rotgrid.results import storage
from rotgrid.results.unfinished import unfinished

FIRST, EVERY = 180.0, 600.0
"""Seconds to the first drawing, and from one to the next."""
NICENESS = 19
NOTHING_YET = 2
"""How the analysis ends where there is not one row."""


@contextlib.contextmanager
def redrawn(
    results_in: str,
    out: str,
    say: Callable[[str], None],
    first: float = FIRST,
    every: float = EVERY,
) -> Iterator[None]:
    """Meanwhile, redraw the report whenever there is something new; at the end a drawing under way
    is killed. That one fails is said in a line, and ends nothing.

    Args:
        results_in: results location.
        out: folder of the report.
        say: takes the line.
        first: seconds to the first drawing.
        every: seconds from one to the next.
    """
    over = threading.Event()
    given = (results_in, out, say, first, every, over)
    loop = threading.Thread(target=redraw, args=given, daemon=True)
    loop.start()
    try:
        yield
    finally:
        over.set()
        loop.join()


def redraw(
    results_in: str,
    out: str,
    say: Callable[[str], None],
    first: float,
    every: float,
    over: threading.Event,
) -> None:
    """The loop, one drawing after the other, until it is `over`."""
    drawn, seconds = None, first
    while not over.wait(seconds):
        seconds = every
        with contextlib.suppress(storage.StoreError):  # out of reach: the launch waits, too
            if (new := state(results_in)) == drawn:
                continue
            drawn = new
            if problem := draw(results_in, out, over):
                say(f"report not redrawn: {problem}")


def state(results_in: str) -> tuple[list[str], dict[str, int]]:
    """The files with rows, and the epochs of each training under way.

    Raises:
        StoreError: they cannot be read.
    """
    epochs = {each.key: len(each.rows) for each in unfinished(results_in)}
    return sorted(storage.names(results_in, "evaluations", ".parquet")), epochs


def draw(results_in: str, out: str, over: threading.Event) -> str:
    """Draw the report in a process of its own, unless it is `over` before; why that failed."""
    command = [sys.executable, "-m", "analysis", results_in, "--out", out]
    with tempfile.TemporaryFile("w+") as said:
        try:
            process = subprocess.Popen(
                command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            return str(error)
        try:
            with contextlib.suppress(OSError):  # it has ended, or this is not allowed
                os.setpriority(os.PRIO_PGRP, process.pid, NICENESS)
            while process.poll() is None and not over.wait(0.2):
                pass
        finally:
            end(process)
        failed = process.returncode not in (0, NOTHING_YET) and not over.is_set()
        return (last_line(said) or f"exit code {process.returncode}") if failed else ""


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that still runs, with those that it has started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_line(file: IO[str]) -> str:
    """The last line of a file that is not empty, or nothing."""
    file.seek(0)
    return next((line.strip() for line in reversed(file.readlines()) if line.strip()), "")
