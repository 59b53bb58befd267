"""What failed, where, how often, and how to see it again: `failures/<trial>.json`.

A trial that fails is tried again from its last checkpoint, until `retries` are used up or it
fails twice in the same way by itself: then its record is `final`, and no later launch touches it
unless it is asked to. What is not the trial's is no failure of it: results out of reach
(`StoreError`), a machine that cannot run it (`MachineError`), a node that was lost.
"""

import datetime
import logging
import re
import socket
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from rotgrid.results import storage
from rotgrid.results.storage import Root, StoreError
from rotgrid.spec import Trial

LOG = logging.getLogger(__name__)

Outcome = Literal["done", "again", "failed"]
TAIL = 8_000
"""Characters kept of a traceback."""
CANARIES = 2
"""Trials at once until the first has succeeded: a mistake in all of them costs little."""
OUTAGES = 3
"""Of the results that one attempt waits for."""
LACKING = re.compile("out of memory|can't allocate memory|ALLOC_FAILED", re.IGNORECASE)
"""In messages of torch, CUDA and its libraries."""
HOPELESS = 10
"""If so many trials have failed and none has succeeded, the launch stops."""


class Failure(BaseModel):
    """One trial's latest failure. Unknown fields of other versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    trial: dict[str, Any] = Field(default_factory=dict)
    exception: str
    traceback: str = ""
    host: str = "unknown"
    launch: str = ""
    attempt: int = 1
    """In the launch, from 1; 0 where it is not known."""
    final: bool = True
    """Not tried again unless asked to."""
    failed_at: str = ""


class Attempts(NamedTuple):
    """How often a launch tries a trial."""

    launch: str
    retries: int


class MachineError(RuntimeError):
    """This machine cannot run a trial: nothing is wrong with the trial."""


def attempt(
    work: Callable[[], object],
    trial: Trial,
    root: Root,
    tries: Attempts,
    say: Callable[[str], object] = LOG.warning,
) -> Outcome:
    """Call `work`; an exception is recorded and decides what comes next.

    Results that are out of reach are waited for, `OUTAGES` times up to `OUTAGE_SECONDS`; then
    `work` is called again, which goes on from what it has stored. None of that is an attempt.

    Args:
        work: trains and measures what is not stored yet.
        trial: that it works on.
        root: results location.
        tries: of the launch.
        say: is told of outages.

    Returns:
        `done`; `again`, if another attempt may help; `failed`, if it was the last.

    Raises:
        StoreError: the results stay out of reach.
        MachineError: this machine cannot do the work; nothing is recorded.
    """
    for outage in range(OUTAGES + 1):
        try:
            return _attempt(work, trial, root, tries)
        except StoreError as error:
            say(f"{trial.key()}: {error}")
            if outage == OUTAGES or storage.is_lasting(error):
                raise
            if trouble := storage.wait_until_writable(root, storage.OUTAGE_SECONDS):
                raise StoreError(trouble) from error
    raise AssertionError("the last outage is raised")


def _attempt(work: Callable[[], object], trial: Trial, root: Root, tries: Attempts) -> Outcome:
    try:
        work()
    except (StoreError, MachineError):
        raise
    except Exception as error:
        text, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
        return record(root, trial, tries, text, trace, own=is_own_failure(error))
    storage.delete(root, file_of(trial.key()))
    return "done"


def is_own_failure(error: BaseException | None) -> bool:
    """Whether the same exception twice will come a third time: if it is the trial's own.

    It is not where something lacked that others take or give: memory, of the machine or its GPU,
    disk, files, connections. What an exception was raised from counts as well.
    """
    if error is None:
        return True
    lacking = isinstance(error, MemoryError | OSError) or LACKING.search(str(error))
    return not lacking and is_own_failure(error.__cause__)


def record(
    root: Root,
    trial: Trial,
    tries: Attempts,
    exception: str,
    trace: str = "",
    host: str | None = None,
    *,
    own: bool = True,
    final: bool | None = None,
) -> Outcome:
    """Record a failed attempt: `failed` if it is final, else `again`.

    Args:
        root: results location.
        trial: what failed.
        tries: of the launch.
        exception: type and message.
        trace: traceback.
        host: where; None is here.
        own: whether it is a failure of the trial itself, which twice is final.
        final: None is for this to decide: the last attempt, or the same exception as before.
    """
    before = find(root, trial.key())
    if before is None or before.launch != tries.launch:
        before = Failure(key=trial.key(), exception="", attempt=0)
    attempt = before.attempt + 1
    if final is None:
        final = attempt > tries.retries or (own and exception == before.exception)
    failure = Failure(
        key=trial.key(),
        trial=trial.model_dump(),
        exception=exception,
        traceback=trace[-TAIL:],
        host=host or socket.gethostname(),
        launch=tries.launch,
        attempt=attempt,
        final=final,
        failed_at=datetime.datetime.now(datetime.UTC).isoformat(),
    )
    storage.put(root, file_of(trial.key()), failure.model_dump_json(indent=1).encode())
    return "failed" if final else "again"


def file_of(key: str) -> str:
    """The file of a trial's failure."""
    return f"failures/{key}.json"


