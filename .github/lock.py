"""What rotgrid needs to run, at the versions installed here, as pip's constraints:

    python3.11 -m venv lock && lock/bin/pip install -e . && \\
        lock/bin/python .github/lock.py > requirements.lock

on Linux. Requirements that name one version exactly, such as torch's of CUDA, have no line:
whoever requires them decides.
"""

import importlib.metadata
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
PYTHON = {"python_version": "3.11", "python_full_version": "3.11.0", "os_name": "posix"}


def requirements(name: str, extras: frozenset[str] = frozenset()) -> Iterator[Requirement]:
    """What an installed distribution requires on Linux with Python 3.11, and with its extras."""
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        where = [{**LINUX, **PYTHON, "extra": extra} for extra in ("", *extras)]
        if not requirement.marker or any(map(requirement.marker.evaluate, where)):
            yield requirement


def exact(requirement: Requirement) -> bool:
    """Whether it leaves no choice."""
    return any(s.operator in ("==", "===") and "*" not in s.version for s in requirement.specifier)


def closure(root: str = "rotgrid") -> dict[str, str]:
    """The version of each distribution that `root` requires, and those require, by name."""
    found: dict[str, str] = {}
    asked: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(root)]
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in asked:
            continue
        asked.add((name, extras))
        found[name] = importlib.metadata.version(name).partition("+")[0]
        direct = name == root
        waiting += [r for r in requirements(name, extras) if direct or not exact(r)]
    del found[root]
    return found


if __name__ == "__main__":
    print("# Constraints for `pip install -c requirements.lock -e .`, made by .github/lock.py")
    for name, version in sorted(closure().items()):
        print(f"{name}=={version}")
