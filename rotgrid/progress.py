"""Progress on stderr: a live bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINE_SECONDS = 10.0
"""Between lines where there is no terminal."""


class Tracker:
    """Counts trials by their keys. The time left follows the work done, not the trials done.

    Args:
        work: expected work of each trial, in any unit, by its key.
    """

    def __init__(self, work: Mapping[str, float]) -> None:
        self.work = dict(work)
        self.running: set[str] = set()
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self._start = time.monotonic()
        self._last_line = -LINE_SECONDS
        console = Console(stderr=True)
        self._live = console.is_terminal
        self._bar = Progress(
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not self._live,
        )
        self._task = self._bar.add_task("", total=len(self.work), state="starting")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show(last=True)
        self._bar.stop()

    def started(self, key: str) -> None:
        """A trial runs."""
        self.running.add(key)
        self._show()

    def finished(self, key: str, failed: bool) -> None:
        """A trial has ended; where there is no bar, what starts next tells of it."""
        self.running.discard(key)
        (self.failed if failed else self.done).add(key)
        if self._live:
            self._show()

    def seconds_left(self) -> float | None:
        """Expected seconds to the end, or None before anything has ended."""
        ended = sum(self.work[key] for key in self.done | self.failed)
        if not ended:
            return None
        elapsed = time.monotonic() - self._start
        return elapsed * (sum(self.work.values()) - ended) / ended

    def _show(self, last: bool = False) -> None:
        left = self.seconds_left()
        state = f"{len(self.running)} running, {len(self.failed)} failed"
        if left is not None and not last:
            state += f", about {duration(left)} left"
        ended = len(self.done) + len(self.failed)
        if self._live:
            self._bar.update(self._task, completed=ended, state=state)
        elif last or time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            elapsed = duration(time.monotonic() - self._start)
            print(f"{ended}/{len(self.work)} trials, {state} ({elapsed})", file=sys.stderr)


def duration(seconds: float) -> str:
    """Seconds in words, to two figures or so: `145 s`, `12 min`, `3.5 h`, `4 days`."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"
