import pytest

from rotgrid import progress
from rotgrid.progress import Tracker, duration


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_time_left_follows_work_not_trials(clock):
    tracker = Tracker({"big": 3.0, "small": 1.0})
    assert tracker.seconds_left() is None
    tracker.started("big")
    clock.now += 60
    tracker.finished("big", failed=False)
    assert tracker.seconds_left() == pytest.approx(20.0)


def test_lines_without_a_terminal(clock, capsys):
    with Tracker({"a": 1.0, "b": 1.0, "c": 1.0}) as tracker:
        tracker.started("a")
        clock.now += 60
        tracker.finished("a", failed=True)
        tracker.started("b")
        clock.now += 1  # too soon for another line
        tracker.started("c")
        tracker.finished("b", failed=False)
        tracker.finished("c", failed=False)
    assert capsys.readouterr().err.splitlines() == [
        "0/3 trials, 1 running, 0 failed (0 s)",
        "1/3 trials, 1 running, 1 failed, about 120 s left (60 s)",
        "3/3 trials, 0 running, 1 failed (61 s)",
    ]


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with Tracker({"a": 1.0}) as tracker:
        tracker.started("a")
        tracker.finished("a", failed=False)
    assert "1/1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (179, "179 s"), (180, "3 min"), (7200, "2.0 h"), (1e6, "12 days")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words
