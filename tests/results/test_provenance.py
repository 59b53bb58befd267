import os
import shutil
import subprocess
import sys

import pytest
import torch

from rotgrid import experiment, results
from rotgrid.results import provenance
from rotgrid.results.columns import PROVENANCE, TABLES
from rotgrid.spec import Probe

PROBES = [Probe(n_images=20), *(Probe(attack=a, n_images=20) for a in ("equivariance",))]
PROBES.append(Probe(attack="diagnostics", n_images=20, steps=2))


@pytest.fixture
def fresh(monkeypatch):
    """No commit is remembered, before and after, and none is named."""
    monkeypatch.delenv(provenance.STAMP, raising=False)
    provenance.git_commit.cache_clear()
    yield
    provenance.git_commit.cache_clear()


@pytest.fixture
def copy(tmp_path):
    """The package elsewhere, without a checkout."""
    shutil.copytree(provenance.FOLDER, tmp_path / "copy/rotgrid")
    return tmp_path / "copy/rotgrid"


def answers(copy, *questions, **environment):
    """What a process that runs a copy of the package says."""
    code = f"from rotgrid.results import provenance as p; print({', '.join(questions)}, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy.parent,
        env={**os.environ, "PYTHONPATH": str(copy.parent), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_each_row_of_each_table_names_the_code_that_made_it(quick_trial, tmp_path):
    experiment.run(quick_trial, PROBES, tmp_path)
    for table in TABLES:
        rows, _ = results.read(tmp_path, table, ["code", "git_commit"])
        assert set(rows["code"].to_pylist()) == {provenance.code_digest()}
        assert set(rows["git_commit"].to_pylist()) == {provenance.git_commit()}


def test_what_is_said_of_rows_is_what_the_tables_hold():
    said = provenance.provenance(torch.device("cpu"))
    assert [column.name for column in PROVENANCE] == list(said)


def test_ends_of_lines_and_compiled_files_do_not_matter(copy):
    provenance.files_digest.cache_clear()
    before = provenance.files_digest(copy)
    module = copy / "rotation.py"
    module.write_bytes(module.read_bytes().replace(b"\n", b"\r\n"))
    (copy / "__pycache__").mkdir(exist_ok=True)
    (copy / "__pycache__/spec.cpython-311.pyc").write_bytes(b"other")
    (copy / "notes.txt").write_text("other")
    provenance.files_digest.cache_clear()
    assert provenance.files_digest(copy) == before == provenance.files_digest()


@pytest.mark.parametrize("change", ["line", "name", "new"])
def test_any_other_change_to_a_file_is_other_code(copy, change):
    before = provenance.files_digest(copy)
    provenance.files_digest.cache_clear()
    path = copy / "models/gcnn.py"
    if change == "line":
        path.write_bytes(path.read_bytes() + b"# x\n")
    elif change == "name":
        path.rename(copy / "models/gcnn2.py")
    else:
        (copy / "models/empty.py").touch()
    assert provenance.files_digest(copy) != before


@pytest.mark.parametrize("library", provenance.LIBRARIES)
def test_another_version_of_what_computes_is_other_code(library, monkeypatch):
    before = provenance.code_digest.__wrapped__()
    other = {**provenance.versions(), library: "0.0.1"}
    monkeypatch.setattr(provenance, "versions", lambda: other)
    assert provenance.code_digest.__wrapped__() != before


def test_builds_of_one_version_are_the_same(monkeypatch):
    monkeypatch.setattr(provenance.importlib.metadata, "version", lambda _: "2.13.0+cu128")
    assert provenance.versions.__wrapped__()["torch"] == "2.13.0"


@pytest.mark.parametrize("same", [True, False])
def test_a_copy_without_its_checkout_has_the_commit_that_is_named_for_its_files(copy, same):
    """As on a cluster, where `.git` is not sent."""
    stamp = f"abc123:{provenance.files_digest()}"
    commit = "abc123" if same else "unknown"
    if not same:
        module = copy / "rotation.py"
        module.write_text(module.read_text() + "# changed\n")
    named = answers(copy, "p.git_commit()", "p.stamp()", ROTGRID_COMMIT=stamp)
    assert named[0] == commit
    assert (named[1] == stamp) == same
    adopt = f"p.adopt_stamp({stamp!r}) or p.git_commit()"
    assert answers(copy, "p.git_commit()", adopt, ROTGRID_COMMIT="") == ["unknown", commit]


@pytest.mark.usefixtures("fresh")
def test_a_process_takes_the_commit_of_another_that_runs_the_same_files():
    provenance.git_commit()
    provenance.adopt_stamp(f"abc123:{provenance.files_digest()}")
    assert provenance.git_commit() == "abc123"
    assert provenance.provenance(torch.device("cpu"))["git_commit"] == "abc123"
    provenance.adopt_stamp("abc123:of other files")
    assert provenance.git_commit() != "abc123"


@pytest.mark.usefixtures("fresh")
def test_the_command_prints_what_the_variable_takes():
    command = [sys.executable, "-m", "rotgrid.results.provenance"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert printed == provenance.stamp()
    assert printed.endswith(f":{provenance.files_digest()}")
