import contextlib
import datetime
import itertools
import os
import re
import shutil

import polars as pl
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from rotgrid import compact, results
from rotgrid.results import compaction, location, parts, storage
from rotgrid.results.columns import KEYS, SCHEMA_VERSION, SCHEMAS
from rotgrid.spec import ADDED_FIELDS, Probe, Trial

DAY = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
TRIALS = [Trial(model="gcnn", seed=seed) for seed in range(8)]
PROBES = [Probe(attack="fgsm", eps=eps).resolve(TRIALS[0]) for eps in (0.1, 0.2, 0.3)]


class KilledError(BaseException):
    pass


def provenance(day=0):
    names = ("rotgrid_version", "git_commit", "torch_version", "device", "host")
    return {**dict.fromkeys(names, "x"), "finished_at": DAY + datetime.timedelta(days=day)}


def rows_of(table, trial, probes=PROBES, **fields):
    """Rows as a launch writes them, every column filled."""
    own = {"trial": trial.key(), **trial.model_dump(), "parameters": 5, "n": 10, **fields}
    shared = [{**own, "probe": probe.key(), **probe.model_dump()} for probe in probes]
    layers = {"degrees": 30.0, "error": 0.5}
    checks = {"check": "loss", "value": 0.1, "limit": 0.2, "passed": True}
    counts = {"n_correct": 7, "correct": b"\xfe\x00", "seconds": 0.5, "class_n": [1] * 10}
    counts |= {"class_n_correct": [1] * 7 + [0] * 3, "distances": [0.25] * 9 + [float("inf")]}
    epochs = {"train_loss": 0.5, "val_n": 9, "val_n_correct": 8, "seconds": 0.5}
    return {
        "evaluations": [{**row, **counts, **fields} for row in shared],
        "training": [{**own, **epochs, "epoch": epoch} for epoch in (1, 2)],
        "equivariance": [
            {**row, **layers, "position": position, "layer": layer}
            for row in shared
            for position, layer in enumerate(("lift", "logits"), 1)
        ],
        "diagnostics": [{**row, **checks} for row in shared],
    }[table]


def launch(root, trials=TRIALS, probes=PROBES, day=0, tables=tuple(KEYS), **fields):
    """Write a part per trial and table."""
    for table, trial in itertools.product(tables, trials):
        part = f"{trial.key()}-{probes[0].key()[:8]}" if table != "training" else trial.key()
        results.write(root, table, part, rows_of(table, trial, probes, **fields), provenance(day))


def stored(root):
    """All rows by key; none may be there twice, no file be skipped."""
    found = {}
    for table, keys in KEYS.items():
        rows, skipped = results.read(root, table)
        assert skipped == []
        assert rows.schema.equals(SCHEMAS[table])
        for row in rows.to_pylist():
            key = (table, *(row[name] for name in keys))
            assert key not in found
            found[key] = row
    return found


def by_glob(root):
    """The same as somebody else reads them."""
    found = {}
    for table, keys in KEYS.items():
        there = (root / table).exists()
        for row in pl.read_parquet(f"{root}/{table}/*.parquet").to_dicts() if there else ():
            key = (table, *(row[name] for name in keys))
            assert key not in found
            found[key] = row
    return found


def files(root):
    return {
        table: {path.name: path.stat().st_mtime_ns for path in (root / table).iterdir()}
        for table in KEYS
        if (root / table).exists()
    }


def sizes(root):
    """Bytes in memory of each file of evaluations."""
    return [pq.read_table(path).nbytes for path in (root / "evaluations").iterdir()]


def compact_tables(root):
    for table in KEYS:
        assert compaction.compact(root, table)[1] == []


@pytest.fixture
def small_files(monkeypatch):
    """Three parts or so make a full file of the evaluations."""
    monkeypatch.setattr(compaction, "FULL_BYTES", 4_800)


@pytest.fixture
def launched(tmp_path):
    """Results of a launch."""
    launch(tmp_path / "launched")
    return tmp_path / "launched"


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_few_files_hold_the_same_rows(launched, prefix):
    before = stored(launched)
    compact_tables(f"{prefix}{launched}")
    assert stored(launched) == by_glob(launched) == before
    for names in files(launched).values():
        (name,) = names
        assert name.startswith("compacted-")


