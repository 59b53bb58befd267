import os
import sys
import time

import pytest

from rotgrid import launch, redrawing
from rotgrid.results import storage

from launched import GRID, wait_for

SLEEPS = """#!/bin/sh
echo "$@" > {0}/command
sleep 60 &
echo $! > {0}/child.tmp
mv {0}/child.tmp {0}/child
wait
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes a script stand for the Python that draws."""

    def put(text):
        path = tmp_path / "python"
        path.write_text(text)
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return put


@pytest.fixture
def said(tmp_path):
    """A results location with a row, and what is said meanwhile."""
    storage.put(tmp_path / "r", "evaluations/a.parquet", b"a")
    return []


def times(tmp_path, said, **seconds):
    given = {"first": 0.0, "every": 0.01} | seconds
    return redrawing.redrawn(str(tmp_path / "r"), str(tmp_path / "out"), said.append, **given)


def test_a_drawing_under_way_is_killed_with_its_children_and_nothing_is_said(
    tmp_path, program, said
):
    program(SLEEPS.format(tmp_path))
    with times(tmp_path, said):
        wait_for((tmp_path / "child").exists)
        child = int((tmp_path / "child").read_text())
        os.kill(child, 0)
        assert os.getpriority(os.PRIO_PGRP, os.getpgid(child)) == redrawing.NICENESS
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    words = (tmp_path / "command").read_text().split()
    assert words == ["-m", "analysis", str(tmp_path / "r"), "--out", str(tmp_path / "out")]
    wait_for(lambda: not alive(child), 5)
    assert said == []


def alive(process):
    """Whether a process runs: a dead one may wait for whoever adopted it."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("echo a trace >&2; echo 'ValueError: why' >&2; exit 1", "ValueError: why"),
        ("exit 1", "exit code 1"),
        ("echo no results; exit 2", None),
        ("echo fine", None),
    ],
)
def test_a_failure_is_said_in_one_line_and_others_are_not(tmp_path, program, said, script, line):
    program(f"#!/bin/sh\n{script}\ntouch {tmp_path}/unused")
    with times(tmp_path, said):
        time.sleep(0.6)
    assert said == ([] if line is None else [f"report not redrawn: {line}"])


def test_a_program_that_is_not_there_is_said(tmp_path, monkeypatch, said):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with times(tmp_path, said):
        wait_for(lambda: said)
    assert "none" in said[0]


def test_it_is_drawn_again_only_when_there_is_something_new(tmp_path, monkeypatch, said):
    drawn = []
    monkeypatch.setattr(redrawing, "draw", lambda *given: drawn.append(given[:2]) or "")
    with times(tmp_path, said):
        wait_for(lambda: drawn)
        time.sleep(0.1)
        assert len(drawn) == 1
        storage.put(tmp_path / "r", "evaluations/b.parquet", b"b")
        wait_for(lambda: len(drawn) == 2)
        time.sleep(0.1)
    assert drawn == [(str(tmp_path / "r"), str(tmp_path / "out"))] * 2


def test_epochs_of_trainings_under_way_are_new(tmp_path, monkeypatch, said):
    from rotgrid.results import checkpoints

    root = tmp_path / "r"
    before = redrawing.state(str(root))
    for epochs in (1, 2):
        notes = {"rows": [{"epoch": epoch} for epoch in range(epochs)]}
        storage.put(root, checkpoints.training_of("ab"), checkpoints.serialize({}, notes))
        after = redrawing.state(str(root))
        assert after != before
        before = after


def test_nothing_is_drawn_before_its_time_or_after_the_end(tmp_path, monkeypatch, said):
    monkeypatch.setattr(redrawing, "draw", lambda *_: said.append("drawn") or "")
    with times(tmp_path, said, first=30.0):
        pass
    assert said == []


def test_results_out_of_reach_are_tried_again(tmp_path, monkeypatch, said):
    tries = []

    def refuse(root):
        tries.append(root)
        raise storage.StoreError("gone")

    monkeypatch.setattr(redrawing, "state", refuse)
    with times(tmp_path, said):
        wait_for(lambda: len(tries) > 1)
    assert said == []


@pytest.mark.parametrize("flags", [[], ["--no-report"]])
def test_a_launch_redraws_unless_no_report_is_wanted(tmp_path, monkeypatch, flags):
    (tmp_path / "g.yaml").write_text(GRID)
    drawn = []
    monkeypatch.setattr(redrawing, "draw", lambda *given: drawn.append(given[:2]) or "")
    monkeypatch.setattr(launch, "draw_report", lambda *_: 0)
    monkeypatch.setattr(redrawing.redrawn.__wrapped__, "__defaults__", (0.0, 0.05))
    root = str(tmp_path / "r")
    assert launch.main([str(tmp_path / "g.yaml"), "--results", root, "--local", *flags]) == 0
    assert set(drawn) == (set() if flags else {(root, f"{root}/report")})
