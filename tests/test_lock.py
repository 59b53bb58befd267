"""The lock file: what rotgrid needs, each at a version that the project and the others allow."""

import importlib.metadata
import runpy
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[0] != "#"]
LOCKED = dict(line.split("==") for line in LINES)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
LOCK = runpy.run_path(str(ROOT / ".github/lock.py"))


def unmet(requirements, locked):
    """What a lock lacks or has at a version that is not allowed."""
    for requirement in requirements:
        version = locked.get(canonicalize_name(requirement.name), "nothing")
        if version == "nothing" or not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement}: {version}"


def test_each_distribution_has_one_version():
    assert sorted(LOCKED) == [*LOCKED]
    assert len(LOCKED) == len(LINES) > len(PROJECT)
    assert all(canonicalize_name(name) == name for name in LOCKED)


def test_the_project_allows_what_is_locked():
    assert [*unmet(map(Requirement, PROJECT), LOCKED)] == []


def test_another_version_or_none_would_be_found():
    some = [Requirement("torch<2.14"), Requirement("PyYAML>=6")]
    assert [*unmet(some, {"torch": "2.14.0"})] == ["torch<2.14: 2.14.0", "PyYAML>=6: nothing"]


@pytest.mark.parametrize("name", LOCKED)
def test_what_is_locked_has_what_it_requires(name):
    """As far as this very version is installed, which says what it requires."""
    installed = {canonicalize_name(d.name): d.version for d in importlib.metadata.distributions()}
    if installed.get(name, "").partition("+")[0] == LOCKED[name]:
        extras = {extra for r in map(Requirement, PROJECT) if r.name == name for extra in r.extras}
        required = LOCK["requirements"](name, frozenset(extras))
        assert [*unmet((r for r in required if not LOCK["exact"](r)), LOCKED)] == []


def test_the_closure_is_what_is_required_by_what_is_required():
    found = LOCK["closure"]("requests")
    direct = {canonicalize_name(r.name) for r in LOCK["requirements"]("requests")}
    assert direct <= found.keys()
    assert "requests" not in found
    assert found["urllib3"] == importlib.metadata.version("urllib3")