def find(root: Root, key: str) -> Failure | None:
    """The latest failure of a trial, if there is one."""
    data = storage.get(root, file_of(key))
    return None if data is None else parse(key, data)


def read(root: Root) -> dict[str, Failure]:
    """All failures by key of the trial; files with other names are no reports."""
    stems = [PurePosixPath(name).stem for name in storage.names(root, "failures", ".json")]
    keys = [stem for stem in stems if re.fullmatch("[0-9a-f]{16}", stem)]
    found = {key: find(root, key) for key in keys}
    return {key: failure for key, failure in found.items() if failure is not None}


def parse(key: str, data: bytes) -> Failure:
    """A failure from its file. Of a damaged one, or that of another trial, it is only known that
    something failed."""
    try:
        failure = Failure.model_validate_json(data)
    except ValueError:
        failure = None
    if failure is not None and failure.key == key:
        return failure
    return Failure(key=key, exception=f"{file_of(key)} is damaged", attempt=0)


def cause(failure: Failure) -> tuple[object, ...]:
    """Equal for failures that have one cause: the exception's type and the lines it came through,
    or else its message, but for numbers."""
    lines = re.findall(r'^ *File "(.*)", line (\d+)', failure.traceback, re.MULTILINE)
    message = re.sub(r"\d[\d.e+-]*", "#", failure.exception)
    kind = failure.exception.partition(":")[0]
    return (kind, *lines) if lines else (message,)


def group_by_cause(failures: Iterable[Failure]) -> list[list[Failure]]:
    """Failures by cause, the most frequent first."""
    groups: dict[tuple[object, ...], list[Failure]] = {}
    for failure in failures:
        groups.setdefault(cause(failure), []).append(failure)
    return sorted(groups.values(), key=len, reverse=True)


def report(failures: Iterable[Failure], command: str) -> list[str]:
    """Lines for people: each cause with its trials, hosts, last traceback lines, and how to
    reproduce it.

    Args:
        failures: to report.
        command: that launches the grid again; `--only KEY` is added to it.
    """
    lines: list[str] = []
    for group in group_by_cause(failures):
        first = group[0]
        hosts = ", ".join(sorted({failure.host for failure in group}))
        tried = max(failure.attempt for failure in group)
        lines.append(f"failed: {plural(len(group), 'trial')}: {first.exception}")
        most = f"{plural(tried, 'attempt')}" + (" at most" if len(group) > 1 else "")
        lines += [f"  on {hosts}; {most}; {shared_fields(group)}"] if tried else []
        lines += [f"  {line}" for line in last_lines(first)]
        lines.append(f"  reproduce one:  {command} --only {first.key}")
    return lines


def last_lines(failure: Failure, most: int = 4) -> list[str]:
    """Where the exception, or what it was raised from, was raised: the end of the traceback
    without the exception."""
    first = failure.traceback.partition("\nThe above exception was the direct cause")[0]
    lines = [line for line in first.splitlines() if line.strip(" ^~")]
    return lines[:-1][-most:]


def shared_fields(group: Iterable[Failure], most: int = 4) -> str:
    """What failed, in short: the values of the fields in which the trials of a group agree."""
    specs: list[Mapping[str, Any]] = [failure.trial for failure in group]
    shown = ("model", "variant", "train_rotation", "adversary", "recipe", "seed")
    words = []
    for field in shown:
        values = list(dict.fromkeys(str(spec.get(field, "?")) for spec in specs))
        more = f", ... ({len(values)})" if len(values) > most else ""
        words.append(f"{field} {', '.join(values[:most])}{more}")
    return "; ".join(words)


def plural(n: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
