import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import analysis
from rotgrid import experiment, grid, launch, results
from rotgrid.spec import Trial

from stored_rows import stored

ROOT = Path(__file__).parent.parent
GRID = """
name: g
defaults: {data: mnist5k, recipe: fast, train_size: 100, epochs: 2}
blocks:
  - name: b
    model: stdcnn
    train_rotation: [0, 60]
    probes: [{attack: [none, fgsm], eps: [0.1, 0.2], n_images: 50}]
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(launch.cost, "RATES_FILE", tmp_path / "cache" / "rates.json")


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
        "cartesian 8 networks if every cell trained its own",
        "done 0 rows, 0 trials",
        "to do 2 networks to train, 6 rows to measure",
        "train_rotation 0, 60",
        "eps 0, 0.1, 0.2",
    ):
        assert fact in out
    assert re.search(r"time \S+ \S+ on this machine's \d+ cores", out)
    assert not (tmp_path / "r").exists()


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

    def spy(model, dataset, trial, results_in):
        trained.append(trial.seed)
        return real(model, dataset, trial, results_in)

    monkeypatch.setattr(experiment, "fit", spy)
    assert run(grid_file, tmp_path / "r", "--set", "blocks.b.seed=[0, 1]") == 0
    assert trained == [1, 1]


def test_failed_trials_are_recorded_skipped_and_tried_again(grid_file, tmp_path, capsys):
    wild = ("--set", "blocks.b.learning_rate=[1e9, 5e-3]")
    assert run(grid_file, tmp_path / "r", *wild) == 3
    err = capsys.readouterr().err
    assert re.search(r"failed: 2 trials \(.*DivergedError", err)
    hint = next(line for line in err.splitlines() if "--retry-failed" in line)
    words = shlex.split(hint.partition(":  ")[2])[3:]
    args = launch.parse_arguments(words)
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
    monkeypatch.delenv("ROTGRID_RESULTS")
    monkeypatch.chdir(tmp_path)
    assert launch.main([str(grid_file), "--plan"]) == 0
    assert str(tmp_path / "results/g") in capsys.readouterr().out


def test_only_runs_one_trial(grid_file, tmp_path, capsys):
    first = next(iter(grid.read(grid_file).trials))
    assert run(grid_file, tmp_path / "r", "--only", first.key()[:6]) == 0
    assert {row["trial"] for row in stored(tmp_path / "r")} == {first.key()}
    capsys.readouterr()
    assert run(grid_file, tmp_path / "r", "--only", first.key()) == 0
    assert "nothing to do: 1 trials, 3 rows are in" in capsys.readouterr().out
    assert run(grid_file, tmp_path / "r", "--only", "zz") == 2
    assert "--only zz: the key of 0 trials" in capsys.readouterr().err


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
    assert "train-images-idx3-ubyte: not found" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_results_that_cannot_be_written_are_exit_5(grid_file, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run(grid_file, tmp_path / "file" / "r") == 5
    assert "cannot write results" in capsys.readouterr().err
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
        if trial.train_rotation == 60:
            raise KeyboardInterrupt
        return real(trial, *args, **kwargs)

    monkeypatch.setattr(experiment, "run", interrupted)
    assert run(grid_file, tmp_path / "r") == 130
    assert "-m rotgrid.launch" in capsys.readouterr().err
    assert len(stored(tmp_path / "r")) == 3


def test_failure_of_every_trial_is_still_exit_3(grid_file, tmp_path, capsys):
    arguments = [str(grid_file), "--results", str(tmp_path / "r"), "--local"]
    assert launch.main([*arguments, "--set", "blocks.b.learning_rate=1e9"]) == 3
    assert "DivergedError" in capsys.readouterr().err


def test_the_report_is_drawn_at_the_end(grid_file, tmp_path, capsys):
    assert launch.main([str(grid_file), "--results", str(tmp_path / "r"), "--local"]) == 0
    report = tmp_path / "r/report/report.html"
    assert f"report: {report}" in capsys.readouterr().out
    assert report.exists()


@pytest.fixture
def start(tmp_path):
    """Starts launches with Ray, each in a process group of its own; none outlives the test."""
    started = []

    def begin(grid_file, root):
        command = [sys.executable, "-m", "rotgrid.launch", str(grid_file), "--results", str(root)]
        with open(tmp_path / f"stderr{len(started)}", "w") as errors:
            process = subprocess.Popen(
                [*command, "--no-report"],
                cwd=ROOT,
                env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
                stderr=errors,
                start_new_session=True,
            )
        process.errors = Path(errors.name)
        started.append(process)
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def workers(parent):
    """Process ids of the actors of a launch's Ray."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
            if words.startswith("ray::ImplicitFunc") and descends(int(folder.name), parent):
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return found