def test_an_object_store_is_compacted(monkeypatch):
    """An in-memory store stands for S3, which has no rename."""
    store = pafs.PyFileSystem(pafs.FSSpecHandler(MemoryFileSystem()))
    monkeypatch.setattr(location, "_locate_uri", lambda _: storage.Location(store, "bucket/c"))
    launch("s3://bucket/c")
    before = stored("s3://bucket/c")
    compact_tables("s3://bucket/c")
    assert stored("s3://bucket/c") == before
    assert [len(storage.names("s3://bucket/c", table, "")) for table in KEYS] == [1] * 4
    assert results.read("s3://bucket/c", "training", trial=TRIALS[2].key())[0].num_rows == 2


def test_rows_are_sorted_and_the_version_is_told(launched):
    compact_tables(launched)
    for table, (name,) in files(launched).items():
        file = pq.read_table(launched / table / name)
        assert file.schema.metadata[b"rotgrid.schema_version"] == str(SCHEMA_VERSION).encode()
        keys = list(zip(*(file[key].to_pylist() for key in KEYS[table]), strict=True))
        assert keys == sorted(keys)


def test_a_second_run_changes_nothing(launched, small_files):
    compact_tables(launched)
    before = files(launched)
    compact_tables(launched)
    assert files(launched) == before


def test_files_are_bounded_and_full_ones_are_left_alone(launched, small_files):
    compact_tables(launched)
    before = files(launched)["evaluations"]
    full = {name for name in before if compaction.is_full(name)}
    assert len(full) == 2
    assert len(before) == 3
    assert max(sizes(launched)) < 2 * compaction.FULL_BYTES
    launch(launched, [Trial(model="stdcnn")])
    rows = stored(launched)
    compact_tables(launched)
    after = files(launched)["evaluations"]
    assert {name: after[name] for name in full} == {name: before[name] for name in full}
    assert len(after) == 3
    assert stored(launched) == by_glob(launched) == rows


def test_a_table_with_one_part_keeps_it(tmp_path):
    launch(tmp_path, TRIALS[:1])
    before = files(tmp_path)
    compact_tables(tmp_path)
    assert files(tmp_path) == before


@pytest.fixture
def evaluated(tmp_path, small_files):
    """Evaluations that make two files."""
    launch(tmp_path / "evaluated", TRIALS[:5], tables=["evaluations"])
    return tmp_path / "evaluated"


def disturb(patch, at, act):
    """Call `act` before the `at`-th access to the store, counted from 0."""
    count = itertools.count()
    for name in ("get", "put", "delete"):
        original = getattr(storage, name)

        def step(*args, original=original):
            if next(count) == at:
                act()
            return original(*args)

        patch.setattr(storage, name, step)
    return count


def each_step(monkeypatch, start, act, run=compact_tables):
    """Copies of `start` in which `run` has been disturbed by `act`, one step later in each."""
    for at in itertools.count():
        root = shutil.copytree(start, start.with_name(f"step{at}"))
        with monkeypatch.context() as patch, contextlib.suppress(KilledError):
            count = disturb(patch, at, lambda root=root, patch=patch: act(root, patch))
            run(root)
            if next(count) <= at:  # it was done before
                return
        yield root


STEPS = 5 + 2 + 5
"""Of a run: reads, writes, deletions."""


def kill(root, patch):
    """From now on nothing works."""

    def fail(*_):
        raise KilledError

    for name in ("get", "put", "delete"):
        patch.setattr(storage, name, fail)
    raise KilledError


def test_killed_at_any_step_it_loses_nothing_and_the_next_run_heals(evaluated, monkeypatch):
    before = stored(evaluated)
    roots = list(each_step(monkeypatch, evaluated, kill))
    assert len(roots) == STEPS
    for root in roots:
        assert stored(root) == before
        compact_tables(root)
        assert stored(root) == by_glob(root) == before
        again = files(root)
        assert len(again["evaluations"]) <= 2
        compact_tables(root)
        assert files(root) == again


