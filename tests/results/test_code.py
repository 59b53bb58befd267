import shutil

import pytest

from rotgrid.results import code
from rotgrid.spec import loading, sources
from rotgrid.spec.sources import SourceError

from own_files import write

NAME = "nets.deep:f"


@pytest.fixture
def stored(folder):
    """Results that hold a version that is no longer in place, and its digest."""
    write(folder, nets__deep="from .more import f\n", nets__more="def f(): return 1\n")
    code.store_sources("r", [NAME])
    digest = sources.digest(sources.find(NAME))
    write(folder, nets__more="def f(): return 2\n")
    return digest


def test_every_version_is_stored_once_and_can_be_used(folder, stored):
    code.store_sources("r", [NAME])
    assert len([*(folder / "r/code").iterdir()]) == 2
    assert (folder / f"r/code/{stored}/nets/more.py").read_text() == "def f(): return 1\n"
    code.use_stored_source("r", NAME, stored)
    assert loading.load(NAME, stored)() == 1


def test_files_in_place_are_used_where_they_are_the_same(folder, stored):
    digest = sources.digest(sources.find(NAME))
    shutil.rmtree("r")
    code.use_stored_source("r", NAME, digest)
    assert sources.find(NAME).folder == folder


def test_a_version_that_is_nowhere_is_said(folder, stored):
    with pytest.raises(SourceError, match="not the version 0123456789abcdef, and r holds no copy"):
        code.use_stored_source("r", NAME, "0123456789abcdef")


def test_files_that_another_process_sends_come_before_those_in_place(folder, stored):
    sent = {"nets/deep.py": b"def f(): return 3\n"}
    digest = sources.digest(sources.Source(folder, sent))
    code.receive({NAME: (digest, sent)})
    assert loading.load(NAME, digest)() == 3


def test_names_of_one_package_are_received_into_one_folder(folder):
    """A function may import late what only another name has brought."""
    late = b"def f():\n    from pair.two import g\n    return g()\n"
    names = {
        "pair.one:f": {"pair/one.py": late},
        "pair.two:g": {"pair/two.py": b"def g(): return 4\n"},
    }
    sent = {}
    for name, files in names.items():
        files = {**files, "pair/__init__.py": b"", "pair/two.py": b"def g(): return 4\n"}
        first = f"{name.partition(':')[0].replace('.', '/')}.py"
        files = {first: files[first], **files}
        sent[name] = (sources.digest(sources.Source(folder, files)), files)
    code.receive(sent)
    assert loading.load("pair.one:f", sent["pair.one:f"][0])() == 4
    assert {sources.find(name).folder for name in names} == {sources.FOLDERS[0]}
