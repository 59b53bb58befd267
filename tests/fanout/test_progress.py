import pytest

from rotgrid.console import duration
from rotgrid.fanout import progress
from rotgrid.fanout.progress import Tracker


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def run(tracker, clock, key, seconds, failed=False):
    """One trial from start to end, nothing beside it."""
    tracker.started(key)
    clock.now += seconds
    tracker.finished(key, failed)


def test_nothing_is_said_before_a_trial_is_done(clock):
    tracker = Tracker({"a": 10.0, "b": 10.0})
    assert tracker.seconds_left() is None
    run(tracker, clock, "a", 1.0, failed=True)
    assert tracker.seconds_left() is None
    run(tracker, clock, "b", 20.0)
    assert tracker.seconds_left() == 0


def test_what_trials_take_corrects_what_is_expected(clock):
    tracker = Tracker({"a": 10.0, "b": 30.0, "c": 60.0})
    run(tracker, clock, "a", 50.0)  # five times as long
    assert tracker.seconds_left() == pytest.approx(5 * 90)
    run(tracker, clock, "b", 30.0)
    assert tracker.seconds_left() == pytest.approx(60 * 80 / 40)


def test_kinds_are_learned_apart(clock):
    """Expectations off by 5 either way are right after one trial of each kind."""
    true = {f"{kind}{k}": 100.0 for kind in "ab" for k in range(4)}
    kinds = {key: key[0] for key in true}
    tracker = Tracker({k: x / 5 if k[0] == "a" else x * 5 for k, x in true.items()}, kinds)
    run(tracker, clock, "a0", 100.0)
    assert tracker.seconds_left() == pytest.approx(300 + 5 * 2000)  # b as a: nothing else is known
    run(tracker, clock, "b0", 100.0)
    assert tracker.seconds_left() == pytest.approx(600)


def test_time_used_by_running_trials_counts(clock):
    tracker = Tracker({"a": 10.0, "b": 10.0, "c": 10.0})
    run(tracker, clock, "a", 10.0)
    tracker.started("b")
    clock.now += 4
    assert tracker.seconds_left() == pytest.approx(6 + 10)


def test_as_many_at_once_as_have_run(clock):
    tracker = Tracker({str(k): 10.0 for k in range(10)})
    for key in "0123":
        tracker.started(key)
    clock.now += 10
    for key in "0123":
        tracker.finished(key, failed=False)
    assert tracker.seconds_left() == pytest.approx(60 / 4)


def test_the_longest_trial_is_the_least_that_is_left(clock):
    tracker = Tracker({"long": 100.0, "a": 10.0, "b": 10.0, "c": 10.0})
    for key in "abc":
        tracker.started(key)
    clock.now += 10
    for key in "abc":
        tracker.finished(key, failed=False)
    assert tracker.seconds_left() == pytest.approx(100)
    tracker.started("long")
    clock.now += 60
    assert tracker.seconds_left() == pytest.approx(40)
    clock.now += 140  # twice what was expected
    assert tracker.seconds_left() == pytest.approx(20)
    tracker.finished("long", failed=False)
    assert tracker.seconds_left() == 0


def test_a_trial_tried_again_is_still_to_do(clock):
    tracker = Tracker({"a": 10.0, "b": 10.0, "c": 10.0})
    run(tracker, clock, "a", 10.0)
    tracker.started("b")
    clock.now += 5
    tracker.requeued("b")
    assert tracker.running == set()
    assert tracker.seconds_left() == pytest.approx(20)
    run(tracker, clock, "c", 10.0)
    run(tracker, clock, "b", 10.0)  # 15 with the attempt that was lost
    assert tracker.done == {"a", "b", "c"}
    assert tracker.failed == set()
    assert tracker.seconds_left() == 0


def test_lost_attempts_make_trials_longer(clock):
    tracker = Tracker({"a": 10.0, "b": 10.0})
    tracker.started("a")
    clock.now += 5
    tracker.requeued("a")
    run(tracker, clock, "a", 10.0)
    assert tracker.seconds_left() == pytest.approx(15)


def test_what_never_ran_is_not_waited_for(clock):
    tracker = Tracker({"a": 10.0, "b": 10.0})
    run(tracker, clock, "a", 10.0)
    tracker.finished("b", failed=True)
    assert tracker.seconds_left() == 0


