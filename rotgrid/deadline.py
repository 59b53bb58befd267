"""An end for a trial that takes too long: asked for between batches, then enforced.

Tune has no limit of its own on a trial that does not report. `check` raises where the loops can
stop cleanly; `watchdog` ends the process if they do not come to that.
"""

import contextlib
import faulthandler
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator

NEVER = math.inf
EXIT_CODE = 75
"""Of a process that the watchdog ended."""


class TimeLimitError(RuntimeError):
    """The trial has used up its time."""


def check(deadline: float, doing: str) -> None:
    """Raise if `time.monotonic()` is past the deadline.

    Raises:
        TimeLimitError: names what was being done.
    """
    if time.monotonic() > deadline:
        raise TimeLimitError(f"time limit reached in {doing}")


def grace(limit: float) -> float:
    """Seconds that a trial has past its limit to stop by itself."""
    return min(60.0, limit / 5)


@contextlib.contextmanager
def watchdog(limit: float, stuck: Callable[[str], object]) -> Iterator[None]:
    """End this process if the block lasts longer than `limit` seconds and its grace.

    Before it ends, `stuck` is told where the thread hangs. If not even that gets through (the
    interpreter is held by compiled code), a timer outside of the interpreter ends it.
    """
    if limit == NEVER:
        yield
        return
    thread = threading.get_ident()

    def expire() -> None:
        try:
            stuck("".join(traceback.format_stack(sys._current_frames()[thread])))
        finally:
            os._exit(EXIT_CODE)

    timer = threading.Timer(limit + grace(limit), expire)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(limit + 2 * grace(limit), exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()
