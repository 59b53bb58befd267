import json

import pytest

from rotgrid.results import failures, storage
from rotgrid.results.failures import Attempts, Failure
from rotgrid.spec import Trial

TRIAL = Trial(model="stdcnn")
TRIES = Attempts("launch", retries=2)


def boom(message="boom"):
    raise ValueError(message)


def attempt(root, work, tries=TRIES):
    return failures.attempt(work, TRIAL, root, tries)


def test_success_leaves_no_record(tmp_path):
    assert attempt(tmp_path, boom) == "again"
    assert attempt(tmp_path, lambda: None) == "done"
    assert failures.read(tmp_path) == {}


def test_a_record_says_what_where_and_how_often(tmp_path):
    attempt(tmp_path, boom)
    found = failures.find(tmp_path, TRIAL.key())
    assert found == failures.read(tmp_path)[TRIAL.key()]
    assert found.exception == "ValueError: boom"
    assert "in boom" in found.traceback
    assert found.trial == TRIAL.model_dump()
    assert (found.attempt, found.launch, found.final) == (1, "launch", False)
    text = json.loads((tmp_path / "failures" / f"{TRIAL.key()}.json").read_text())
    assert {"trial", "exception", "traceback", "host", "attempt"} <= text.keys()


def test_the_same_exception_twice_is_final(tmp_path):
    assert attempt(tmp_path, boom) == "again"
    assert attempt(tmp_path, boom) == "failed"
    assert failures.find(tmp_path, TRIAL.key()).final


def test_different_exceptions_use_up_the_retries(tmp_path):
    outcomes = [attempt(tmp_path, lambda n=n: boom(f"at {n}")) for n in range(3)]
    assert outcomes == ["again", "again", "failed"]
    assert failures.find(tmp_path, TRIAL.key()).attempt == 3


def test_another_launch_starts_counting_anew(tmp_path):
    attempt(tmp_path, boom)
    attempt(tmp_path, boom)
    assert attempt(tmp_path, boom, Attempts("next", 2)) == "again"
    assert failures.find(tmp_path, TRIAL.key()).attempt == 1


def test_no_retries_is_final_at_once(tmp_path):
    assert attempt(tmp_path, boom, Attempts("launch", 0)) == "failed"


def caused(error, cause):
    error.__cause__ = cause
    return error


OTHERS = [
    MemoryError(),
    OSError(28, "No space left on device"),
    ConnectionError("reset"),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 7 bytes"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    caused(RuntimeError("attack pgd"), MemoryError()),
]


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_what_lacks_at_the_machine_is_tried_as_often_as_allowed(tmp_path, error):
    """The same exception says nothing of the next attempt."""

    def work():
        raise error from error.__cause__

    assert [attempt(tmp_path, work) for _ in range(3)] == ["again", "again", "failed"]


@pytest.mark.parametrize("error", [ValueError("x"), caused(RuntimeError("x"), KeyError("y"))])
def test_exceptions_of_the_trial_come_again(error):
    assert failures.is_own_failure(error)


def test_a_machine_s_fault_is_not_recorded(tmp_path):
    def no_gpu():
        raise failures.MachineError("no GPU")

    with pytest.raises(failures.MachineError):
        attempt(tmp_path, no_gpu)
    assert failures.read(tmp_path) == {}


class Outages:
    """Work on results that are out of reach some times."""

    def __init__(self, times, error="cannot write x: connection reset"):
        self.times, self.error, self.calls = times, storage.StoreError(error), 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error


@pytest.mark.parametrize("times", [1, failures.OUTAGES])
def test_an_outage_is_waited_for_and_no_attempt(tmp_path, times):
    work, said = Outages(times), []
    tries = Attempts("launch", retries=0)
    assert failures.attempt(work, TRIAL, tmp_path, tries, said.append) == "done"
    assert work.calls == times + 1
    assert said == times * [f"{TRIAL.key()}: cannot write x: connection reset"]
    assert failures.read(tmp_path) == {}


def test_outages_that_do_not_end_are_raised(tmp_path):
    """Also if the results can be written, and only this work cannot."""
    work = Outages(99)
    with pytest.raises(storage.StoreError, match="connection reset"):
        attempt(tmp_path, work)
    assert work.calls == failures.OUTAGES + 1
    assert failures.read(tmp_path) == {}


