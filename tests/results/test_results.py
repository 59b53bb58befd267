import datetime
import hashlib
import json
import threading

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from analysis.rows import scan
from rotgrid import results
from rotgrid.results import location, parts, storage
from rotgrid.results.columns import KEYS, NULLABLE, SCHEMAS, TABLES
from rotgrid.results.parts import DIGITS, subset, verified
from rotgrid.spec import ADDED_FIELDS, Probe, Trial

PROVENANCE = {
    "rotgrid_version": "0",
    "git_commit": "unknown",
    "code": "0123456789ab",
    "torch_version": "2",
    "device": "cpu",
    "host": "here",
    "finished_at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
}
TRIAL = Trial(model="gcnn")


def row(eps=0.1, **fields):
    probe = Probe(attack="fgsm", eps=eps).resolve(TRIAL)
    return {
        "trial": TRIAL.key(),
        "probe": probe.key(),
        **TRIAL.model_dump(),
        **probe.model_dump(),
        "n": 10,
        "n_correct": 7,
        "correct": b"\xff\x80",
        "class_n": [1] * 10,
        "class_n_correct": [1] * 7 + [0] * 3,
        "distances": None,
        "search_checked": None,
        "search_missed": None,
        "no_gradient": None,
        "square_only": None,
        "parameters": 5,
        "seconds": 0.5,
        **fields,
    }


@pytest.fixture(params=["path", "uri"])
def root(request, tmp_path):
    return str(tmp_path / "r") if request.param == "path" else f"file://{tmp_path}/r"


def test_rows_come_back_with_types_and_metadata(root, tmp_path):
    results.write(root, "evaluations", "part", [row(), row(0.2)], PROVENANCE)
    rows, skipped = results.read(root, "evaluations")
    assert skipped == []
    assert rows.schema.equals(SCHEMAS["evaluations"])
    assert rows.to_pylist()[1] == {**row(0.2), **PROVENANCE}
    metadata = pq.read_schema(tmp_path / "r/evaluations/part.parquet").metadata
    assert metadata[b"rotgrid.schema_version"] == b"7"
    assert json.loads(metadata[b"rotgrid.provenance"])["host"] == "here"


def test_nothing_is_an_empty_table(root):
    rows, skipped = results.read(root, "evaluations")
    assert (rows.num_rows, skipped) == (0, [])
    assert rows.schema.equals(SCHEMAS["evaluations"])
    assert results.measured_probes(root) == {}


