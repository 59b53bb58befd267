import sys

import pytest

from rotgrid.spec import loading, sources
from rotgrid.spec.sources import SourceError

from own_files import write


def test_the_function_is_that_of_the_files_as_they_are_now(folder):
    write(folder, nets="def f(): return 1\n")
    assert loading.load("nets:f")() == 1
    write(folder, nets="def f(): return 2\n")  # within the same second, and as long
    assert loading.load("nets:f")() == 2


def test_what_a_module_imports_is_imported_anew_as_well(folder):
    write(folder, nets="from helpers import g as f\n", helpers="def g(): return 1\n")
    assert loading.load("nets:f")() == 1
    write(folder, helpers="def g(): return 2\n")
    assert loading.load("nets:f")() == 2


def test_another_version_than_the_one_meant_is_refused_and_one_in_use_stays(folder):
    write(folder, nets="def f(): return 1\n")
    digest = sources.digest(sources.find("nets:f"))
    assert loading.load("nets:f", digest)() == 1
    write(folder, nets="def f(): return 2\n")
    assert loading.load("nets:f", digest)() == 1
    with pytest.raises(
        SourceError, match=r"have digest .*, not 0123456789abcdef: they were changed"
    ):
        loading.load("nets:f", "0123456789abcdef")


def test_versions_in_other_folders_do_not_hide_each_other(folder):
    for name in "ab":
        write(folder / name, nets=f"def f(): return {name!r}\n")
    for name in "abab":
        sources.search_in(folder / name)
        assert loading.load("nets:f")() == name


def test_a_module_that_python_finds_elsewhere_is_refused(folder, monkeypatch):
    monkeypatch.syspath_prepend(write(folder / "first", nets="def f(): return 1\n"))
    write(folder / "second", nets="def f(): return 2\n")
    sources.search_in(folder / "second")
    sys.path.append(str(folder / "second"))
    with pytest.raises(SourceError, match=r"Python imports .*first/nets\.py and not that in"):
        loading.load("nets:f")


def test_errors_name_the_line_of_the_users_file(folder):
    write(folder, nets="import json\n\nfrom helpers import h\n", helpers="a = 1\nb = a / 0\n")
    with pytest.raises(
        SourceError, match=r"cannot be imported: .*helpers\.py:2: ZeroDivisionError"
    ):
        loading.load("nets:f")
    write(folder, nets="f = 3\n")
    with pytest.raises(SourceError, match=r"nets\.py defines no function f"):
        loading.load("nets:f")


def test_a_script_that_ends_its_process_is_an_error_with_its_line(folder):
    write(folder, nets="import sys\n\nsys.exit(0)\n\n\ndef f(): ...\n")
    with pytest.raises(SourceError, match=r"cannot be imported: .*nets\.py:3: SystemExit: 0"):
        loading.load("nets:f")