def test_a_store_that_stays_away_or_is_full_is_raised_at_once(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(storage, "wait_until_writable", lambda *a: waited.append(a) or "away")
    with pytest.raises(storage.StoreError, match="away"):
        attempt(tmp_path, Outages(1))
    assert waited == [(tmp_path, storage.OUTAGE_SECONDS)]

    def full():
        raise storage.StoreError(28, "No space left on device")

    with pytest.raises(storage.StoreError, match="No space"):
        attempt(tmp_path, full)
    assert len(waited) == 1


def test_a_failure_that_cannot_be_recorded_is_an_outage(tmp_path, monkeypatch):
    """The work is done again, since nobody knows any more how it failed."""
    put, left = storage.put, [1]

    def once_away(*args):
        if args[1].startswith("failures/") and left:
            left.pop()
            raise storage.StoreError("reset")
        put(*args)

    monkeypatch.setattr(storage, "put", once_away)
    assert attempt(tmp_path, boom) == "again"
    assert failures.find(tmp_path, TRIAL.key()).attempt == 1


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"attempt": "x"}'])
def test_a_damaged_record_is_a_final_failure(tmp_path, content):
    """It is named, and nothing else is made up."""
    key = TRIAL.key()
    storage.put(tmp_path, f"failures/{key}.json", content.encode())
    (found,) = failures.read(tmp_path).values()
    assert (found.key, found.final, found.attempt) == (key, True, 0)
    assert failures.report([found], "again") == [
        f"failed: 1 trial: failures/{key}.json is damaged",
        f"  reproduce one:  again --only {key}",
    ]


def test_the_report_of_another_trial_is_none(tmp_path):
    failures.record(tmp_path, TRIAL, failures.Attempts("launch", retries=0), "E: x")
    data = storage.get(tmp_path, failures.file_of(TRIAL.key()))
    storage.put(tmp_path, "failures/0123456789abcdef.json", data)
    storage.put(tmp_path, "failures/notes.json", data)
    found = failures.read(tmp_path)
    assert {key: failure.attempt for key, failure in found.items()} == {
        TRIAL.key(): 1,
        "0123456789abcdef": 0,
    }


def test_fields_of_other_versions_are_ignored(tmp_path):
    key = TRIAL.key()
    old = {"key": key, "exception": "E: x", "host": "h", "attempt": 4, "more": 1}
    storage.put(tmp_path, f"failures/{key}.json", json.dumps(old).encode())
    assert failures.read(tmp_path)[key].host == "h"


def failure(key, exception, line=None, **fields):
    trace = f'Traceback\n  File "a.py", line {line}, in f\n    g()\nE' if line else ""
    return Failure(key=key, exception=exception, traceback=trace, **fields)


def test_failures_are_grouped_by_cause():
    numbers = [failure(str(n), f"DivergedError: loss {n}.5e3 in epoch {n}", 7) for n in range(3)]
    other_line = failure("x", "DivergedError: loss 1", 8)
    lost = [failure("y", "ProcessDied: on 10.0.0.7"), failure("z", "ProcessDied: on 10.0.0.8")]
    groups = failures.group_by_cause([other_line, *numbers, *lost])
    assert [[f.key for f in group] for group in groups] == [["0", "1", "2"], ["y", "z"], ["x"]]


def test_the_report_names_cause_hosts_networks_and_the_command():
    spec = TRIAL.model_dump()
    group = [failure(k, "E: x", 3, host=f"h{k}", trial={**spec, "seed": int(k)}) for k in "012345"]
    text = "\n".join(failures.report(group, "python -m rotgrid.launch g.yaml"))
    assert "failed: 6 trials: E: x" in text
    assert "on h0, h1, h2, h3, h4, h5; 1 attempt at most; model stdcnn" in text
    assert "seed 0, 1, 2, 3, ... (6)" in text
    assert "g()" in text
    assert "reproduce one:  python -m rotgrid.launch g.yaml --only 0" in text


def test_the_report_shows_where_it_began(tmp_path):
    def work():
        try:
            boom()
        except ValueError as error:
            raise RuntimeError("attack pgd") from error

    attempt(tmp_path, work)
    text = "\n".join(failures.report(failures.read(tmp_path).values(), "again"))
    assert "RuntimeError: attack pgd" in text
    assert "raise ValueError(message)" in text
    assert "raise RuntimeError" not in text
