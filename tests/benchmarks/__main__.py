"""All benchmarks on one page: `python tests/benchmarks [NAME ...] > benchmarks.md`.

NAME is that of a script here (default: all, some hours on one core). Each runs in a process of its
own, one after the other, and nothing else should run meanwhile. The page, in Markdown, says the
machine, the versions of rotgrid and of its peers, and what each script prints: the tables of
docs/costs.md. A script that fails says so in its place, and the rest goes on.
"""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import rotgrid
from rotgrid.results import provenance

HERE = Path(__file__).parent
HELPERS = ("__main__", "peers", "timing", "together")
NAMES = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in HELPERS)
PEERS = ("torch", "foolbox", "autoattack", "e2cnn", "pillow", "ray", "polars", "pandas")


def processor():
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else platform.processor()}"


def version(library):
    """Of an installed library."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def main(names):
    """Print the page."""
    if unknown := {*names} - {*NAMES}:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    print(f"# Benchmarks of {datetime.date.today()}\n\n{processor()}; {platform.platform()};")
    print(f"rotgrid {rotgrid.__version__}, commit {provenance.git_commit()};")
    print(", ".join(f"{library} {version(library)}" for library in PEERS) + ".")
    for name in names or NAMES:
        print(f"\n## {name}\n", flush=True)
        if code := subprocess.run([sys.executable, HERE / f"{name}.py"]).returncode:
            print(f"\nfailed: exit status {code}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
