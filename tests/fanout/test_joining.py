"""Real clusters of several nodes on one machine, each node a process group of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rotgrid import launch
from rotgrid.results import failures

from launched import (
    GRID,
    ROOT,
    SLOW,
    actors,
    assert_rows_as_uninterrupted,
    environment,
    finish,
    in_training,
    wait_for,
)
from own_files import write_all, write_npz
from stored_rows import stored

RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]


class Nodes:
    """A head that runs no trials; `add` starts a node of one CPU."""

    def __init__(self, folder, logs):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self.logs, self.processes = f"127.0.0.1:{port}", logs, []
        head = ["--head", f"--port={port}", "--num-cpus=0", f"--temp-dir={folder}"]
        self.begin([*RAY, *head, "--node-ip-address=127.0.0.1", "--include-dashboard=false"])

    def begin(self, command, **changed):
        with open(self.logs / f"node{len(self.processes)}", "w") as log:
            process = subprocess.Popen(
                command,
                env={**environment(self.logs), **changed},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        wait_for(lambda: "Ray runtime started" in Path(log.name).read_text())
        return process

    def add(self, *before, **changed):
        one = [f"--address={self.address}", "--num-cpus=1", "--object-store-memory=150000000"]
        return self.begin([*before, *RAY, *one], **changed)

    def kill(self, process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def nodes(tmp_path):
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        cluster = Nodes(folder, tmp_path)
        try:
            yield cluster
        finally:
            for process in reversed(cluster.processes):
                cluster.kill(process)


@pytest.mark.slow
def test_nodes_and_processes_may_die_and_join(nodes, start, tmp_path):
    """SIGKILL of a trial's process and of a whole node, and a new node, in one run."""
    grid_file, root = tmp_path / "slow.yaml", tmp_path / "r"
    grid_file.write_text(SLOW.replace("[0, 60, 120, 180]", "[0, 30, 60, 90, 120, 180]"))
    first, second = nodes.add(), nodes.add()
    driver = start(grid_file, root, "--address", nodes.address, fault="none")
    wait_for(lambda: actors(first.pid) and actors(second.pid) and in_training(root))
    nodes.kill(first)
    os.kill(max(actors(second.pid)), signal.SIGKILL)
    third = nodes.add()
    wait_for(lambda: actors(third.pid))
    finish(driver)
    assert failures.read(root) == {}
    assert_rows_as_uninterrupted(grid_file, root, tmp_path / "control")


def with_another(library, folder):
    """A folder for PYTHONPATH that says that version 1.0 of a library is installed."""
    info = folder / f"other-{library}/{library}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: 1.0\n")
    return info.parent


@pytest.mark.slow
def test_a_node_that_joins_later_and_cannot_run_trials_fails_none(nodes, start, tmp_path):
    """It stops the launch, which names it; what is finished is kept."""
    grid_file, root = tmp_path / "slow.yaml", tmp_path / "r"
    grid_file.write_text(SLOW.replace("[0, 60, 120, 180]", f"{[*range(0, 180, 9)]}"))
    nodes.add()
    driver = start(grid_file, root, "--address", nodes.address)
    wait_for(lambda: (root / "evaluations").exists())
    nodes.add(PYTHONPATH=f"{with_another('numpy', tmp_path)}:{ROOT}")
    errors = finish(driver, 5)
    assert "\nnode " in errors
    assert "this node has numpy 1.0, not " in errors
    assert failures.read(root) == {}
    assert [*root.glob(".launch*")] == []
    assert stored(root)


@pytest.mark.slow
def test_what_nodes_cannot_do_is_said_before_the_start(nodes, start, tmp_path):
    """Too few CPUs; a node with another torch; a node that sees another folder."""
    grid_file, root = tmp_path / "g.yaml", tmp_path / "r"
    grid_file.write_text(GRID)
    root.mkdir()
    nodes.add()
    errors = finish(start(grid_file, root, "--address", nodes.address, "--set=resources.cpu=2"), 5)
    assert "each trial asks for 2 CPU and no node has more than 1" in errors
    nodes.add(PYTHONPATH=f"{with_another('torch', tmp_path)}:{ROOT}")
    mounted = f'mount -t tmpfs tmpfs {root} && exec "$@"'
    nodes.add("unshare", "--map-root-user", "--mount", "sh", "-c", mounted, "sh")
    errors = finish(start(grid_file, root, "--address", nodes.address), 5)
    assert errors.count("\nnode ") == 2, errors
    assert "this node has torch 1.0, not " in errors
    assert [*root.glob(".launch*")] == []
    assert f"{root} is another folder there than here" in errors
    assert not (root / "evaluations").exists()


@pytest.mark.slow
def test_own_code_and_data_reach_nodes_that_lack_them(nodes, start, tmp_path):
    """A node that does not see the folder of the grid and of its files runs the trials, too."""
    place, root = tmp_path / "place", tmp_path / "r"
    place.mkdir()
    grid_file = write_all(place)
    write_npz(place / "mine.npz")
    text = grid_file.read_text().replace("mnist5k", "mine.npz").replace("train_size: 100, ", "")
    grid_file.write_text(text.replace("[stdcnn, ", "[").replace("n_images: 20", "n_images: 9"))
    hidden = f'mount -t tmpfs tmpfs {place} && exec "$@"'
    nodes.add("unshare", "--map-root-user", "--mount", "sh", "-c", hidden, "sh")
    finish(start(grid_file, root, "--address", nodes.address), 0)
    assert failures.read(root) == {}
    assert len(stored(root)) == 6
    assert launch.main([str(grid_file), "--results", str(root), "--no-report"]) == 0
