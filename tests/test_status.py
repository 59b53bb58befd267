import pytest

from rotgrid import experiment, grid, status
from rotgrid.console import command
from rotgrid.results import checkpoints, failures, inventory, storage
from rotgrid.spec import Probe

GRID = """
name: g
defaults: {data: mnist5k, recipe: fast, train_size: 100, epochs: 1}
blocks: [{model: stdcnn, seed: [0, 1, 2, 3, 4], probes: {n_images: 20}}]
"""
OTHER = GRID.replace("[0, 1, 2, 3, 4]", "7")


@pytest.fixture
def results(tmp_path):
    """A trial in each state, and one of another launch."""
    trials = list(grid.parse(GRID).trials)
    storage.put(tmp_path, "grids/g.yaml", GRID.encode())
    storage.put(tmp_path, "grids/g-1234abcd.yaml", OTHER.encode())
    experiment.run(trials[0], [Probe(n_images=20)], tmp_path)
    tries = failures.Attempts("launch", retries=0)
    failures.record(tmp_path, trials[1], tries, "E: x", host="h")
    failures.record(tmp_path, trials[3], failures.Attempts("launch", retries=3), "E: passing")
    storage.put(tmp_path, f"checkpoints/{trials[2].key()}.training.pt", b"")
    storage.put(tmp_path, f"checkpoints/{trials[4].key()}.pt", b"")
    return tmp_path


def test_watching_shows_running_trainings_until_all_is_done(results, capsys, monkeypatch):
    trials = list(grid.parse(GRID).trials)
    rows = [{"train_loss": 0.5, "val_n": 4, "val_n_correct": n} for n in (1, 3, 2)]
    notes = {"key": trials[2].key(), "trial": trials[2].model_dump(), "rows": rows}
    checkpoint = checkpoints.serialize({"epoch": 3}, notes)
    storage.put(results, checkpoints.training_of(trials[2].key()), checkpoint)

    def go_on(seconds):
        assert seconds == 7
        for path in (results / "grids").glob("*.yaml"):
            path.unlink()
        done = GRID.replace("[0, 1, 2, 3, 4]", "[0, 1]")
        storage.put(results, "grids/done.yaml", done.encode())

    monkeypatch.setattr("rotgrid.watching.time.sleep", go_on)
    assert status.main([str(results), "--watch", "7"]) == 0
    first, second = capsys.readouterr().out.split("curve")[1:]
    line = [trials[2].key(), "stdcnn", "table1", "3/1", "0.5", "50.00%", "▁█▅"]
    assert line in lines(first)
    assert "done" in first
    assert trials[2].key() in second


@pytest.mark.parametrize("seconds", ["0", "-3", "nan", "inf", "x"])
def test_no_time_between_two_looks_is_exit_2(results, seconds, capsys):
    with pytest.raises(SystemExit, match="2"):
        status.main([str(results), f"--watch={seconds}"])
    assert "argument --watch: " in capsys.readouterr().err


def test_a_checkpoint_that_is_no_archive_has_no_curve(results, capsys, monkeypatch):
    def stop(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("rotgrid.watching.time.sleep", stop)
    assert status.main([str(results), "--watch"]) == 0
    key = list(grid.parse(GRID).trials)[2].key()
    assert [key, "?", "0/?"] in lines(capsys.readouterr().out)


def lines(text):
    return [line.split() for line in text.splitlines()]


def test_states_are_read_from_the_files_alone(results, capsys):
    (results / "evaluations" / "bad.parquet").write_text("x")
    assert status.main([str(results)]) == 0
    out, err = capsys.readouterr()
    heads = ["grid", "trials", "done", "trained", "in", "training", "failed", "to", "do", "rows"]
    assert lines(out)[:3] == [
        heads,
        ["g-1234abcd", "1", "0", "0", "0", "0", "1", "0/1"],
        ["g", "5", "1", "1", "1", "1", "1", "1/5"],
    ]
    assert "to be tried again: 1 trial that failed" in out
    assert "E: passing" not in out
    assert "bad.parquet: skipped" in err


def test_a_failure_comes_with_the_command_of_a_grid_that_has_the_trial(results, capsys):
    assert status.main([str(results)]) == 0
    out = capsys.readouterr().out
    key = list(grid.parse(GRID).trials)[1].key()
    assert "failed: 1 trial: E: x\n  on h; 1 attempt; model stdcnn" in out
    again = command("rotgrid.launch", f"{results}/grids/g.yaml", "--results", str(results))
    assert f"reproduce one:  {again} --only {key}" in out
    other = next(iter(grid.parse(OTHER).trials))
    failures.record(results, other, failures.Attempts("launch", retries=0), "E: y")
    assert status.main([str(results)]) == 0
    again = command(
        "rotgrid.launch", f"{results}/grids/g-1234abcd.yaml", "--results", str(results)
    )
    assert f"reproduce one:  {again} --only {other.key()}" in capsys.readouterr().out


def test_trials_are_listed_by_grid_with_their_keys(results, capsys):
    assert status.main([str(results), "--trials"]) == 0
    out = lines(capsys.readouterr().out)
    states = ["done", "failed", "in training", "to do", "trained"]
    for seed, (trial, state) in enumerate(zip(grid.parse(GRID).trials, states, strict=True)):
        rows = "1/1" if state == "done" else "0/1"
        assert [trial.key(), *state.split(), rows, "stdcnn", "table1", str(seed)] in out
    assert ["g-1234abcd:"] in out


def test_every_trial_has_one_state(results):
    stock, plan = inventory.take(results), grid.parse(GRID)
    left = inventory.lacking(plan, stock)
    assert {stock.state(trial, left) for trial in plan.trials} == set(inventory.STATES)


def test_no_results_is_said(tmp_path, capsys):
    assert status.main([str(tmp_path / "none")]) == 2
    assert "no launched grid" in capsys.readouterr().err
    assert status.main(["ftp://x/y"]) == 2


def test_results_that_cannot_be_read_are_exit_5(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert status.main([str(tmp_path / "file")]) == 5
    assert "cannot list" in capsys.readouterr().err
