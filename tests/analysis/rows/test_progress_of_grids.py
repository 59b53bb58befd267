from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import analysis
from analysis.claims import verdicts
from analysis.rows import progress
from analysis.rows.loading import gather
from rotgrid import grid
from rotgrid.results import checkpoints, failures, storage
from rotgrid.results.grids import store_grid
from rotgrid.results.inventory import STATES
from rotgrid.spec import Probe

from made_up import epochs, row, store

TEXT = """\
blocks:
  - {model: stdcnn, data: mnist5k, recipe: fast, seed: [0, 1, 2, 3, 4], probes: {n_images: 50}}
"""
NOW = datetime(2026, 7, 1, 12, 34, tzinfo=UTC)


@pytest.fixture
def plan(tmp_path):
    """Of five trials: the first is done, the second in training, the third trained, the fourth
    has failed."""
    plan = grid.parse(TEXT, "g.yaml")
    store_grid(plan, tmp_path)
    done, running, trained, failed, _ = plan.trials
    store(tmp_path, [row(done, probe) for probe in plan.trials[done]])
    under_way(tmp_path, running, 3)
    under_way(tmp_path, done, 1)  # left behind
    storage.put(tmp_path, checkpoints.weights_of(trained.key()), b"")
    failures.record(tmp_path, failed, failures.Attempts("l", 1), "ValueError: no", final=True)
    return plan


def under_way(root, trial, count, fields=None):
    rows = [
        {name: row[name] for name in ("epoch", "train_loss", "val_n", "val_n_correct", "seconds")}
        for row in epochs(trial, [None] * count)
    ]
    fields = trial.model_dump() if fields is None else fields
    notes = {"key": trial.key(), "trial": fields, "rows": rows}
    name = checkpoints.training_of(trial.key())
    storage.put(root, name, checkpoints.serialize({}, notes))


def test_every_trial_has_its_state(plan, tmp_path):
    found = gather(tmp_path).progress
    assert [found[trial.key()] for trial in plan.trials] == [
        "done", "in training", "trained", "failed", "to do",
    ]  # fmt: skip


def test_a_network_with_some_rows_is_trained_without_its_weights(plan, tmp_path):
    *_, last = plan.trials
    store(tmp_path, [row(last, Probe(attack="pgd", eps=0.1, n_images=50))])
    assert gather(tmp_path).progress[last.key()] == "trained"


def test_epochs_under_way_are_a_table_of_their_own(plan, tmp_path):
    running = [*plan.trials][1]
    loaded = gather(tmp_path)
    assert loaded.unfinished.columns == loaded.training.columns
    assert set(loaded.unfinished["trial"]) == {running.key()}
    assert loaded.unfinished["epoch"].to_list() == [1, 2, 3]
    assert set(loaded.unfinished["seed"]) == {running.seed}
    assert loaded.training.is_empty()
    assert analysis.training(tmp_path).is_empty()


def test_no_verdict_and_no_row_depends_on_trainings_under_way(plan, tmp_path):
    with_them = gather(tmp_path)
    for trial in plan.trials:
        storage.delete(tmp_path, checkpoints.training_of(trial.key()))
    without = gather(tmp_path)
    assert with_them.rows.equals(without.rows)
    assert with_them.problems == without.problems
    assert verdicts.judge(with_them.rows) == verdicts.judge(without.rows)
    assert without.unfinished.is_empty()


@pytest.mark.parametrize("fields", [{}, {"model": "of the future"}])
def test_what_does_not_say_its_network_is_left_out(plan, tmp_path, fields):
    under_way(tmp_path, [*plan.trials][1], 2, fields)
    assert gather(tmp_path).unfinished.is_empty()


def test_words():
    found = dict(enumerate(["done", "done", "in training", "failed", "to do", "trained"]))
    assert progress.in_words(found, NOW) == (
        "2 of 6 networks done, 1 with rows missing, 1 in training, 1 failed, 1 to do. "
        "Drawn on 2026-07-01 at 12:34 UTC."
    )
    assert progress.in_words({1: "done"}, NOW).startswith("1 of 1 networks done. ")
    assert progress.in_words({}, NOW) == "Drawn on 2026-07-01 at 12:34 UTC."


SOME = st.dictionaries(st.sampled_from("abc"), st.sampled_from([*STATES]))


@given(SOME, SOME)
def test_done_is_what_is_done_in_every_grid(one, other):
    both = progress.furthest(one, other)
    assert both.keys() == one.keys() | other.keys()
    for key, state in both.items():
        each = {part[key] for part in (one, other) if key in part}
        assert state in each
        assert (state == "done") == (each == {"done"})
