import subprocess
import sys
from array import array
from random import Random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis.rows import parquet
from analysis.rows.scan import gather, read
from rotgrid import results
from rotgrid.results import failures, storage
from rotgrid.results.columns import SCHEMA_VERSION, TABLES
from rotgrid.spec import Probe, Trial

from made_up import PROVENANCE, checks, epochs, frame, row, store

TRIAL = Trial(model="gcnn", data="mnist5k", recipe="fast")
LATER = {**PROVENANCE, "finished_at": PROVENANCE["finished_at"].replace(year=2027)}
GRID = """
blocks:
- {model: gcnn, data: mnist5k, recipe: fast, seed: [0, 1], probes: {test_rotation: [0, 20, 30]}}
"""


def rows_of(trial=TRIAL, turns=(0.0, 20.0)):
    return [row(trial, Probe(test_rotation=turn)) for turn in turns]


def test_load_gives_every_row_with_the_schema(tmp_path):
    store(tmp_path, rows_of())
    rows = analysis.load(tmp_path)
    assert rows.select("model", "test_rotation", "n").rows() == [
        ("gcnn", 0.0, 1_000),
        ("gcnn", 20.0, 1_000),
    ]
    assert rows.columns == [c.name for c in TABLES["evaluations"]] + ["flags"]
    assert rows["flags"].to_list() == [None, None]
    assert analysis.problems(tmp_path) == []


