"""The pages on Python name every function that the packages offer."""

import importlib
import re

import pytest

from pages import PAGES, ROOT

API = {name: text for name, text in PAGES.items() if name.startswith("docs/api/")}


@pytest.mark.parametrize("name", API)
def test_what_is_shown_exists(name):
    for path in re.findall(r"^::: ([\w.]+)$", API[name], re.M):
        file = ROOT / path.replace(".", "/")
        if not (file.is_dir() or file.with_suffix(".py").exists()):
            module, _, member = path.rpartition(".")
            assert callable(getattr(importlib.import_module(module), member))


def test_no_attack_is_left_out():
    shown = re.findall(r"^::: rotgrid\.attacks\.[\w.]*\.(\w+)$", API["docs/api/attacks.md"], re.M)
    assert sorted(shown) == sorted(importlib.import_module("rotgrid.attacks").__all__)
