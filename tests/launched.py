"""Launches with Ray as a user starts them, and ways to hurt them."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from rotgrid import launch
from rotgrid.results import storage

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
SLOW = GRID.replace("epochs: 2", "epochs: 10").replace("train_size: 100", "train_size: 600")
SLOW = SLOW.replace("[0, 60]", "[0, 60, 120, 180]")
"""Four trials of some seconds each: time enough to be hurt."""


class Launches:
    """Starts launches, each in a process group of its own; `end` leaves none behind."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def __call__(self, grid_file, root, *flags, fault=None):
        program = (
            [str(ROOT / "tests/fanout/faulty.py"), fault] if fault else ["-m", "rotgrid.launch"]
        )
        arguments = [str(grid_file), "--results", str(root), "--no-report", *flags]
        errors = self.folder / f"stderr{len(self.started)}"
        with open(errors, "w") as file:
            process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=ROOT,
                env=environment(self.folder),
                stderr=file,
                start_new_session=True,
            )
        process.errors = errors
        self.started.append(process)
        return process

    def end(self):
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment(folder):
    """Of a launch in a test: a cache of its own, and the modules of this checkout."""
    return {
        **os.environ,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "disabled",
    }


def finish(process, code=0, seconds=300):
    """What the launch printed on stderr, after its end with that exit code."""
    found = process.wait(timeout=seconds)
    errors = process.errors.read_text()
    assert found == code, errors
    return errors


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)
    return found


def in_training(root):
    return storage.names(root, "checkpoints", ".training.pt")


def descendants(parent, start):
    """Process ids of the descendants of a process whose command line starts so."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
            if words.startswith(start) and descends(int(folder.name), parent):
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


def actors(parent):
    """Process ids of the trials' actors below a process."""
    return descendants(parent, "ray::ImplicitFunc")


def assert_rows_as_uninterrupted(grid_file, root, control):
    """Rows and epochs are those of `--local`, each in one part only."""
    if not control.exists():
        local = [str(grid_file), "--results", str(control), "--local", "--no-report"]
        assert launch.main(local) == 0
    for table in ("evaluations", "training"):
        assert stored(root, table) == stored(control, table)
    parts = [storage.get(root, name) for name in storage.names(root, "evaluations", ".parquet")]
    assert sum(pq.read_metadata(io.BytesIO(part)).num_rows for part in parts) == len(stored(root))
