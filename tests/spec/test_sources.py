import subprocess
import sys

import pytest

from rotgrid.spec import sources
from rotgrid.spec.sources import SourceError

from own_files import write, write_all

NETS = "mynets.nets:build"


def digest(name=NETS):
    return sources.digest(sources.find(name))


def test_the_files_behind_a_name_are_those_that_importing_it_runs(folder):
    write_all(folder)
    (folder / "mynets/__init__.py").write_text("from . import common\n")
    write(folder, mynets__common="import json\n", mynets__other="x = 1\n", loose="y = 1\n")
    assert next(iter(sources.find(NETS).files)) == "mynets/nets.py"
    expected = {"mynets/__init__.py", "mynets/common.py", "mynets/nets.py", "mynets/blocks.py"}
    assert set(sources.find(NETS).files) == expected


@pytest.mark.parametrize(
    "statement",
    [
        "from . import blocks",
        "from .blocks import hidden",
        "from mynets import blocks",
        "import mynets.blocks as b",
        "def late():\n    import mynets.blocks",
        "if False:\n    from .deeper.blocks2 import *",
    ],
)
def test_every_form_of_import_is_followed(folder, statement):
    write(folder, mynets__nets=f"{statement}\ndef build(variant, shape): ...\n")
    write(folder, mynets__blocks="a = 1\n", mynets__deeper__blocks2="from .. import blocks\n")
    before = digest()
    write(folder, mynets__blocks="a = 2\n")
    assert digest() != before


def test_siblings_of_a_single_file_count_and_rotgrid_itself_does_not(folder):
    write(folder, nets="import helpers, rotgrid\ndef build(variant, shape): ...\n", helpers="")
    assert set(sources.find("nets:build").files) == {"nets.py", "helpers.py"}
    with pytest.raises(SourceError, match="rotgrid itself"):
        sources.find("rotgrid.models.stdcnn:build")


def test_files_in_other_folders_of_pythons_path_count(folder, monkeypatch):
    write(folder, nets="import json, helpers\ndef build(variant, shape): ...\n")
    monkeypatch.syspath_prepend(write(folder / "library", helpers="a = 1\n"))
    before = digest("nets:build")
    assert set(sources.find("nets:build").files) == {"nets.py", "helpers.py"}
    write(folder / "library", helpers="a = 2\n")
    assert digest("nets:build") != before


def test_a_name_that_a_star_brings_may_be_any(folder):
    write(folder, mynets__nets="def build(v, s): ...\n")
    (folder / "mynets/__init__.py").write_text("from .nets import *\n")
    name = "mynets:build"
    assert sources.parameters(name, sources.find(name)) is None


@pytest.mark.parametrize("module", ["random", "torch", "torch.nn"])
def test_names_of_modules_that_rotgrid_needs_are_refused(folder, module):
    write(folder, random="def build(v, s): ...\n", torch="def build(v, s): ...\n")
    with pytest.raises(SourceError, match=f"has a module {module[:5]}.*another name"):
        sources.find(f"{module}:build")


def test_where_it_was_looked_is_said_once(folder):
    sources.search_in(folder)
    with pytest.raises(SourceError) as error:
        sources.find("nowhere:build")
    assert str(error.value).count(str(folder)) == 1


def test_of_an_installed_package_only_the_named_one_is_own(folder, monkeypatch):
    place = write(
        folder / "site-packages", nets="import helpers\ndef build(v, s): ...\n", helpers=""
    )
    monkeypatch.syspath_prepend(place)
    assert set(sources.find("nets:build").files) == {"nets.py"}


def test_a_digest_is_of_contents_wherever_they_are_and_however_lines_end(folder, monkeypatch):
    write_all(folder)
    here = digest()
    write_all(folder / "elsewhere")
    blocks = folder / "elsewhere/mynets/blocks.py"
    blocks.write_bytes(blocks.read_bytes().replace(b"\n", b"\r\n"))
    sources.search_in(folder / "elsewhere")
    assert sources.find(NETS).folder == folder / "elsewhere"
    assert digest() == here
    blocks.write_bytes(blocks.read_bytes() + b"# another line\n")
    assert digest() != here


def test_nothing_is_run_and_torch_is_not_needed(folder):
    write_all(folder)
    write(folder, mynets__blocks="raise SystemExit('was run')\n")
    code = (
        "import sys\nfrom rotgrid.spec import extensions\n"
        f"print(extensions.read('{NETS}').digest)\n"
        "assert not {'torch', 'ray', 'mynets'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == digest(), done.stderr


def test_parameters_and_plain_defaults_are_read_off_the_def(folder):
    write(
        folder,
        nets="""
        def mine(model, images, labels, /, *, eps, steps=20, mode="x", f=print, **more): ...
        """.replace("\n        ", "\n"),
    )
    source = sources.find("nets:mine")
    found = sources.parameters("nets:mine", source)
    assert found == dict.fromkeys(["model", "images", "labels", "eps"]) | {
        "steps": 20,
        "mode": "x",
        "f": ...,
    }


def test_what_is_no_def_has_no_parameters_and_what_is_not_there_is_an_error(folder):
    write(
        folder,
        nets="from helpers import one\nimport json as two\nclass Three: ...\nfour = five = 1\n",
    )
    write(folder, helpers="def one(): ...\n")
    for name in ("one", "two", "Three", "four", "five"):
        assert sources.parameters(f"nets:{name}", sources.find(f"nets:{name}")) is None
    with pytest.raises(SourceError, match=r"nets\.py has no build; it defines no function"):
        sources.parameters("nets:build", sources.find("nets:build"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mynets.none:build", r"no file mynets/none\.py or mynets/none/__init__\.py in .*own"),
        ("mynets.nets", "is written package.module:function"),
        ("my-nets:build", "is written package.module:function"),
        ("mynets.broken:build", r"mynets/broken\.py:2: is not Python: "),
    ],
)
def test_names_of_nothing_say_where_it_should_be(folder, name, text):
    write_all(folder)
    write(folder, mynets__broken="x = 1\ndef (\n")
    with pytest.raises(SourceError, match=text):
        sources.find(name)
