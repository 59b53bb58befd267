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
