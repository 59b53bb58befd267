"""The fault matrix of docs/cluster.md: each fault in a real run, its rows against `--local`."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from rotgrid import grid, launch
from rotgrid.results import failures, storage

from launched import (
    GRID,
    ROOT,
    SLOW,
    actors,
    assert_rows_as_uninterrupted,
    descendants,
    environment,
    finish,
    in_training,
    wait_for,
)
from stored_rows import stored


@pytest.fixture
def grid_file(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture
def slow_grid(tmp_path):
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW)
    return path


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    """Rows of the slow grid by `--local`."""
    return tmp_path_factory.mktemp("control") / "rows"


@pytest.fixture
def quick_control(tmp_path):
    return tmp_path / "control"


def local(grid_file, root, *flags):
    return launch.main([str(grid_file), "--results", str(root), "--local", "--no-report", *flags])


@pytest.mark.slow
def test_driver_killed_then_a_worker(start, slow_grid, tmp_path, control):
    root = tmp_path / "r"
    driver = start(slow_grid, root, fault="none")
    wait_for(lambda: in_training(root))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert len(stored(root)) < 12
    again = start(slow_grid, root, fault="none")
    wait_for(lambda: actors(again.pid) and in_training(root))
    os.kill(actors(again.pid)[0], signal.SIGKILL)
    errors = finish(again)
    assert "failed: " not in errors
    assert failures.read(root) == {}
    assert_rows_as_uninterrupted(slow_grid, root, control)


@pytest.mark.slow
def test_passing_faults(start, slow_grid, tmp_path, control):
    """At their first attempts one trial raises, one is killed, one hangs and one freezes."""
    root = tmp_path / "r"
    errors = finish(start(slow_grid, root, "--set=resources.minutes=0.25", fault="passing"))
    assert re.search(r"[4-9] retried", errors)
    assert failures.read(root) == {}
    assert_rows_as_uninterrupted(slow_grid, root, control)


@pytest.mark.slow
def test_an_outage_costs_no_attempt(start, slow_grid, tmp_path, control):
    """Of the results, once for each trial, with no retries."""
    root = tmp_path / "r"
    errors = finish(start(slow_grid, root, "--set=resources.retries=0", fault="outage"))
    assert "retried" not in errors
    assert len(list((root / "marks").iterdir())) == 4
    assert failures.read(root) == {}
    assert_rows_as_uninterrupted(slow_grid, root, control)


@pytest.mark.slow
def test_lasting_faults(start, slow_grid, tmp_path, control):
    """One trial diverges and one is killed, whenever they are tried."""
    root = tmp_path / "r"
    errors = finish(start(slow_grid, root, fault="lasting"), code=3)
    failed = failures.read(root)
    ranges = {failure.trial["train_rotation"]: failure for failure in failed.values()}
    assert ranges[0].exception.startswith("DivergedError: mean training loss nan")
    assert ranges[60].exception.startswith("ProcessDied")
    assert (ranges[0].attempt, ranges[60].attempt) == (2, 4)
    assert all(failure.final and failure.host for failure in failed.values())
    assert sorted(re.findall(r"reproduce one:  .* --only (\w+)", errors)) == sorted(failed)
    assert len(stored(root)) == 6
    assert local(slow_grid, root) == 3  # they are not tried again
    assert failures.read(root) == failed
    assert local(slow_grid, root, "--retry-failed") == 0
    assert failures.read(root) == {}
    assert_rows_as_uninterrupted(slow_grid, root, control)


@pytest.mark.slow
def test_a_mistake_in_all_trials_stops_early(start, grid_file, tmp_path):
    grid_file.write_text(GRID.replace("[0, 60]", str(list(range(0, 180, 4)))))
    once = "--set=resources.retries=0"
    errors = finish(start(grid_file, tmp_path / "r", once, fault="all-raise"), code=3)
    assert "stopped: the first trials all failed; 35 were not started" in errors
    assert "failed: 10 trials: ValueError: a passing trouble" in errors
    assert len(failures.read(tmp_path / "r")) == 10


FULL = """
import json, subprocess, sys
grid_file, root, control = sys.argv[1:]
sys.path.insert(0, "tests")
from stored_rows import stored
from rotgrid import results
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", root], check=True)
launch = [sys.executable, "-m", "rotgrid.launch", grid_file, "--results", root, "--no-report"]
first = subprocess.run(launch, stderr=subprocess.PIPE, text=True)
halves = subprocess.run(["find", root, "-name", "*.tmp"], capture_output=True, text=True).stdout
early = len(stored(root))
subprocess.run(["mount", "-o", "remount,size=50m", root], check=True)
second = subprocess.run(launch, stderr=subprocess.PIPE, text=True)
subprocess.run(["cp", "-r", root, control], check=True)
print(json.dumps([first.returncode, first.stderr, halves, early, second.returncode]))
"""


@pytest.mark.slow
def test_disk_full(slow_grid, tmp_path, control):
    """A small tmpfs in a mount namespace of its own, which is then enlarged."""
    root, copy = tmp_path / "r", tmp_path / "copy"
    root.mkdir()
    alone = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", FULL]
    done = subprocess.run(
        [*alone, str(slow_grid), str(root), str(copy)],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    code, errors, halves, early, again = json.loads(done.stdout.splitlines()[-1])
    assert code == 5, errors
    assert "No space left on device; what is finished is kept. Then go on with:" in errors
    assert halves == ""
    assert early < 12
    assert again == 0
    assert_rows_as_uninterrupted(slow_grid, copy, control)


@pytest.mark.slow
def test_two_drivers(start, slow_grid, tmp_path, control):
    root = tmp_path / "r"
    drivers = [start(slow_grid, root), start(slow_grid, root)]
    for driver in drivers:
        finish(driver)
    assert_rows_as_uninterrupted(slow_grid, root, control)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_interruption(start, slow_grid, tmp_path, control, times):
    root = tmp_path / "r"
    process = start(slow_grid, root)
    wait_for(lambda: storage.names(root, "evaluations", ".parquet"))
    below = descendants(process.pid, "")
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    errors = finish(process, code=130, seconds=120)
    assert "Go on with:" in errors
    assert not re.search("Traceback|WARNING", errors), errors
    assert 0 < len(stored(root)) < 12
    wait_for(lambda: not [pid for pid in below if os.path.exists(f"/proc/{pid}")], seconds=30)
    assert local(slow_grid, root) == 0
    assert_rows_as_uninterrupted(slow_grid, root, control)


@pytest.mark.slow
def test_clock_skew(start, grid_file, tmp_path, quick_control):
    """Nodes with wrong clocks, and then files from the future and the past: nothing looks."""
    root = tmp_path / "r"
    finish(start(grid_file, root, fault="skewed"))
    assert_rows_as_uninterrupted(grid_file, root, quick_control)
    for at in (0, 4e9):
        for path in root.rglob("*.*"):
            os.utime(path, (at, at))
        assert local(grid_file, root) == 0
        assert_rows_as_uninterrupted(grid_file, root, quick_control)


def half(data):
    return data[: len(data) // 2]


def zeros(data):
    """As a disk leaves them, and in the middle, where no reader stumbles by itself."""
    middle = len(data) // 2
    return data[:middle] + bytes(512) + data[middle + 512 :]


def zeros_in_a_column(data):
    """Of those that planning has no use for."""
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    at, size = columns["correct"].data_page_offset, columns["correct"].total_compressed_size
    return data[:at] + bytes(size) + data[at + size :]


def damage(path, how):
    path.write_bytes(how(path.read_bytes()))


@pytest.mark.parametrize("how", [half, zeros, zeros_in_a_column])
def test_corrupt_part(grid_file, tmp_path, quick_control, capsys, how):
    """It is reported, and what it held is measured again."""
    root = tmp_path / "r"
    assert local(grid_file, root) == 0
    damage(next(iter((root / "evaluations").iterdir())), how)
    assert local(grid_file, root) == 0
    assert "what it held is measured again" in capsys.readouterr().err
    assert_rows_as_uninterrupted(grid_file, root, quick_control)


@pytest.mark.parametrize("how", [half, zeros])
@pytest.mark.parametrize("suffix", [".pt", ".training.pt"])
def test_corrupt_checkpoint(grid_file, tmp_path, quick_control, suffix, how, caplog):
    """It is reported, and trained again."""
    root = tmp_path / "r"
    assert local(grid_file, root) == 0
    shutil.rmtree(root / "evaluations")
    (trial, *_) = grid.read(grid_file).trials
    weights = root / f"checkpoints/{trial.key()}.pt"
    path = weights.rename(weights.with_name(f"{trial.key()}{suffix}"))
    damage(path, how)
    assert local(grid_file, root) == 0
    assert f"{trial.key()}{suffix}: damaged" in caplog.text
    assert_rows_as_uninterrupted(grid_file, root, quick_control)