def test_damaged_and_foreign_files_are_skipped_by_name(tmp_path):
    results.write(tmp_path, "evaluations", "good", [row()], PROVENANCE)
    folder = tmp_path / "evaluations"
    good = (folder / "good.parquet").read_bytes()
    (folder / "half.parquet").write_bytes(good[: len(good) // 2])
    (folder / "empty.parquet").write_bytes(b"")
    (folder / "text.parquet").write_text("hello")
    (folder / "flipped.parquet").write_bytes(good[:200] + bytes(50) + good[250:])
    pq.write_table(pa.table({"trial": ["x"]}), folder / "foreign.parquet")
    newer = pa.table({"trial": ["x"]}).replace_schema_metadata({"rotgrid.schema_version": "99"})
    pq.write_table(newer, folder / "newer.parquet")
    (folder / ".good.parquet.host.1.tmp").write_bytes(good[:100])
    (folder / "notes.txt").write_text("mine")
    (folder / "sub.parquet").mkdir()
    rows, skipped = results.read(tmp_path, "evaluations")
    assert rows.num_rows == 1
    assert [line.split(":")[0] for line in skipped] == [
        f"evaluations/{name}.parquet"
        for name in ("empty", "flipped", "foreign", "half", "newer", "text")
    ]
    assert "not written by rotgrid" in skipped[2]
    assert "newer than this" in skipped[4]
    assert results.measured_probes(tmp_path) == {TRIAL.key(): {row()["probe"]}}


def test_a_row_without_a_column_is_refused_before_anything_is_written(tmp_path):
    incomplete = row()
    del incomplete["n"]
    with pytest.raises(KeyError, match="n"):
        results.write(tmp_path, "evaluations", "part", [incomplete], PROVENANCE)
    assert not (tmp_path / "evaluations").exists()


def test_readers_never_see_a_part_of_a_file(tmp_path):
    done = threading.Event()
    written = [row(probe=f"{i}") for i in range(200)]

    def write():
        for i in range(60):
            fresh = [{**row, "seconds": float(i)} for row in written]
            results.write(tmp_path, "evaluations", "part", fresh, PROVENANCE)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set():
        rows, skipped = results.read(tmp_path, "evaluations", ["seconds"])
        assert skipped == []
        assert rows.num_rows in (0, 200)
        assert len(set(rows["seconds"].to_pylist())) <= 1
        reads += 1
    writer.join()
    assert reads > 5


def test_object_stores_are_written_by_one_put(monkeypatch):
    """An in-memory store stands for S3: an object appears on close, and there is no rename."""
    store = pafs.PyFileSystem(pafs.FSSpecHandler(MemoryFileSystem()))
    monkeypatch.setattr(location, "_locate_uri", lambda _: storage.Location(store, "bucket/r"))
    results.write("s3://bucket/r", "evaluations", "part", [row()], PROVENANCE)
    assert results.measured_probes("s3://bucket/r") == {TRIAL.key(): {row()["probe"]}}
    storage.require_writable("s3://bucket/r")
    assert set(store.handler.fs.find("bucket/r")) == {"/bucket/r/evaluations/part.parquet"}


def test_parts_of_one_trial_are_read_alone(tmp_path):
    results.write(tmp_path, "evaluations", f"{TRIAL.key()}-1", [row()], PROVENANCE)
    results.write(tmp_path, "evaluations", "other-1", [row(trial="other")], PROVENANCE)
    rows, _ = results.read(tmp_path, "evaluations", ["n", "trial"], TRIAL.key())
    assert rows.to_pydict() == {"n": [10], "trial": [TRIAL.key()]}


def test_of_rows_that_repeat_the_newest_is_read_in_its_place(root):
    def write(part, day, rows):
        when = {"finished_at": PROVENANCE["finished_at"] + datetime.timedelta(days=day)}
        results.write(root, "evaluations", part, rows, {**PROVENANCE, **when})

    write("a", 1, [row(0.1, seconds=1.0), row(0.2, seconds=2.0)])
    write("b", 2, [row(0.3, seconds=3.0), row(0.2, seconds=4.0)])
    write("c", 0, [row(0.1, seconds=5.0), row(0.4, seconds=6.0)])
    write("d", 0, [row(0.4, seconds=7.0)])
    rows, skipped = results.read(root, "evaluations", ["seconds"])
    assert skipped == []
    assert rows.to_pydict() == {"seconds": [1.0, 3.0, 4.0, 6.0]}


@pytest.mark.parametrize("table", KEYS)
def test_rows_differ_by_their_keys_alone(table):
    keys = KEYS[table]
    texts = [["a", "b", "b"], ["1", "1", "2"], ["x", "x", "x"]]
    columns = dict(zip(keys, texts, strict=False))
    schema = subset(table, [*keys, "finished_at"])
    rows = pa.table({**columns, "finished_at": pa.nulls(3, schema.field("finished_at").type)})
    rows = rows.cast(schema)
    assert results.distinct(rows, table).equals(rows)
    assert results.distinct(pa.concat_tables([rows, rows]), table).to_pydict() == rows.to_pydict()


def test_a_part_that_goes_while_others_come_is_not_missed(tmp_path, monkeypatch):
    """As when files are merged after a reader has listed them."""
    for name in "ab":
        results.write(tmp_path, "evaluations", name, [row(probe=name)], PROVENANCE)
    get = storage.get

    def merge(root, name):
        monkeypatch.setattr(storage, "get", get)
        both = [row(probe=name) for name in "ab"]
        results.write(tmp_path, "evaluations", "0", both, PROVENANCE)
        for name in "ab":
            storage.delete(tmp_path, f"evaluations/{name}.parquet")
        return get(root, name)

    monkeypatch.setattr(storage, "get", merge)
    rows, skipped = results.read(tmp_path, "evaluations", ["probe"])
    assert (rows["probe"].to_pylist(), skipped) == (["a", "b"], [])


def test_every_column_has_a_meaning():
    for columns in TABLES.values():
        assert all(column.meaning for column in columns)
        assert len({column.name for column in columns}) == len(columns)
    names = set(SCHEMAS["evaluations"].names)
    assert set(Trial.model_fields) | set(Probe.model_fields) <= names


def test_parts_of_an_older_schema_are_read_with_defaults_and_nulls(tmp_path):
    results.write(tmp_path, "evaluations", "part", [row()], PROVENANCE)
    path = tmp_path / "evaluations/part.parquet"
    table = pq.read_table(path)
    later = [*ADDED_FIELDS, *NULLABLE[:3], "code"]
    metadata = {**table.schema.metadata, b"rotgrid.schema_version": b"1"}
    pq.write_table(table.drop_columns(later).replace_schema_metadata(metadata), path)
    rows, skipped = results.read(tmp_path, "evaluations")
    assert skipped == []
    (found,) = rows.to_pylist()
    assert {name: found[name] for name in ADDED_FIELDS} == ADDED_FIELDS
    assert found["class_n"] is found["distances"] is found["code"] is None
    pq.write_table(table.drop_columns("eps"), path)
    _, skipped = results.read(tmp_path, "evaluations")
    assert "column eps is missing" in skipped[0]


def test_rows_of_an_older_schema_that_differ_in_a_field_that_is_gone_are_left_out(tmp_path):
    results.write(tmp_path, "evaluations", "part", [row(), row(eps=0.2)], PROVENANCE)
    path = tmp_path / "evaluations/part.parquet"
    table = pq.read_table(path)
    ways = pa.array(["float32", "bfloat16"])
    older = table.append_column("attack_precision", ways)
    metadata = {**table.schema.metadata, b"rotgrid.schema_version": b"4"}
    pq.write_table(older.replace_schema_metadata(metadata), path)
    first = table["eps"].to_pylist()[:1]
    rows, skipped = results.read(tmp_path, "evaluations")
    assert skipped == []
    assert rows["eps"].to_pylist() == first
    lazy, _ = scan.read([tmp_path], "evaluations", lambda rows: rows.select("eps").collect())
    assert lazy["eps"].to_list() == first
    assert results.read(tmp_path, "evaluations", ["eps"])[0]["eps"].to_pylist() == first


def zeros_in(path, column):
    """Write zeros over a column of a part."""
    data = path.read_bytes()
    group = pq.ParquetFile(path).metadata.row_group(0)
    at = next(
        group.column(i)
        for i in range(group.num_columns)
        if group.column(i).path_in_schema.startswith(column)
    )
    start, size = at.data_page_offset, min(512, at.total_compressed_size)
    path.write_bytes(data[:start] + bytes(size) + data[start + size :])


def unseal(path):
    """Make a part one of those that were written before there were checksums."""
    pq.write_table(pq.read_table(path), path, compression="zstd")


@pytest.mark.parametrize("column", ["correct", "distances", "host", "finished_at"])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_part_counts_if_all_of_it_can_be_read(tmp_path, column, sealed):
    """Whatever columns are asked for, and also without a checksum."""
    distances = [i / 7 for i in range(300)]
    results.write(tmp_path, "evaluations", "good", [row(distances=distances)], PROVENANCE)
    results.write(tmp_path, "evaluations", "part", [row(0.2, distances=distances)], PROVENANCE)
    path = tmp_path / "evaluations/part.parquet"
    if not sealed:
        unseal(path)
    assert results.read(tmp_path, "evaluations", ["probe"])[1] == []
    zeros_in(path, column)
    for asked in (None, ["trial", "probe"]):
        rows, skipped = results.read(tmp_path, "evaluations", asked)
        assert rows.num_rows == 1
        assert [line.split(":")[0] for line in skipped] == ["evaluations/part.parquet"]


def test_no_flipped_bit_changes_what_a_part_says(tmp_path):
    """It is skipped, or read as it was; no reading ends in another exception.

    A flipped bit in the name of a later column would have given its rows the default of it.
    """
    rows = [{**row(eps), "eps_unit": "normalised"} for eps in (0.1, 0.2)]
    results.write(tmp_path, "evaluations", "part", rows, PROVENANCE)
    path = tmp_path / "evaluations/part.parquet"
    good = path.read_bytes()
    before = results.read(tmp_path, "evaluations")[0]
    places = [*range(3, len(good), 41), good.index(b"eps_unit"), good.index(b"code")]
    skipped = 0
    for at in places:
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        rows, problems = results.read(tmp_path, "evaluations")
        assert problems or rows.equals(before)
        assert len(rows) == (0 if problems else 2)
        skipped += len(problems)
    assert skipped > len(places) - 5


def test_a_part_that_others_have_written_again_is_read(tmp_path):
    """It has no checksum any more."""
    results.write(tmp_path, "evaluations", "part", [row(), row(0.2)], PROVENANCE)
    path = tmp_path / "evaluations/part.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    assert not verified("evaluations/part.parquet", path.read_bytes())
    assert results.read(tmp_path, "evaluations", ["eps"])[0].to_pydict() == {"eps": [0.2]}


@pytest.mark.parametrize("name", ["part", "compacted-0"])
def test_an_outage_is_no_damage(tmp_path, monkeypatch, name):
    """Rows that cannot be read now are not rows that have to be measured again."""
    results.write(tmp_path, "evaluations", name, [row()], PROVENANCE)

    def unreachable(*_):
        raise storage.StoreError("cannot read: connection reset")

    for access in ("get", "opened"):
        monkeypatch.setattr(storage, access, unreachable)
    for trial in ("", TRIAL.key()):
        if trial and name == "part":
            continue
        with pytest.raises(storage.StoreError, match="connection reset"):
            results.read(tmp_path, "evaluations", trial=trial)


def test_an_outage_while_a_compacted_file_is_read_is_no_damage(monkeypatch):
    store = pafs.PyFileSystem(pafs.FSSpecHandler(MemoryFileSystem()))
    monkeypatch.setattr(location, "_locate_uri", lambda _: storage.Location(store, "bucket/o"))
    results.write("s3://bucket/o", "evaluations", "part", [row()], PROVENANCE)
    data = storage.get("s3://bucket/o", "evaluations/part.parquet")
    digits = hashlib.sha256(data).hexdigest()[:DIGITS]
    storage.put("s3://bucket/o", f"evaluations/compacted-{digits}.parquet", data)
    storage.delete("s3://bucket/o", "evaluations/part.parquet")
    rows = parts._rows

    def cut(source, *rest):
        if not isinstance(source, pa.BufferReader):
            raise OSError("connection reset")
        return rows(source, *rest)

    monkeypatch.setattr(parts, "_rows", cut)
    found, skipped = results.read("s3://bucket/o", "evaluations", ["n"])
    assert (found.to_pydict(), skipped) == ({"n": [10]}, [])
    monkeypatch.setattr(storage, "get", cut)
    with pytest.raises(OSError, match="connection reset"):
        results.read("s3://bucket/o", "evaluations", ["n"])
