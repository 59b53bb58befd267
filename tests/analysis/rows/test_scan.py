from array import array
from random import Random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis.rows import scan
from analysis.rows.loading import gather
from rotgrid import results
from rotgrid.results import storage
from rotgrid.results.columns import SCHEMA_VERSION
from rotgrid.results.parts import encoded
from rotgrid.results.parts import sealed as seal
from rotgrid.spec import Probe, Trial

from made_up import PROVENANCE, row, store

TRIAL = Trial(model="gcnn", data="mnist5k", recipe="fast")


def rows_of(trial=TRIAL, turns=(0.0, 20.0)):
    return [row(trial, Probe(test_rotation=turn)) for turn in turns]


def read(place):
    """All rows of a place, and the files that they come from."""
    return scan.read([place], "evaluations", lambda rows: rows.collect())


def test_damaged_and_foreign_files_are_skipped_and_named(tmp_path):
    store(tmp_path, rows_of())
    (tmp_path / "evaluations" / "torn.parquet").write_bytes(b"PAR1 and no more")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "evaluations" / "foreign.parquet")
    assert analysis.load(tmp_path).height == 2
    torn, foreign = sorted(analysis.problems(tmp_path), reverse=True)
    assert "evaluations/torn.parquet: skipped" in torn
    assert "evaluations/foreign.parquet: skipped: not written by rotgrid" in foreign


def test_a_damaged_part_among_many_costs_only_its_own_rows(tmp_path):
    trials = [TRIAL.model_copy(update={"seed": seed}) for seed in range(5)]
    store(tmp_path, [one for trial in trials for one in rows_of(trial)])
    first = sorted((tmp_path / "evaluations").iterdir())[0]
    content = first.read_bytes()
    middle = len(content) // 3  # in the pages: the footer is whole
    first.write_bytes(content[:middle] + b"\xff" * 64 + content[middle + 64 :])
    assert analysis.load(tmp_path).height == 8
    (line,) = analysis.problems(tmp_path)
    assert f"{first.name}: skipped" in line


def damaged(content, random):
    """The content with one bit flipped (often at a page's start), or zeros, or its end cut off."""
    changed = bytearray(content)
    starts = [at for at in range(len(content)) if content[at : at + 2] == b"\x15\x04"] or [0]
    at = random.choice([random.randrange(len(content)), random.choice(starts)])
    match random.choice(["bit", "bit", "zeros", "end"]):
        case "bit":
            changed[min(at + random.randrange(30), len(content) - 1)] ^= 1 << random.randrange(8)
        case "zeros":
            changed[at : at + 64] = bytes(len(changed[at : at + 64]))
        case "end":
            del changed[at:]
    return bytes(changed)


def test_whatever_is_damaged_its_part_is_read_or_named(tmp_path):
    other = TRIAL.model_copy(update={"seed": 1})
    store(tmp_path, rows_of() + rows_of(other))
    part = tmp_path / "evaluations" / f"{TRIAL.key()}.parquet"
    content, random = part.read_bytes(), Random(1)
    for _ in range(150):
        part.write_bytes(damaged(content, random))
        loaded = gather(tmp_path)
        assert loaded.rows.filter(trial=other.key()).height == 2
        assert len(loaded.rows) == 4 or loaded.problems
        repr(loaded.rows)  # also text that is none is found before it is shown


def test_text_that_is_none_is_damage(tmp_path):
    store(tmp_path, rows_of())
    (part,) = (tmp_path / "evaluations").iterdir()
    table = pq.read_table(part, use_threads=False)
    ends = [0, 2, 4]
    buffers = [None, pa.py_buffer(array("i", ends)), pa.py_buffer(b"\xff\xfeab")]
    wrong = pa.Array.from_buffers(pa.string(), len(table), buffers)
    at = table.column_names.index("host")
    pq.write_table(table.set_column(at, table.schema.field("host"), wrong), part)
    assert analysis.load(tmp_path).is_empty()
    assert "skipped: " in analysis.problems(tmp_path)[0]


@pytest.mark.parametrize("name", ["run[12]", "run*", "run?", "[ICLR] robust", "~", "run[/1]"])
def test_names_of_folders_are_no_patterns(tmp_path, monkeypatch, name):
    for seconds, folder in enumerate(["run1", "run2", name]):
        store(tmp_path / folder, [{**one, "seconds": float(seconds)} for one in rows_of()])
    monkeypatch.chdir(tmp_path)
    for place in (name, tmp_path / name):
        loaded = gather(place)
        assert loaded.rows["seconds"].to_list() == [2, 2]
        assert loaded.problems == []
    monkeypatch.chdir(tmp_path / name)
    assert analysis.load(".")["seconds"].to_list() == [2, 2]


def test_what_cannot_be_reached_is_not_called_damaged(tmp_path, monkeypatch):
    def away(root, name):
        raise storage.StoreError(f"cannot read {name}: no connection")

    store(tmp_path, rows_of())
    monkeypatch.setattr(storage, "get", away)
    with pytest.raises(storage.StoreError, match="no connection"):
        analysis.load(tmp_path)


