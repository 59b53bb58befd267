"""CITATION.cff is what the format asks for, and of this version."""

import tomllib

import yaml

from pages import ROOT

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
    assert CITATION["version"] == project["version"]
    assert CITATION["license"] == project["license"]
