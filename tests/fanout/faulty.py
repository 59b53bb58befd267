"""`python -m rotgrid.launch` with trials that misbehave:
`python tests/fanout/faulty.py FAULT ...`.

A fault wraps `fanout.attempt.run_trial`, so it happens in the actors. `first` faults happen at a
trial's first attempt only.
"""

import datetime
import json
import os
import pathlib
import signal
import sys
import time
from unittest import mock

from rotgrid import launch
from rotgrid.fanout import tune
from rotgrid.results import storage

HOURS = 11


def first(config, shared, what):
    """Whether this is the first time that the trial comes here."""
    marks = pathlib.Path(shared["results_in"], "marks")
    marks.mkdir(parents=True, exist_ok=True)
    try:
        (marks / f"{what}-{config['key']}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def in_epoch(number, act):
    """Have the training call `act` at the start of an epoch; what it returns is the loss."""
    from rotgrid import training

    real = training.train_epoch

    def train_epoch(*args):
        loss = act() if args[5] == number else None
        return real(*args) if loss is None else loss

    return mock.patch.object(training, "train_epoch", train_epoch)


def raises():
    raise ValueError("a passing trouble")


def hangs():
    time.sleep(3600)


def freezes():
    os.kill(os.getpid(), signal.SIGSTOP)


def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def diverges():
    return float("nan")


def by_range(acts, repeated):
    """Trials misbehave by their range of rotation, at the first attempt or at each."""

    def run_trial(config, shared):
        act = acts.get(json.loads(config["trial"])["train_rotation"])
        if act and (repeated or first(config, shared, "misbehaved")):
            with in_epoch(2, act):
                return real(config, shared)
        return real(config, shared)

    return run_trial


def everywhere(act):
    def run_trial(config, shared):
        with in_epoch(1, act):
            return real(config, shared)

    return run_trial


def skewed(config, shared):
    """The wall clock of the node is hours ahead, and at a second attempt behind."""
    from rotgrid.results import provenance

    ahead = datetime.timedelta(hours=HOURS if first(config, shared, "skewed") else -HOURS)
    right, now = datetime.datetime, time.time

    class Skewed(right):
        @classmethod
        def now(cls, tz=None):
            return right.now(tz) + ahead

    with (
        mock.patch.object(provenance.datetime, "datetime", Skewed),
        mock.patch("time.time", side_effect=lambda: now() + ahead.total_seconds()),
    ):
        return real(config, shared)


def undisturbed(config, shared):
    return real(config, shared)


def outage(config, shared):
    """At each trial's first checkpoint the results are out of reach."""
    put = storage.put

    def fails_once(root, name, data):
        if name.startswith("checkpoints/") and first(config, shared, "outage"):
            raise storage.StoreError("cannot write: connection reset")
        put(root, name, data)

    with mock.patch.object(storage, "put", fails_once):
        return real(config, shared)


def after_each_epoch(run_trial):
    """Checkpoints are written after each epoch: a minute is more than these tests take."""

    def wrapped(config, shared):
        from rotgrid import training

        with mock.patch.object(training, "CHECKPOINT_SECONDS", 0.0):
            return run_trial(config, shared)

    return wrapped


FAULTS = {
    "none": undisturbed,
    "outage": outage,
    "passing": by_range({0: raises, 60: is_killed, 120: hangs, 180: freezes}, repeated=False),
    "lasting": by_range({0: diverges, 60: is_killed}, repeated=True),
    "all-raise": everywhere(raises),
    "skewed": skewed,
}

if __name__ == "__main__":
    real, tune.run_trial = tune.run_trial, after_each_epoch(FAULTS[sys.argv[1]])
    sys.exit(launch.main(sys.argv[2:]))
