"""Progress on stderr: a live bar on a terminal, a line now and then elsewhere."""

import heapq
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from rotgrid.console import duration

LINE_SECONDS = 10.0
"""Between lines where there is no terminal, at least; on long runs a hundredth of the time."""

BAR_SECONDS = 1.0
"""Between changes of the bar."""

WAITING_SECONDS = 60.0
"""If nothing runs after so long, it is said."""

NAMED = 6
"""Running trials of which it is said what they are at; of more, their number."""

OVERDUE = 0.1
"""Of what it has run: the least that a running trial is taken to need still."""


class Forecast:
    """Seconds to the end: what is expected of each trial, corrected by what others have taken.

    Sums are kept by kind, so that no call goes over all trials.
    """

    def __init__(self, expected: Mapping[str, float], kinds: Mapping[str, str]) -> None:
        self._expected = dict(expected)
        self._kinds = {key: kinds.get(key, "") for key in expected}
        self._waiting: set[str] = set()
        self._work: dict[str, float] = defaultdict(float)  # of those that wait, by kind
        self._longest: dict[str, list[tuple[float, str]]] = defaultdict(list)  # heaps, by kind
        self._since: dict[str, float] = {}  # of those that run
        self._lost: dict[str, float] = defaultdict(float)  # in earlier attempts
        self._done: dict[str, tuple[float, float]] = {}  # taken and expected, by kind
        self._slots = 1
        for key in expected:
            self.wait(key)

    def wait(self, key: str) -> None:
        """It is in the queue, perhaps for another attempt."""
        self._stop(key)
        self._waiting.add(key)
        kind, seconds = self._kinds[key], self._expected[key]
        self._work[kind] += seconds
        heapq.heappush(self._longest[kind], (-seconds, key))

    def start(self, key: str) -> None:
        """It runs."""
        self._stop(key)
        self._since[key] = time.monotonic()
        self._slots = max(self._slots, len(self._since))

    def end(self, key: str, learn: bool) -> None:
        """It is over. With `learn`, what it has taken in all attempts tells what others take."""
        self._stop(key)
        seconds = self._lost.pop(key, 0.0)
        if learn and seconds:
            taken, expected = self._done.get(kind := self._kinds[key], (0.0, 0.0))
            self._done[kind] = taken + seconds, expected + self._expected[key]

    def _stop(self, key: str) -> None:
        """It neither waits nor runs any more."""
        if key in self._waiting:
            self._waiting.remove(key)
            self._work[self._kinds[key]] -= self._expected[key]
        if key in self._since:
            self._lost[key] += time.monotonic() - self._since.pop(key)

    def seconds_left(self) -> float | None:
        """Seconds to the end, with as many trials at once as have run at most; None before one
        is done, with which others could be compared."""
        if not self._done:
            return None
        running = [self._left(key, since) for key, since in self._since.items()]
        waiting = [self._slower(kind) * work for kind, work in self._work.items()]
        queued = [self._slower(kind) * self._first(kind) for kind in self._work]
        return max((sum(running) + sum(waiting)) / self._slots, *running, *queued)

    def _left(self, key: str, since: float) -> float:
        """Seconds that a running trial needs still."""
        ran = time.monotonic() - since
        return max(self._slower(self._kinds[key]) * self._expected[key] - ran, OVERDUE * ran)

    def _slower(self, kind: str) -> float:
        """How many times as long as expected trials of a kind take, or else those of all kinds."""
        done = [self._done[kind]] if kind in self._done else self._done.values()
        taken, expected = map(sum, zip(*done, strict=True))
        return taken / expected if expected else 1.0

    def _first(self, kind: str) -> float:
        """Expected seconds of the longest trial of a kind that waits."""
        heap = self._longest[kind]
        while heap and heap[0][1] not in self._waiting:
            heapq.heappop(heap)
        return -heap[0][0] if heap else 0.0


class Bar(Progress):
    """A progress bar, and lines below it."""

    lines: Callable[[], Iterable[str]] = staticmethod(tuple)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, then the lines."""
        yield self.make_tasks_table(self.tasks)
        yield from map(Text, self.lines())


class Tracker:
    """Counts trials by their keys, and shows how far they are.

    Args:
        expected: seconds of each trial, by its key.
        kinds: by key; where expectations are wrong, they are alike in a kind, such as a model.
    """

    def __init__(
        self, expected: Mapping[str, float], kinds: Mapping[str, str] | None = None
    ) -> None:
        self.running: set[str] = set()
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.retries = 0
        self._trials = len(expected)
        self._names = kinds or {}
        self._doing: dict[str, str] = {}
        self._forecast = Forecast(expected, self._names)
        self._start = time.monotonic()
        self._shown = -LINE_SECONDS
        console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._live = console.is_terminal
        self._bar = Bar(
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            disable=not self._live,
        )
        self._bar.lines = self._running_lines
        self._task = self._bar.add_task("", total=self._trials, state="starting")

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
        self._forecast.start(key)
        self.tick()

    def doing(self, key: str, what: str) -> None:
        """What a running trial is at, such as `epoch 3 of 10`."""
        self._doing[key] = what
        self.tick()

    def say(self, line: str) -> None:
        """One line for the user, above the bar if there is one."""
        if self._live:
            self._bar.console.print(Text(line), soft_wrap=True)
        else:
            print(line, file=sys.stderr)

    def requeued(self, key: str) -> None:
        """A running trial failed, and goes back to the queue."""
        self.running.discard(key)
        self._doing.pop(key, None)
        self.retries += 1
        self._forecast.wait(key)

    def finished(self, key: str, failed: bool) -> None:
        """A trial has ended; what starts next, or a `tick`, shows it."""
        self.running.discard(key)
        self._doing.pop(key, None)
        (self.failed if failed else self.done).add(key)
        self._forecast.end(key, learn=not failed)

    def tick(self) -> None:
        """Show how far it is, if it is time; call this now and then."""
        since = time.monotonic() - self._shown
        elapsed = time.monotonic() - self._start
        if since > (BAR_SECONDS if self._live else max(LINE_SECONDS, elapsed / 100)):
            self._show()

    def seconds_left(self) -> float | None:
        """Expected seconds to the end, or None before a trial is done."""
        return self._forecast.seconds_left()

    def _show(self, last: bool = False) -> None:
        self._shown = time.monotonic()
        left = self.seconds_left()
        state = f"{len(self.running)} running"
        if self._doing and not (self._live or last):
            state += f" ({'; '.join(self._running_lines())})"
        state += f", {len(self.failed)} failed"
        state += f", {self.retries} retried" if self.retries else ""
        state += f", about {duration(left)} left" if left is not None and not last else ""
        ended = len(self.done) + len(self.failed)
        if not (self.running or last) and time.monotonic() - self._start > WAITING_SECONDS:
            state += ", waiting for a node that has room"
        if self._live:
            self._bar.update(self._task, completed=ended, state=state)
            self._bar.refresh()
        else:
            elapsed = duration(time.monotonic() - self._start)
            print(f"{ended}/{self._trials} trials, {state} ({elapsed})", file=sys.stderr)

    def _running_lines(self) -> list[str]:
        """Which trials run, by name and key, and what they are at; the first of many."""
        known = [key for key in self._doing if key in self.running]
        lines = [f"{self._names.get(k, '')} {k[:8]}: {self._doing[k]}" for k in known[:NAMED]]
        more = len(self.running) - len(lines)
        return [*map(str.strip, lines), *([f"{more} more"] if lines and more else [])]