def test_no_folder_and_an_empty_folder_give_no_rows_but_the_columns(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        rows = analysis.load(place)
        assert rows.is_empty()
        assert rows.schema == frame([]).schema
        assert analysis.problems(place) == [f"{place}: no evaluations"]
        assert analysis.training(place).columns[-1] == "finished_at"


def test_a_location_of_an_unknown_kind_is_a_problem_not_an_exception():
    assert analysis.load("nonsense://x").is_empty()
    (line,) = analysis.problems("nonsense://x")
    assert line.startswith("nonsense://x: ")
    assert "not a results location" in line


def test_several_runs_together_keep_the_newest_of_a_measurement(tmp_path):
    old = rows_of()
    store(tmp_path / "a", old)
    fresh = row(TRIAL, Probe(test_rotation=0.0), n_correct=7, correct=None)
    results.write(tmp_path / "b", "evaluations", "x", [fresh], LATER)
    rows = analysis.load(tmp_path / "a", tmp_path / "b")
    assert rows.filter(pl.col("test_rotation") == 0)["n_correct"].to_list() == [7]
    assert rows.height == 2
    (line,) = analysis.problems(tmp_path / "a", tmp_path / "b")
    assert line == "1 rows repeat a (trial, probe); the newest of each is kept"


def test_the_same_measurement_under_two_keys_counts_once(tmp_path):
    (one,) = rows_of(turns=(0.0,))
    store(tmp_path, [one, {**one, "trial": "0" * 16}])
    assert analysis.load(tmp_path).height == 1
    (line,) = analysis.problems(tmp_path)
    assert "under another key" in line


@pytest.mark.parametrize(
    "wrong",
    [{"n_correct": 1_001}, {"n_correct": -1}, {"correct": b"\xff"}, {"n": 0, "correct": None}],
)
def test_impossible_counts_are_left_out_and_reported(tmp_path, wrong):
    good, bad = rows_of()
    store(tmp_path, [good, {**bad, **wrong}])
    assert analysis.load(tmp_path)["test_rotation"].to_list() == [0.0]
    (line,) = analysis.problems(tmp_path)
    assert "row left out" in line
    assert "test_rotation 20" in line


def test_bits_that_contradict_n_correct_are_reported(tmp_path):
    bad = row(TRIAL, Probe(test_rotation=0.0))
    bad["n_correct"] -= 1
    store(tmp_path, [bad])
    assert analysis.load(tmp_path).is_empty()
    assert "differs from the bits" in analysis.problems(tmp_path)[0]


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
        loaded = read(tmp_path)
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
        loaded = gather(place, whole=1_000)
        assert loaded.rows["seconds"].to_list() == [2, 2]
        assert loaded.problems == []
        assert parquet.height(place, "evaluations") == 2
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


def test_words_of_another_version_are_a_problem_and_their_rows_stay(tmp_path):
    (one, other) = rows_of()
    later = {**row(TRIAL, Probe(attack="pgd", eps=0.1)), "attack": "carlini", "loss": "cw"}
    store(tmp_path, [one, other, later])
    assert analysis.load(tmp_path).height == 3
    attack, loss = analysis.problems(tmp_path)
    assert attack.startswith("attack carlini: not known to this version")
    assert loss.startswith("loss cw: not known to this version")
    assert gather(tmp_path, whole=1).problems[:2] == [attack, loss]


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
    for loaded in (read(tmp_path), read(tmp_path, whole=1)):
        by_seed = dict(loaded.rows.select("seed", "code").iter_rows())
        assert by_seed == {0: None, 1: "abc"}
    assert analysis.problems(tmp_path) == []


def test_a_part_of_a_newer_version_is_skipped_and_one_of_an_older_is_read(tmp_path):
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


def test_many_rows_are_thinned_but_checked_and_the_same_otherwise(tmp_path):
    trials = [TRIAL.model_copy(update={"seed": seed}) for seed in range(3)]
    probes = [Probe(test_rotation=20.0), Probe(attack="pgd", eps=0.1)]
    rows = [row(trial, probe) for trial in trials for probe in probes]
    bad = row(TRIAL, Probe(test_rotation=30.0))
    bad["n_correct"] -= 1
    store(tmp_path, rows)
    results.write(tmp_path, "evaluations", "again", [{**rows[0], "seconds": 9.0}, bad], LATER)
    whole, lean = read(tmp_path), read(tmp_path, whole=3)
    assert lean.rows["correct"].null_count() == lean.rows["distances"].null_count() == 6
    assert lean.rows.filter(attack="none")["class_n"].null_count() == 0
    assert lean.rows.filter(attack="pgd")["class_n"].null_count() == 3
    dropped = ["correct", "distances", "class_n", "class_n_correct"]
    both = [one.rows.drop(dropped).sort("trial", "probe") for one in (whole, lean)]
    assert both[0].equals(both[1])
    assert both[1].filter(seconds=9.0).height == 1
    assert lean.problems[:-1] == whole.problems
    assert len(whole.problems) == 2
    assert lean.problems[-1].startswith("6 rows are so many that")
    assert read(tmp_path, whole=8).rows.equals(whole.rows)


def test_missing_trials_and_probes_of_the_launched_grid_are_reported(tmp_path):
    store(tmp_path, rows_of())
    storage.put(tmp_path, "grids/quick.yaml", GRID.encode())
    absent, partial = analysis.problems(tmp_path)
    assert "grids/quick.yaml: no rows of 1 of 2 trials: gcnn table1" in absent
    assert "seed 1" in absent
    assert "not all probes of 1 of 2 trials, missing 1 in all" in partial
    assert TRIAL.key() in partial


def test_many_missing_trials_make_one_line(tmp_path):
    grid = GRID.replace("[0, 1]", str(list(range(30))))
    storage.put(tmp_path, "grids/quick.yaml", grid.encode())
    lines = analysis.problems(tmp_path)
    assert len(lines) == 2
    assert "no rows of 30 of 30 trials" in lines[1]
    assert lines[1].endswith("and 25 more")


def test_a_grid_that_cannot_be_read_is_a_problem(tmp_path):
    store(tmp_path, rows_of())
    storage.put(tmp_path, "grids/quick.yaml", b"blocks: [{model: gcn}]")
    (line,) = analysis.problems(tmp_path)
    assert "unreadable grid" in line


def test_failed_trials_are_reported_also_when_their_report_is_damaged(tmp_path):
    store(tmp_path, rows_of())
    tries = failures.Attempts("launch", retries=0)
    failures.record(tmp_path, TRIAL, tries, "RuntimeError: out of memory")
    storage.put(tmp_path, "failures/ffffffffffffffff.json", b"{")
    known, damaged = analysis.problems(tmp_path)
    assert known.endswith(f"failed (trial {TRIAL.key()}): RuntimeError: out of memory")
    assert "gcnn table1" in known
    assert damaged.endswith("(trial ffffffffffffffff): failures/ffffffffffffffff.json is damaged")


def test_training_gives_the_newest_row_of_each_epoch(tmp_path):
    first, second = epochs(TRIAL, [None, None])
    results.write(tmp_path, "training", "a", [first, second], PROVENANCE)
    results.write(tmp_path, "training", "b", [{**second, "train_loss": 9.0}], LATER)
    rows = analysis.training(tmp_path)
    assert rows.select("epoch", "train_loss").rows() == [(1, 1.0), (2, 9.0)]


def test_equivariance_gives_the_newest_row_of_each_layer(tmp_path):
    shared = {"trial": TRIAL.key(), "probe": "p", **TRIAL.model_dump(), "degrees": 45.0, "n": 9}
    layers = [
        {**shared, "position": at, "layer": name, "error": 0.5 * at}
        for at, name in enumerate(["conv1", "logits"], 1)
    ]
    results.write(tmp_path, "equivariance", "a", layers, PROVENANCE)
    results.write(tmp_path, "equivariance", "b", [{**layers[1], "error": 9.0}], LATER)
    rows = analysis.equivariance(tmp_path)
    assert rows.select("layer", "error").rows() == [("conv1", 0.5), ("logits", 9.0)]
    assert analysis.equivariance(tmp_path / "nothing").is_empty()


def test_diagnostics_gives_the_newest_row_of_each_check(tmp_path):
    store(tmp_path, checks(TRIAL, repeat=0.5, float64=0.0), "diagnostics")
    (again,) = checks(TRIAL, repeat=0.0)
    results.write(tmp_path, "diagnostics", "again", [again], LATER)
    rows = analysis.diagnostics(tmp_path)
    assert rows.select("check", "value").rows() == [("float64", 0.0), ("repeat", 0.0)]
    assert analysis.diagnostics(tmp_path / "nothing").is_empty()


def test_failed_checks_are_flags_of_all_rows_of_a_trial_and_problems(tmp_path):
    trained, passed = (
        Trial(model="gcnn", data="mnist5k", recipe="fast", **fields)
        for fields in ({"adversary": "fgsm"}, {"seed": 1})
    )
    store(tmp_path, rows_of() + rows_of(trained) + rows_of(passed))
    store(tmp_path, checks(TRIAL, repeat=0.5) + checks(passed, repeat=0.0), "diagnostics")
    store(tmp_path, epochs(trained, [80, 1]), "training")
    loaded = read(tmp_path)
    flags = dict(loaded.rows.select("trial", "flags").iter_rows())
    assert flags == {TRIAL.key(): "repeat", trained.key(): "overfitting", passed.key(): ""}
    assert loaded.diagnostics["check"].to_list() == ["repeat", "repeat"]
    assert sorted(loaded.failed["check"]) == ["overfitting", "repeat"]
    assert loaded.rows.height == 6
    (line,) = [line for line in loaded.problems if TRIAL.key() in line]
    assert line == (
        "gcnn table1, train_rotation 0.0, adversary none, seed 0, trial "
        f"{TRIAL.key()}: accuracy under attack not to be believed: fails repeat"
    )
    assert len(loaded.problems) == 2


def test_many_flagged_networks_are_counted(tmp_path):
    trials = [TRIAL.model_copy(update={"seed": seed}) for seed in range(8)]
    store(tmp_path, [one for trial in trials for one in rows_of(trial)])
    store(tmp_path, [one for trial in trials for one in checks(trial, repeat=1.0)], "diagnostics")
    lines = analysis.problems(tmp_path)
    assert len(lines) == 6
    assert lines[-1] == "3 more networks fail checks"


def test_checks_of_networks_without_rows_do_not_count(tmp_path):
    store(tmp_path, rows_of())
    store(tmp_path, checks(TRIAL.model_copy(update={"seed": 1}), repeat=1.0), "diagnostics")
    loaded = read(tmp_path)
    assert loaded.problems == []
    assert loaded.diagnostics.is_empty()


def test_damaged_files_of_other_tables_are_named(tmp_path):
    store(tmp_path, rows_of())
    (tmp_path / "diagnostics").mkdir()
    (tmp_path / "diagnostics" / "torn.parquet").write_bytes(b"no")
    (line,) = analysis.problems(tmp_path)
    assert "diagnostics/torn.parquet: skipped" in line


def test_importing_analysis_imports_neither_torch_nor_ray():
    code = "import sys, analysis, analysis.__main__; print({'torch', 'ray'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (printed.returncode, printed.stdout, printed.stderr) == (0, "set()\n", "")