def test_a_place_that_cannot_be_reached_is_no_empty_one(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        analysis.load(tmp_path / "file")


def test_parts_with_and_without_the_digest_of_the_code(tmp_path):
    trials = [TRIAL.model_copy(update={"seed": seed}) for seed in range(2)]
    store(tmp_path, rows_of(trials[0]))
    (part,) = (tmp_path / "evaluations").iterdir()
    table = pq.read_table(part).drop_columns(["code"])
    meta = {**table.schema.metadata, b"rotgrid.schema_version": b"3"}
    pq.write_table(table.replace_schema_metadata(meta), part)
    results.write(
        tmp_path, "evaluations", "new", rows_of(trials[1]), {**PROVENANCE, "code": "abc"}
    )
    assert dict(analysis.load(tmp_path).select("seed", "code").iter_rows()) == {0: None, 1: "abc"}
    assert analysis.problems(tmp_path) == []


def test_a_part_of_a_newer_version_is_skipped_and_one_of_an_older_is_gather(tmp_path):
    store(tmp_path, rows_of())
    (part,) = (tmp_path / "evaluations").iterdir()
    table = pq.read_table(part)
    newer = SCHEMA_VERSION + 1
    for name, version, lacking in (
        ("older", b"1", ["class_n", "loss"]),
        ("newer", str(newer).encode(), []),
    ):
        changed = table.set_column(0, "trial", pa.array([name] * len(table)))
        changed = changed.set_column(
            table.column_names.index("seed"), "seed", pa.array([hash(name) % 99] * len(table))
        ).drop_columns(lacking)
        meta = {**table.schema.metadata, b"rotgrid.schema_version": version}
        pq.write_table(changed.replace_schema_metadata(meta), part.with_name(f"{name}.parquet"))
    rows = analysis.load(tmp_path)
    assert set(rows["trial"]) == {TRIAL.key(), "older"}
    assert rows.filter(trial="older").select("class_n", "loss").rows() == [(None, "ce")] * 2
    (line,) = analysis.problems(tmp_path)
    assert f"newer.parquet: skipped: schema version {newer} is newer" in line


def rewritten(path, version, *, without=(), change=None):
    """The file as an earlier version wrote it, with a checksum."""
    table = pq.read_table(path).drop_columns(list(without))
    table = change(table) if change else table
    meta = {b"rotgrid.schema_version": str(version).encode()}
    table = table.replace_schema_metadata(meta)
    path.write_bytes(seal(encoded([table], table.schema)))


@pytest.mark.parametrize("sealed", [True, False])
def test_what_an_earlier_version_did_not_write_is_as_it_was_then(tmp_path, sealed):
    later = ["class_n", "code", "test_translation", "eps_unit", "train_steps", "clip", "mode"]
    later += ["threat"]
    trials = [TRIAL.model_copy(update={"seed": seed}) for seed in range(2)]
    store(tmp_path, [one for trial in trials for one in rows_of(trial)])
    path = tmp_path / "evaluations" / f"{trials[0].key()}.parquet"
    rewritten(path, 1, without=later)
    if not sealed:
        path.write_bytes(path.read_bytes().replace(b"crc32=", b"crc23="))
    rows, found = read(tmp_path)
    assert found.skipped == []
    assert rows.columns == [scan.ROW, *scan.schema("evaluations")]
    assert rows[scan.ROW].to_list() == [*range(4)]
    old = rows.filter(seed=0).select(later).unique().row(0)
    assert old == (None, None, 0.0, "pixel", 0, "pixel", "eval", "linf")
    assert rows.filter(seed=1)["code"].to_list() == ["0123456789ab"] * 2


@pytest.mark.parametrize("version", [2, SCHEMA_VERSION])
def test_a_column_that_there_always_was_cannot_be_missing(tmp_path, version):
    store(tmp_path, rows_of())
    (path,) = (tmp_path / "evaluations").iterdir()
    rewritten(path, version, without=["n_correct"])
    rows, found = read(tmp_path)
    assert rows.is_empty()
    assert f"evaluations/{path.name}: skipped: " in found.skipped[0]


def test_other_types_of_the_same_values_are_read(tmp_path):
    def small(table):
        at = table.column_names.index("n")
        return table.set_column(at, "n", table["n"].cast(pa.int32()))

    store(tmp_path, rows_of())
    (path,) = (tmp_path / "evaluations").iterdir()
    for version in (3, SCHEMA_VERSION):
        rewritten(path, version, change=small)
        rows, found = read(tmp_path)
        assert rows["n"].to_list() == [1_000] * 2
        assert rows.schema["n"] == pl.Int64
        assert found.skipped == []


def test_files_that_go_while_they_are_read_are_looked_for_again(tmp_path):
    def reading(rows):
        if old.exists():
            old.rename(old.with_name("merged.parquet"))
        return rows.collect()

    store(tmp_path, rows_of())
    (old,) = (tmp_path / "evaluations").iterdir()
    rows, found = scan.read([tmp_path], "evaluations", reading)
    assert rows.height == 2
    assert [file.name for file in found.files] == [f"{tmp_path}: evaluations/merged.parquet"]
    assert found.skipped == []


def test_what_keeps_failing_is_raised(tmp_path):
    def reading(rows):
        raise scan.ChangedError

    store(tmp_path, rows_of())
    with pytest.raises(scan.ChangedError):
        scan.read([tmp_path], "evaluations", reading)


def test_places_without_files_are_named(tmp_path):
    rows, found = read(tmp_path)
    assert rows.is_empty()
    assert (found.files, found.empty) == ([], [tmp_path])