def test_many_trials_cost_little(clock, monkeypatch):
    """Calls look at what runs and at what is the longest, never at all trials."""
    looked = 0
    real = progress.Forecast._slower

    def counted(self, kind):
        nonlocal looked
        looked += 1
        return real(self, kind)

    monkeypatch.setattr(progress.Forecast, "_slower", counted)
    keys = [str(k) for k in range(10_000)]
    tracker = Tracker(dict.fromkeys(keys, 1.0), {key: key[-1] for key in keys})
    for key in keys[:1_000]:
        run(tracker, clock, key, 1.0)
        tracker.seconds_left()
    assert looked < 1_000 * 50
    assert tracker.seconds_left() == pytest.approx(9_000)


def test_lines_without_a_terminal(clock, capsys):
    with Tracker({"a": 60.0, "b": 1.0, "c": 1.0, "d": 1.0}) as tracker:
        tracker.started("a")
        clock.now += 60
        tracker.finished("a", failed=False)
        tracker.started("b")
        clock.now += 1  # too soon for another line
        tracker.started("c")
        tracker.finished("b", failed=True)
        clock.now += 10
        tracker.tick()
        tracker.requeued("c")
        tracker.started("c")
        tracker.started("d")
        clock.now += 20
        tracker.tick()
        tracker.finished("c", failed=False)
        tracker.finished("d", failed=False)
    assert capsys.readouterr().err.splitlines() == [
        "0/4 trials, 1 running, 0 failed (0 s)",
        "1/4 trials, 1 running, 0 failed, about 3 s left (60 s)",
        "2/4 trials, 1 running, 1 failed, about 1 s left (71 s)",
        "2/4 trials, 2 running, 1 failed, 1 retried, about 2 s left (91 s)",
        "4/4 trials, 0 running, 1 failed, 1 retried (91 s)",
    ]


def test_lines_become_rarer_on_long_runs(clock, capsys):
    tracker = Tracker({"a": 1.0})
    tracker.started("a")
    for _ in range(10_000):
        clock.now += 10
        tracker.tick()
    assert len(capsys.readouterr().err.splitlines()) < 600


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with Tracker({"a": 1.0}) as tracker:
        tracker.started("a")
        tracker.finished("a", failed=False)
    assert "1/1" in capsys.readouterr().err


def test_lines_say_which_trials_run_and_what_they_are_at(clock, capsys):
    keys = [str(k) * 16 for k in range(9)]
    with Tracker(dict.fromkeys(keys, 1.0), dict.fromkeys(keys, "gcnn halved")) as tracker:
        tracker.started(keys[0])
        tracker.doing(keys[0], "epoch 1 of 2")
        tracker.say("something [of] note")
        clock.now += 11
        tracker.doing(keys[0], "epoch 2 of 2")
        for key in keys[1:]:
            tracker.started(key)
        clock.now += 11
        tracker.tick()
        tracker.finished(keys[0], failed=False)
        for key in keys[1:]:
            tracker.requeued(key)
    assert capsys.readouterr().err.splitlines() == [
        "0/9 trials, 1 running, 0 failed (0 s)",
        "something [of] note",
        "0/9 trials, 1 running (gcnn halved 00000000: epoch 2 of 2), 0 failed (11 s)",
        "0/9 trials, 9 running (gcnn halved 00000000: epoch 2 of 2; 8 more), 0 failed (22 s)",
        "1/9 trials, 0 running, 0 failed, 8 retried (22 s)",
    ]


def test_a_bar_says_which_trials_run_and_what_they_are_at(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(progress, "BAR_SECONDS", 0.0)
    with Tracker({"a": 1.0}, {"a": "gcnn halved"}) as tracker:
        tracker.started("a")
        tracker.doing("a", "attack [pgd]")
        tracker.say("something [of] note")
        assert "gcnn halved a: attack [pgd]" in capsys.readouterr().err
        tracker.finished("a", failed=False)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (179, "179 s"), (180, "3 min"), (7200, "2.0 h"), (1e6, "12 days")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_waiting_for_nodes_is_said(clock, capsys):
    with Tracker({"a": 1.0}) as tracker:
        clock.now += 11
        tracker.tick()
        clock.now += 60
        tracker.tick()
        tracker.started("a")
        clock.now += 11
        tracker.tick()
        tracker.finished("a", failed=False)
    assert capsys.readouterr().err.splitlines() == [
        "0/1 trials, 0 running, 0 failed (11 s)",
        "0/1 trials, 0 running, 0 failed, waiting for a node that has room (71 s)",
        "0/1 trials, 1 running, 0 failed (82 s)",
        "1/1 trials, 0 running, 0 failed (82 s)",
    ]
