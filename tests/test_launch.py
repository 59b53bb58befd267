import os
import re
import shlex
import subprocess
import sys

import polars as pl
import pytest

import analysis
from rotgrid import arguments, compact, experiment, grid, launch
from rotgrid.console import command
from rotgrid.cost import speed
from rotgrid.results import storage
from rotgrid.spec import Trial
from rotgrid.todo import find_todo

from launched import GRID, ROOT
from stored_rows import stored


@pytest.fixture
def grid_file(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text(GRID)
    return path


def run(grid_file, root, *flags):
    arguments = [str(grid_file), "--results", str(root), "--local", "--no-report", *flags]
    return launch.main(arguments)


def test_plan_says_what_would_be_done(grid_file, tmp_path, capsys):
    assert run(grid_file, tmp_path / "r", "--plan") == 0
    out = " ".join(capsys.readouterr().out.split())
    for fact in (
        "trials 2 networks",
        "rows 6 (trial, probe) pairs",
        "cartesian 8 cells: 2 train_rotation, 2 attack, 2 eps",
        "done 0 rows, 0 trials",
        "to do 2 networks to train, 6 rows to measure",
        "train_rotation 0, 60",
        "eps 0, 0.1, 0.2",
    ):
        assert fact in out
    amount = r"[\d.]+ \w+"
    assert re.search(rf"time {amount} \({amount} to {amount}\) with \d+ trials? at once", out)
    assert re.search(r"work [\d.]+ \([\d.]+ to [\d.]+\) core hours", out)
    assert "estimate a guess" in out
    assert " cost " not in out
    assert not (tmp_path / "r").exists()


def facts_of(plan, capsys, *flags):
    """The facts that `--plan` prints, by name."""
    assert launch.main([str(plan), "--plan", *flags]) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    return {line.split()[0]: line.partition(" ")[2].strip() for line in lines}


def test_plan_adds_up_time_work_and_money(grid_file, tmp_path, capsys, monkeypatch):
    """Two trials of an hour each: 12 epochs of 100 and 500 images, 12 ms each."""

    class Known(speed.Speed):
        def training(self, trial):
            return 3.0 * trial.epochs * trial.train_size

        def measuring(self, trial, probes):
            return 0.0

        def origin(self, network):
            return "known", (0.5, 2.0)

    monkeypatch.setattr(speed, "learn", lambda *_: Known())
    at = ("--results", str(tmp_path / "r"), "--set", "blocks.b.epochs=12")
    found = facts_of(grid_file, capsys, *at, "--slots", "1", "--price", "3")
    assert found["time"] == "2.0 h (60 min to 4.0 h) with 1 trial at once"
    assert found["work"] == "2 (1 to 4) core hours"
    assert found["cost"] == "6.00 (3.00 to 12.00) at 3.00 per core hour"
    assert found["estimate"] == "known"
    found = facts_of(grid_file, capsys, *at, "--slots", "100")
    assert found["time"] == "60 min (30 min to 2.0 h) with 100 trials at once"
    assert "cost" not in found
    share = (*at, "--set", "resources.gpu=0.25", "--price", "3")
    found = facts_of(grid_file, capsys, *share)
    assert found["work"] == "0.5 (0.25 to 1) GPU hours"
    assert found["cost"] == "1.50 (0.75 to 3.00) at 3.00 per GPU hour"
    found = facts_of(grid_file, capsys, *at, "--set", "resources.cpu=3")
    assert found["work"] == "6 (3 to 12) core hours"


@pytest.mark.parametrize(
    "flags",
    [("--price", "0"), ("--price", "-1"), ("--price", "nan"), ("--price", "inf"), ("--price", "x"),
     ("--slots", "0"), ("--slots", "-2"), ("--slots", "1.5"), ("--slots", "99999999999")],
)  # fmt: skip
def test_a_bad_price_or_number_of_slots_is_exit_2(grid_file, flags, capsys):
    with pytest.raises(SystemExit, match="2"):
        launch.main([str(grid_file), "--plan", *flags])
    assert f"argument {flags[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--local", "--address", "auto"), "--local is without Ray"),
        (("--slots", "2"), "--slots is for --plan"),
        (("--price", "3"), "--price is for --plan"),
        (("--trials",), "--trials is for --plan"),
    ],
)
def test_an_option_that_would_do_nothing_is_exit_2(grid_file, flags, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        launch.main([str(grid_file), *flags])
    assert message in capsys.readouterr().err


def test_the_estimate_names_the_trials_it_is_from(grid_file, tmp_path, capsys):
    assert run(grid_file, tmp_path / "r") == 0
    capsys.readouterr()
    at = ("--results", str(tmp_path / "r"), "--set", "blocks.b.seed=[0, 1]")
    assert facts_of(grid_file, capsys, *at)["estimate"] == "from 2 trials finished here"
    elsewhere = facts_of(grid_file, capsys, "--results", str(tmp_path / "other"))
    assert elsewhere["estimate"] == speed.GUESS
    done = facts_of(grid_file, capsys, "--results", str(tmp_path / "r"))
    assert "time" not in done


def test_plan_reads_the_results_once(grid_file, tmp_path, capsys, monkeypatch):
    assert run(grid_file, tmp_path) == 0
    get, got = storage.get, []
    monkeypatch.setattr(storage, "get", lambda root, name: got.append(name) or get(root, name))
    assert run(grid_file, tmp_path, "--plan", "--trials", "--set", "blocks.b.seed=[0, 1]") == 0
    assert sorted(set(got)) == sorted(got)
    assert {name.partition("/")[0] for name in got} == {"evaluations", "training"}


def test_plan_of_new_results_needs_no_keys(grid_file, tmp_path, capsys, monkeypatch):
    """There are thousands in a large grid, which takes a while."""
    monkeypatch.setattr(Trial, "key", None)
    assert run(grid_file, tmp_path, "--plan") == 0


def test_launching_again_does_nothing_and_says_so(grid_file, tmp_path, capsys, monkeypatch):
    assert run(grid_file, tmp_path / "r") == 0
    assert len(stored(tmp_path / "r")) == 6
    monkeypatch.setattr(experiment, "run", None)
    assert run(grid_file, tmp_path / "r") == 0
    assert "nothing to do: 2 trials, 6 rows are in" in capsys.readouterr().out


def test_an_eps_more_measures_only_the_new_probes(grid_file, tmp_path, monkeypatch, capsys):
    run(grid_file, tmp_path / "r")
    before = stored(tmp_path / "r")
    more = ("--set", "blocks.b.probes.0.eps=[0.1, 0.2, 0.3]")
    run(grid_file, tmp_path / "r", "--plan", *more)
    assert "0 networks to train, 2 rows to measure" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr(experiment, "fit", None)  # would fail if it were called
    assert run(grid_file, tmp_path / "r", *more) == 0
    after = stored(tmp_path / "r")
    assert len(after) == 8
    assert [row for row in after if row["eps"] != 0.3] == before
    monkeypatch.undo()
    assert run(grid_file, tmp_path / "fresh", *more) == 0
    assert stored(tmp_path / "fresh") == after


def test_a_seed_more_trains_only_that_seed(grid_file, tmp_path, monkeypatch):
    run(grid_file, tmp_path / "r")
    trained = []
    real = experiment.fit

    def spy(model, dataset, trial, *more, **settings):
        trained.append(trial.seed)
        return real(model, dataset, trial, *more, **settings)

    monkeypatch.setattr(experiment, "fit", spy)
    assert run(grid_file, tmp_path / "r", "--set", "blocks.b.seed=[0, 1]") == 0
    assert trained == [1, 1]


def test_failed_trials_are_recorded_skipped_and_tried_again(grid_file, tmp_path, capsys):
    wild = ("--set", "blocks.b.learning_rate=[1e9, 5e-3]")
    assert run(grid_file, tmp_path / "r", *wild) == 3
    err = capsys.readouterr().err
    assert re.search("failed: 2 trials: DivergedError", err)
    hint = next(line for line in err.splitlines() if "--retry-failed" in line)
    words = shlex.split(hint.partition(":  ")[2])[3:]
    args = arguments.parse_arguments(words)
    assert (args.results, args.set, args.local) == (str(tmp_path / "r"), [wild[1]], True)
    assert len(stored(tmp_path / "r")) == 6
    attempts = [p.stat().st_mtime_ns for p in (tmp_path / "r/failures").iterdir()]
    assert run(grid_file, tmp_path / "r", *wild) == 3
    assert [p.stat().st_mtime_ns for p in (tmp_path / "r/failures").iterdir()] == attempts
    assert run(grid_file, tmp_path / "r", *wild, "--plan") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "done 6 rows, 2 trials failed 2 trials" in out
    assert "to do 0 networks to train, 0 rows" in out
    assert run(grid_file, tmp_path / "r", *wild, "--retry-failed", "--plan") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "done 6 rows, 2 trials failed 2 trials" in out
    assert "to do 2 networks to train, 6 rows" in out
    assert run(grid_file, tmp_path / "r", *wild, "--retry-failed") == 3
    assert [p.stat().st_mtime_ns for p in (tmp_path / "r/failures").iterdir()] != attempts


def test_results_go_below_the_folder_of_the_environment(grid_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROTGRID_RESULTS", str(tmp_path / "all") + "/")
    assert launch.main([str(grid_file), "--plan"]) == 0
    assert str(tmp_path / "all/g") in capsys.readouterr().out
    args = arguments.parse_arguments([str(grid_file)])
    launch.results_of(grid.read(grid_file), args)
    assert (
        arguments.parse_arguments(shlex.split(arguments.relaunch_command(args))[3:]).results
        == args.results
    )
    monkeypatch.setenv("ROTGRID_RESULTS", " ")
    monkeypatch.chdir(tmp_path)
    assert launch.main([str(grid_file), "--plan"]) == 0
    assert str(tmp_path / "results/g") in capsys.readouterr().out
    monkeypatch.setenv("ROTGRID_RESULTS", "~/all")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert launch.main([str(grid_file), "--plan"]) == 0
    assert str(tmp_path / "all/g") in capsys.readouterr().out


def test_only_runs_one_trial(grid_file, tmp_path, capsys):
    first = next(iter(grid.read(grid_file).trials))
    assert run(grid_file, tmp_path / "r", "--only", first.key()[:6]) == 0
    assert {row["trial"] for row in stored(tmp_path / "r")} == {first.key()}
    capsys.readouterr()
    assert run(grid_file, tmp_path / "r", "--only", first.key()) == 0
    assert "nothing to do: 1 trials, 3 rows are in" in capsys.readouterr().out


@pytest.mark.parametrize("prefix", ["", "zz", "11cebd923134e96b "])
def test_only_what_may_be_a_key(grid_file, tmp_path, prefix, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(grid_file, tmp_path / "r", "--only", prefix)
    assert f"argument --only: {prefix!r} is not how a key begins" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_only_one_trial_at_once(grid_file, tmp_path, capsys):
    seeds = "--set=blocks.b.seed=[" + ", ".join(map(str, range(40))) + "]"
    keys = [trial.key() for trial in grid.read(grid_file, [seeds.removeprefix("--set=")]).trials]
    digit = max("0123456789abcdef", key=lambda first: sum(key[0] == first for key in keys))
    assert run(grid_file, tmp_path / "r", seeds, "--only", digit) == 2
    found = capsys.readouterr().err
    assert (
        f"--only {digit}: {sum(key[0] == digit for key in keys)} trials have such a key" in found
    )
    assert run(grid_file, tmp_path / "r", "--only", "0" * 16) == 2
    assert "no trial has such a key; `--plan --trials`" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_trials_are_listed_with_their_keys_and_what_they_differ_in(grid_file, tmp_path, capsys):
    first, second = grid.read(grid_file).trials
    assert run(grid_file, tmp_path / "r", "--only", first.key()) == 0
    capsys.readouterr()
    assert run(grid_file, tmp_path / "r", "--plan", "--trials") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["trial", "state", "rows", "model", "variant", "train_rotation"] in lines
    assert [first.key(), "done", "3/3", "stdcnn", "table1", "0"] in lines
    assert [second.key(), "to", "do", "0/3", "stdcnn", "table1", "60"] in lines
    assert any(
        "data mnist5k, train_size 100, train_translation 0, adversary none" in " ".join(line)
        for line in lines
    )


def test_trained_networks_without_rows_are_told_from_missing_ones(grid_file, tmp_path, capsys):
    first = next(iter(grid.read(grid_file).trials))
    experiment.run(first, [], tmp_path / "r")
    run(grid_file, tmp_path / "r", "--plan")
    out = " ".join(capsys.readouterr().out.split())
    assert "trained 1 networks whose rows are missing" in out
    assert "to do 1 networks to train, 6 rows to measure" in out


def test_a_bad_grid_is_exit_2_with_every_problem(tmp_path, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text("blocks: [{model: gcn, sed: 3}]")
    assert run(bad, tmp_path / "r") == 2
    err = capsys.readouterr().err
    assert "bad.yaml:1:18: blocks.0.model" in err
    assert "did you mean 'seed'?" in err
    assert not (tmp_path / "r").exists()


def test_missing_data_are_exit_4_before_any_work(tmp_path, monkeypatch, capsys):
    full = tmp_path / "full.yaml"
    full.write_text("blocks: [{model: stdcnn, data: mnist}]")
    monkeypatch.setenv("ROTGRID_DATA", str(tmp_path))
    assert run(full, tmp_path / "r") == 4
    assert "train-images-idx3-ubyte (or .gz): not found" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_results_that_cannot_be_written_are_exit_5(grid_file, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run(grid_file, tmp_path / "file" / "r") == 5
    assert "Not a directory" in capsys.readouterr().err
    assert run(grid_file, "ftp://x/y") == 2


def test_an_unreachable_cluster_is_exit_5(grid_file, tmp_path, capsys):
    arguments = [str(grid_file), "--results", str(tmp_path / "r"), "--address", "127.0.0.1:1"]
    assert launch.main(arguments) == 5
    assert "no Ray cluster at 127.0.0.1:1" in capsys.readouterr().err


def test_interruption_keeps_what_is_done_and_says_how_to_go_on(
    grid_file, tmp_path, capsys, monkeypatch
):
    real = experiment.run

    def interrupted(trial, *args, **kwargs):
        if storage.names(tmp_path / "r", "evaluations", ".parquet"):
            raise KeyboardInterrupt
        return real(trial, *args, **kwargs)

    monkeypatch.setattr(experiment, "run", interrupted)
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    assert run(grid_file, tmp_path / "r") == 130
    assert "-m rotgrid.launch" in capsys.readouterr().err
    assert len(stored(tmp_path / "r")) == 3


def test_the_printed_command_asks_for_the_same_again(grid_file):
    words = [str(grid_file), "--results", "a b/$(x)", "--set", "blocks.b.seed=[0, 1]", "--local",
             "--only", "ab", "--retry-failed", "--no-report", "--block", "b"]  # fmt: skip
    args = arguments.parse_arguments(words)
    again = shlex.split(arguments.relaunch_command(args))
    assert arguments.parse_arguments(again[3:]) == args
    assert again[1:3] == ["-m", "rotgrid.launch"]
    assert "--only" not in arguments.relaunch_command(args, only=None)


def test_a_grid_is_launched_from_its_stored_copy(grid_file, tmp_path):
    changed = ("--set", "blocks.b.seed=[0, 1]")
    assert run(grid_file, tmp_path / "r", *changed) == 0
    copy = tmp_path / "r/grids/g.yaml"
    assert grid.read(copy) == grid.read(grid_file, changed[1:])
    assert launch.main([copy.as_uri(), "--results", str(tmp_path / "r"), "--plan"]) == 0
    assert launch.main([f"{copy.as_uri()}.none", "--plan"]) == 2


def test_a_launch_with_other_settings_stores_its_grid_beside_the_earlier(grid_file, tmp_path):
    for flags in ((), ("--set", "blocks.b.seed=1"), (), ("--set", "blocks.b.seed=1")):
        assert run(grid_file, tmp_path / "r", *flags) == 0
    copies = sorted(storage.names(tmp_path / "r", "grids", ".yaml"))
    plans = [grid.parse(storage.get(tmp_path / "r", name).decode(), name) for name in copies]
    assert len(copies) == 2
    assert copies[1] == "grids/g.yaml"
    assert plans == [grid.read(grid_file, ["blocks.b.seed=1"]), grid.read(grid_file)]


def test_a_launch_with_nothing_to_do_stores_its_grid_too(grid_file, tmp_path):
    root = tmp_path / "r"
    assert run(grid_file, root) == 0
    (root / "grids/g.yaml").write_text("damaged: [")
    assert run(grid_file, root) == 0
    assert grid.read(root / "grids/g.yaml") == grid.read(grid_file)
    few = ("--set", "blocks.b.train_rotation=60")
    assert run(grid_file, root, *few) == 0
    assert run(grid_file, root, "--set", "resources.retries=0") == 0  # the same trials
    assert len(storage.names(root, "grids", ".yaml")) == 2


def test_a_gpu_that_is_not_there_is_exit_5_and_no_failure(grid_file, tmp_path, capsys):
    assert run(grid_file, tmp_path / "r", "--set", "resources.gpu=1") == 5
    assert "GPU" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
    assert run(grid_file, tmp_path / "r") == 0


def shell(line, folder):
    """Exit code, stdout and stderr of a command line in bash."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=environment, cwd=folder
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("lost", ["2>/dev/full", ">/dev/full 2>&1", "2>&1 | true", "2>&- >&-"])
def test_lost_output_does_not_end_the_work(grid_file, tmp_path, lost):
    line = f"set -o pipefail; {sys.executable} -m rotgrid.launch {grid_file} --results r --local"
    assert shell(f"{line} --no-report {lost}", tmp_path) == (0, "", "")
    assert len(stored(tmp_path / "r")) == 6


def test_what_users_write_is_no_markup(tmp_path, capsys):
    file = tmp_path / "g.yaml"
    words = "eps in [eps], see [/docs] or :smile:"
    file.write_text(GRID.replace("name: g", f'name: g\ndescription: "{words}"'))
    assert launch.main([str(file), "--results", str(tmp_path / "run[/1]"), "--plan"]) == 0
    out = capsys.readouterr().out
    assert words in out
    assert f"{tmp_path}/run[/1]" in out


def test_failure_of_the_report_is_said_and_costs_nothing(grid_file, tmp_path, capsys, monkeypatch):
    def draw(*_):
        raise ZeroDivisionError("not today")

    monkeypatch.setattr("analysis.__main__.draw", draw)
    assert launch.main([str(grid_file), "--results", str(tmp_path / "r"), "--local"]) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: not today" in err
    assert command("analysis", str(tmp_path / "r")) in err
    assert len(stored(tmp_path / "r")) == 6


def test_failure_of_every_trial_is_still_exit_3(grid_file, tmp_path, capsys):
    arguments = [str(grid_file), "--results", str(tmp_path / "r"), "--local"]
    assert launch.main([*arguments, "--set", "blocks.b.learning_rate=1e9"]) == 3
    assert "DivergedError" in capsys.readouterr().err


def test_the_report_is_drawn_at_the_end(grid_file, tmp_path, capsys):
    assert launch.main([str(grid_file), "--results", str(tmp_path / "r"), "--local"]) == 0
    report = tmp_path / "r/report/report.html"
    assert f"report: {report}" in capsys.readouterr().out
    assert report.exists()


def test_many_files_are_merged_at_the_end(grid_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compact, "MOST_FILES", 1)
    root = tmp_path / "r"
    command = [str(grid_file), "--local", "--results", str(root), "--no-report"]
    assert launch.main(command) == 0
    for table in ("evaluations", "training"):
        (name,) = storage.names(root, table, ".parquet")
        assert name.startswith(f"{table}/compacted-")
    assert analysis.problems(root) == []
    assert launch.main(command) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_files_that_cannot_be_merged_stay_and_cost_nothing(
    grid_file, tmp_path, capsys, monkeypatch
):
    def refuse(root, table):
        raise storage.StoreError("cannot write: no space")

    monkeypatch.setattr(compact, "MOST_FILES", 1)
    monkeypatch.setattr(compact, "compact", refuse)
    root = tmp_path / "r"
    assert launch.main([str(grid_file), "--local", "--results", str(root), "--no-report"]) == 0
    assert "no space; small files are left as they are" in capsys.readouterr().err
    assert analysis.problems(root) == []


def test_canaries_come_first_and_then_the_longest(tmp_path):
    plan = grid.parse("blocks: [{model: [stdcnn, gcnn], epochs: [1, 2, 3]}]")
    todo = find_todo(plan, tmp_path, retry=False)
    assert [(t.model, t.epochs) for t in todo.trials] == [
        ("stdcnn", 1), ("gcnn", 1), ("gcnn", 3), ("gcnn", 2), ("stdcnn", 3), ("stdcnn", 2),
    ]  # fmt: skip
    assert todo.failed == {}
    assert all(isinstance(trial, Trial) for trial in todo.trials)


def test_the_six_architectures_go_the_whole_way(tmp_path, capsys):
    """`grids/models.yaml` in miniature: train, rotate, attack, turn, draw."""
    few = ["defaults.train_size=40", "defaults.epochs=1", "defaults.batch_size=20"]
    probes = ["n_images=6", "steps=2"]
    flags = [f"--set={change}" for change in few]
    flags += [f"--set=blocks.*.probes.*.{change}" for change in probes]
    assert (
        launch.main([str(ROOT / "grids/models.yaml"), "--local", f"--results={tmp_path}", *flags])
        == 0
    )
    rows = analysis.load(tmp_path)
    assert set(rows["model"]) == {"stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "capsnet"}
    assert rows.height == 252
    layers = analysis.equivariance(tmp_path)
    assert layers["error"].is_finite().all()
    quarter = layers.filter(pl.col("degrees") == 90, pl.col("layer") == "logits")
    exact = quarter.filter(pl.col("model") == "hnet")
    assert exact["error"].max() < 1e-3 < quarter.filter(model="stdcnn")["error"].min()
    for figure in ("figure01", "figure12"):
        assert (tmp_path / "report" / "figures" / f"{figure}.svg").exists()
    assert "failed" not in capsys.readouterr().out