def test_two_at_once_lose_nothing(evaluated, monkeypatch):
    before = stored(evaluated)
    more = TRIALS[5:7]

    def other(root, patch):
        patch.undo()
        launch(root, more, tables=["evaluations"])
        compact_tables(root)

    launch(expected := evaluated.with_name("expected"), more, tables=["evaluations"])
    before |= stored(expected)
    for root in each_step(monkeypatch, evaluated, other):
        assert stored(root) == before
        compact_tables(root)
        assert stored(root) == by_glob(root) == before


def test_at_every_step_all_rows_are_read_once(evaluated, monkeypatch):
    before = stored(evaluated)
    seen = []

    def look(root, patch):
        patch.undo()
        seen.append(stored(root) == before)

    for root in each_step(monkeypatch, evaluated, look):
        assert stored(root) == before
    assert seen == [True] * STEPS


def test_a_reader_misses_nothing_that_is_merged_under_it(evaluated, monkeypatch):
    before = stored(evaluated)
    found = []

    def merge(root, patch):
        patch.undo()
        compact_tables(root)

    for _ in each_step(monkeypatch, evaluated, merge, lambda root: found.append(stored(root))):
        assert found[-1] == before
    assert len(found) == 5 + 1


def test_rows_measured_again_replace_those_already_merged(launched, small_files):
    compact_tables(launched)
    launch(launched, TRIALS[3:5], day=1, seconds=9.0)
    rows = stored(launched)
    assert sum(row.get("seconds") == 9.0 for row in rows.values()) == 2 * 3
    compact_tables(launched)
    assert stored(launched) == by_glob(launched) == rows


def test_parts_that_share_probes_are_merged_into_one_row_each(launched, small_files):
    before = stored(launched)
    launch(launched, probes=PROBES[1:])
    assert stored(launched) == before
    compact_tables(launched)
    assert stored(launched) == by_glob(launched) == before


def test_full_files_with_the_same_rows_are_merged(launched, small_files):
    """As runs leave them that started from different parts."""
    before = stored(launched)
    rows = results.read(launched, "evaluations")[0]
    shutil.rmtree(launched / "evaluations")
    for start, stop in ((0, 12), (6, 18), (12, 24)):
        list(compaction.write(launched, "evaluations", rows.slice(start, stop - start)))
    assert all(map(compaction.is_full, files(launched)["evaluations"]))
    assert stored(launched) == before
    compact_tables(launched)
    assert stored(launched) == by_glob(launched) == before
    assert max(sizes(launched)) < 2 * compaction.FULL_BYTES


def test_a_damaged_part_is_kept_and_reported(launched):
    part = launched / f"evaluations/{TRIALS[0].key()}-{PROBES[0].key()[:8]}.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    rows, problems = compaction.compact(launched, "evaluations")
    assert rows == 7 * 3
    assert [line.split(":")[0] for line in problems] == [f"evaluations/{part.name}"]
    assert problems == results.read(launched, "evaluations")[1]
    assert len(files(launched)["evaluations"]) == 2
    launch(launched, TRIALS[:1])
    assert compaction.compact(launched, "evaluations") == (8 * 3, [])
    assert len(files(launched)["evaluations"]) == 1


def test_a_damaged_file_that_was_compacted_is_kept_and_reported(launched, small_files):
    """The rows of its parts are measured again; what is damaged cannot be merged with them."""
    compact_tables(launched)
    name = next(filter(compaction.is_full, sorted(files(launched)["evaluations"])))
    path = launched / "evaluations" / name
    data = path.read_bytes()
    at = pq.ParquetFile(path).metadata.row_group(0).column(20).data_page_offset
    path.write_bytes(data[:at] + bytes(40) + data[at + 40 :])
    launch(launched)
    rows, problems = compaction.compact(launched, "evaluations")
    assert rows == 8 * 3
    assert [line.split(":")[0] for line in problems] == [f"evaluations/{name}"]
    assert path.exists()


def test_a_part_of_schema_1_is_merged_with_defaults(launched):
    path = launched / f"evaluations/{TRIALS[0].key()}-{PROBES[0].key()[:8]}.parquet"
    table = pq.read_table(path)
    metadata = {**table.schema.metadata, b"rotgrid.schema_version": b"1"}
    old = table.drop_columns([*ADDED_FIELDS, "distances"]).replace_schema_metadata(metadata)
    pq.write_table(old, path)
    before = stored(launched)
    compact_tables(launched)
    assert stored(launched) == by_glob(launched) == before
    merged = before["evaluations", TRIALS[0].key(), PROBES[0].key()]
    assert merged["distances"] is None
    assert {name: merged[name] for name in ADDED_FIELDS} == ADDED_FIELDS


