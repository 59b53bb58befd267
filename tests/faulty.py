"""`python tests/faulty.py FAULT ...`: `python -m rotgrid.launch ...` with trials that misbehave.

A fault wraps `cluster.run_trial`, so it happens in the actors. `first` faults happen at a trial's
first attempt only.
"""

import datetime
import os
import pathlib
import signal
import sys
import time
from unittest import mock

from rotgrid import cluster, launch

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
        loss = act() if args[6] == number else None
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


def once(act):
    def run_trial(config, shared):
        if first(config, shared, act.__name__):
            with in_epoch(2, act):
                return real(config, shared)
        return real(config, shared)

    return run_trial


def one_trial(act):
    """Always, in the first trial that comes."""

    def run_trial(config, shared):
        chosen = pathlib.Path(shared["results_in"], "chosen")
        try:
            with open(chosen, "x") as file:
                file.write(config["key"])
        except FileExistsError:
            pass
        if chosen.read_text() != config["key"]:
            return real(config, shared)
        with in_epoch(2, act):
            return real(config, shared)

    return run_trial


def everywhere(act):
    def run_trial(config, shared):
        with in_epoch(1, act):
            return real(config, shared)

    return run_trial


def skewed(config, shared):
    """The wall clock of the node is hours ahead, and at a second attempt behind."""
    from rotgrid import experiment

    ahead = datetime.timedelta(hours=HOURS if first(config, shared, "skewed") else -HOURS)
    right, now = datetime.datetime, time.time

    class Skewed(right):
        @classmethod
        def now(cls, tz=None):
            return right.now(tz) + ahead

    with (
        mock.patch.object(experiment.datetime, "datetime", Skewed),
        mock.patch("time.time", side_effect=lambda: now() + ahead.total_seconds()),
    ):
        return real(config, shared)


FAULTS = {
    "raises-once": once(raises),
    "hangs-once": once(hangs),
    "freezes-once": once(freezes),
    "killed-once": once(is_killed),
    "one-diverges": one_trial(diverges),
    "one-is-killed": one_trial(is_killed),
    "all-raise": everywhere(raises),
    "skewed": skewed,
}

if __name__ == "__main__":
    real, cluster.run_trial = cluster.run_trial, FAULTS[sys.argv[1]]
    sys.exit(launch.main(sys.argv[2:]))