def descends(pid, ancestor):
    while pid > 1:
        if pid == ancestor:
            return True
        status = Path(f"/proc/{pid}/stat").read_text()
        pid = int(status.rpartition(")")[2].split()[1])
    return False


@pytest.fixture
def slow_grid(tmp_path):
    """Four trials of some seconds each: time enough to be killed."""
    path = tmp_path / "slow.yaml"
    text = GRID.replace("epochs: 2", "epochs: 10").replace("train_size: 100", "train_size: 2000")
    path.write_text(text.replace("[0, 60]", "[0, 60, 120, 180]"))
    return path


def assert_rows_as_uninterrupted(slow_grid, root, tmp_path):
    control = tmp_path / "control"
    assert run(slow_grid, control) == 0
    for table in ("evaluations", "training"):
        assert stored(root, table) == stored(control, table)


@pytest.mark.slow
def test_killing_the_launch_and_a_worker_loses_nothing(start, slow_grid, tmp_path):
    """SIGKILL of the driver, then of an actor: the rows are those of an uninterrupted run."""
    root = tmp_path / "r"
    first = start(slow_grid, root)
    wait_for(lambda: results.names(root, "checkpoints", ".training.pt"))
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert len(stored(root)) < 12
    second = start(slow_grid, root)
    wait_for(lambda: workers(second.pid))
    wait_for(lambda: results.names(root, "checkpoints", ".training.pt"))
    os.kill(workers(second.pid)[0], signal.SIGKILL)
    assert second.wait(timeout=300) == 0, second.errors.read_text()
    assert results.failures(root) == {}
    assert_rows_as_uninterrupted(slow_grid, root, tmp_path)


@pytest.mark.slow
def test_interrupting_a_cluster_run_keeps_what_is_done(start, slow_grid, tmp_path):
    process = start(slow_grid, tmp_path / "r")
    wait_for(lambda: results.names(tmp_path / "r", "evaluations", ".parquet"))
    process.send_signal(signal.SIGINT)
    code, errors = process.wait(timeout=120), process.errors.read_text()
    assert code == 130, errors
    assert "Go on with:" in errors
    assert 0 < len(stored(tmp_path / "r")) < 12
    noise = [line for line in errors.splitlines() if "Traceback" in line or "WARNING" in line]
    assert noise == []


@pytest.mark.slow
def test_a_cluster_run_equals_a_local_one_and_is_quiet(start, grid_file, tmp_path):
    process = start(grid_file, tmp_path / "r")
    code, errors = process.wait(timeout=300), process.errors.read_text()
    assert code == 0, errors
    lines = errors.splitlines()
    assert lines[0].startswith("2 trials, 6 rows to do")
    assert all(re.match(r"\d/2 trials, ", line) for line in lines[1:]), errors
    assert_rows_as_uninterrupted(grid_file, tmp_path / "r", tmp_path)


def test_the_longest_trials_come_first(tmp_path):
    plan = grid.parse("blocks: [{model: [stdcnn, gcnn], epochs: [1, 2]}]")
    todo, failed = launch.missing(plan, str(tmp_path), retry=False)
    assert [(t.model, t.epochs) for t in todo] == [
        ("gcnn", 2), ("gcnn", 1), ("stdcnn", 2), ("stdcnn", 1),
    ]  # fmt: skip
    assert failed == {}
    assert all(isinstance(trial, Trial) for trial in todo)


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
        assert (tmp_path / "report" / "figures" / f"{figure}.png").exists()
    assert "failed" not in capsys.readouterr().out
