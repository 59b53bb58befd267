"""CITATION.cff is what the format asks for; it, the package and the changelog say one version."""

import re
import tomllib

import yaml

import rotgrid

from pages import PAGES, ROOT

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_it_has_what_the_format_requires():
    assert CITATION["cff-version"] == "1.2.0"
    assert all(isinstance(CITATION[key], str) and CITATION[key] for key in ("message", "title"))
    for entry in (CITATION, *CITATION["references"]):
        assert entry["title"]
        assert entry["type"] in ("software", "unpublished")
        assert all(author["name"] for author in entry["authors"])


def test_it_is_of_this_version_and_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## ([\d.]+) \(", PAGES[".github/CHANGELOG.md"], re.M)[1]
    assert CITATION["version"] == project["version"] == rotgrid.__version__ == newest
    assert CITATION["license"] == project["license"]