def test_a_trial_is_found_in_compacted_files_by_reading_its_rows_alone(launched, monkeypatch):
    monkeypatch.setattr(parts, "GROUP_ROWS", 3)
    compact_tables(launched)
    launch(launched, TRIALS[4:6], [Probe(test_rotation=20).resolve(TRIALS[0])])
    for trial in TRIALS:
        rows, _ = results.read(launched, "evaluations", trial=trial.key())
        assert set(rows["trial"].to_pylist()) == {trial.key()}
        assert len(rows) == (4 if trial in TRIALS[4:6] else 3)
    assert results.read(launched, "evaluations", ["n"], "0" * 16)[0].num_rows == 0
    path = next((launched / "evaluations").glob("compacted-*"))
    data = path.read_bytes()
    path.write_bytes(bytes(1_000) + data[1_000:])  # the first trial's
    last, first = max(t.key() for t in TRIALS), min(t.key() for t in TRIALS)
    assert results.read(launched, "evaluations", trial=last)[1] == []
    assert len(results.read(launched, "evaluations", trial=first)[1]) == 1


def test_a_part_without_rows_is_merged(launched):
    before = stored(launched)
    results.write(launched, "training", "none", [], provenance())
    compact_tables(launched)
    assert stored(launched) == before
    assert len(files(launched)["training"]) == 1


def test_the_command_says_what_it_did(launched, capsys):
    (launched / "evaluations/text.parquet").write_text("hello")
    assert compact.main([str(launched)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split(", ")[:2] for line in lines] == [
        ["evaluations: 9 -> 2 files", "24 rows"],
        ["training: 8 -> 1 files", "16 rows"],
        ["equivariance: 8 -> 1 files", "48 rows"],
        ["diagnostics: 8 -> 1 files", "24 rows"],
    ]
    assert all(re.search(r" 0\.\d -> 0\.\d MB$", line) for line in lines)
    assert err.startswith("evaluations/text.parquet: skipped: ")


def test_only_what_is_of_no_use_is_removed_from_the_checkpoints(launched, capsys):
    for name in ("a.pt", "a.training.pt", "b.training.pt"):
        storage.put(launched, f"checkpoints/{name}", b"x")
    for name, age in (("dead", 7_200), ("alive", 10)):
        path = launched / f"evaluations/.{name}.parquet.host.1.tmp"
        path.write_bytes(b"x")
        moment = datetime.datetime.now().timestamp() - age
        os.utime(path, (moment, moment))
    assert compact.main([str(launched)]) == 0
    assert storage.names(launched, "checkpoints", "") == [
        "checkpoints/a.pt",
        "checkpoints/b.training.pt",
    ]
    gone, dead = capsys.readouterr().err.splitlines()
    assert gone.startswith("checkpoints/a.training.pt: deleted")
    assert dead.startswith("evaluations/.dead.parquet.host.1.tmp: ")
    assert len(list((launched / "evaluations").glob(".*"))) == 2


def test_no_results_are_an_error(tmp_path, capsys):
    assert compact.main([str(tmp_path / "none")]) == 2
    assert "no launched grid and no rows" in capsys.readouterr().err
    assert compact.main(["ftp://x/y"]) == 2
    assert "not a results location" in capsys.readouterr().err
    storage.put(tmp_path, "grids/g.yaml", b"x")
    assert compact.main([str(tmp_path)]) == 0


def test_a_store_that_cannot_be_written_is_an_error(launched, capsys, monkeypatch):
    before = stored(launched)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    assert compact.main([str(launched)]) == 5
    assert "No space left on device" in capsys.readouterr().err
    assert stored(launched) == by_glob(launched) == before


def test_analysis_reads_compacted_results_alike(launched):
    import analysis

    views = (analysis.load, analysis.training, analysis.equivariance, analysis.diagnostics)
    before = [view(launched) for view in views]
    compact_tables(launched)
    assert all(view(launched).equals(old) for view, old in zip(views, before, strict=True))
    assert analysis.problems(launched) == []
