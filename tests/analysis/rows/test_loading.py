import subprocess
import sys
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis.rows.loading import NOTHING, Wanted, gather
from rotgrid import compact, results
from rotgrid.results import failures, storage
from rotgrid.results.columns import TABLES
from rotgrid.spec import Probe, Trial
from rotgrid.spec.recipes import FAST

from made_up import (
    OWN,
    OWN_ATTACK,
    OWN_DATA,
    PROVENANCE,
    checks,
    epochs,
    frame,
    row,
    store,
    study,
)

TRIAL = Trial(model="gcnn", data="mnist5k", recipe="fast")
ADDED_FIELDS = {**PROVENANCE, "finished_at": PROVENANCE["finished_at"].replace(year=2027)}
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
    assert rows.columns == [c.name for c in TABLES["evaluations"]] + ["flags", "cautions"]
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
    results.write(tmp_path / "b", "evaluations", "x", [fresh], ADDED_FIELDS)
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


def test_words_of_another_version_are_a_problem_and_their_rows_stay(tmp_path):
    (one, other) = rows_of()
    later = {**row(TRIAL, Probe(attack="pgd", eps=0.1)), "attack": "carlini", "loss": "cw"}
    store(tmp_path, [one, other, later])
    assert analysis.load(tmp_path).height == 3
    attack, loss = analysis.problems(tmp_path)
    assert attack.startswith("attack carlini: not known to this version")
    assert loss.startswith("loss cw: not known to this version")


def test_own_names_and_own_recipes_are_no_unknown_words(tmp_path):
    settings = FAST.model_copy(update={"weight_decay": 0.1}).model_dump_json()
    rows = study(
        models=((OWN, "wide"),),
        data=OWN_DATA,
        adversaries=("none", OWN_ATTACK),
        attacks=(OWN_ATTACK,),
        recipe="mine",
        recipe_settings=settings,
    )
    store(tmp_path, rows)
    assert analysis.problems(tmp_path) == []
    other = [
        one | {"trial": "0" * 16, "recipe": "theirs", "recipe_settings": ""} for one in rows[:1]
    ]
    store(tmp_path, other)
    (line,) = analysis.problems(tmp_path)
    assert line.startswith("recipe theirs: not known to this version of rotgrid")


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
    assert "unreadable grid, so what is missing is unknown: grids/quick.yaml:1:18: " in line


def test_a_grid_that_is_no_text_is_a_problem_with_its_name(tmp_path):
    store(tmp_path, rows_of())
    storage.put(tmp_path, "grids/quick.yaml", b"\xff")
    (line,) = analysis.problems(tmp_path)
    assert "unreadable grid, so what is missing is unknown: grids/quick.yaml: 'utf-8'" in line


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
    results.write(tmp_path, "training", "b", [{**second, "train_loss": 9.0}], ADDED_FIELDS)
    rows = analysis.training(tmp_path)
    assert rows.select("epoch", "train_loss").rows() == [(1, 1.0), (2, 9.0)]


def test_equivariance_gives_the_newest_row_of_each_layer(tmp_path):
    shared = {"trial": TRIAL.key(), "probe": "p", **TRIAL.model_dump(), "degrees": 45.0, "n": 9}
    layers = [
        {**shared, "position": at, "layer": name, "error": 0.5 * at}
        for at, name in enumerate(["conv1", "logits"], 1)
    ]
    results.write(tmp_path, "equivariance", "a", layers, PROVENANCE)
    results.write(tmp_path, "equivariance", "b", [{**layers[1], "error": 9.0}], ADDED_FIELDS)
    rows = analysis.equivariance(tmp_path)
    assert rows.select("layer", "error").rows() == [("conv1", 0.5), ("logits", 9.0)]
    assert analysis.equivariance(tmp_path / "nothing").is_empty()


def test_diagnostics_gives_the_newest_row_of_each_check(tmp_path):
    store(tmp_path, checks(TRIAL, repeat=0.5, float64=0.0), "diagnostics")
    (again,) = checks(TRIAL, repeat=0.0)
    results.write(tmp_path, "diagnostics", "again", [again], ADDED_FIELDS)
    rows = analysis.diagnostics(tmp_path)
    assert rows.select("check", "value").rows() == [("float64", 0.0), ("repeat", 0.0)]
    assert analysis.diagnostics(tmp_path / "nothing").is_empty()


def test_failed_checks_are_flags_of_the_rows_that_they_speak_against_and_problems(tmp_path):
    trained, passed = (
        Trial(model="gcnn", data="mnist5k", recipe="fast", **fields)
        for fields in ({"adversary": "fgsm"}, {"seed": 1})
    )
    attacked = Probe(attack="pgd", eps=0.1)
    networks = TRIAL, trained, passed
    store(tmp_path, [one for t in networks for one in (*rows_of(t), row(t, attacked))])
    store(tmp_path, checks(TRIAL, repeat=0.5) + checks(passed, repeat=0.0), "diagnostics")
    store(tmp_path, epochs(trained, [80, 1]), "training")
    loaded = gather(tmp_path)
    flags = dict(loaded.rows.filter(attack="pgd").select("trial", "flags").iter_rows())
    assert flags == {TRIAL.key(): "repeat", trained.key(): "overfitting", passed.key(): ""}
    assert set(loaded.rows.filter(eps=0.0)["flags"]) == {""}
    assert loaded.diagnostics["check"].to_list() == ["repeat", "repeat"]
    assert sorted(loaded.failed["check"]) == ["overfitting", "repeat"]
    assert loaded.rows.height == 9
    (line,) = [line for line in loaded.problems if TRIAL.key() in line]
    assert line == (
        "gcnn table1, train_rotation 0.0, adversary none, seed 0, trial "
        f"{TRIAL.key()}: not to be believed: accuracy under any attack (repeat)"
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
    loaded = gather(tmp_path)
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


def again(one, hours, **changes):
    """The row as it was measured some hours later."""
    later = PROVENANCE["finished_at"] + timedelta(hours=hours)
    return {**one, "finished_at": later, **changes}


def measured_twice():
    """Rows of three networks, some of them again: newer, under another key, or impossible."""
    trials = [TRIAL.model_copy(update={"seed": seed}) for seed in range(3)]
    rows = [again(one, 0) for trial in trials for one in rows_of(trial)]
    rows += [again(one, at + 1, seconds=9.0 + at) for at, one in enumerate(rows[:3])]
    rows += [again(rows[4], 7, trial="0" * 16, seconds=7.0)]
    return [*rows, again(rows[5], 8, n_correct=10**6)]


@settings(max_examples=25, deadline=None)
@given(
    st.permutations(measured_twice()),
    st.lists(st.integers(0, 4), min_size=11, max_size=11),
    st.booleans(),
)
def test_however_rows_are_split_into_files_they_are_the_same(
    tmp_path_factory, rows, parts, merged
):
    run = tmp_path_factory.mktemp("run")
    for part in set(parts):
        chosen = [one for one, of in zip(rows, parts, strict=True) if of == part]
        for at, one in enumerate(chosen):  # a file has one provenance
            provenance = {**PROVENANCE, "finished_at": one["finished_at"]}
            place = run / ("a" if part < 3 else "b")
            results.write(place, "evaluations", f"{part}-{at}", [one], provenance)
    places = [place for place in (run / "a", run / "b") if place.exists()]
    for place in places if merged else ():
        compact.compact(place, "evaluations")
    found = analysis.load(*places)
    assert found.select("seed", "test_rotation", "seconds").rows() == [
        (0, 0.0, 9.0),
        (0, 20.0, 10.0),
        (1, 0.0, 11.0),
        (1, 20.0, 0.5),
        (2, 0.0, 7.0),
    ]
    lines = "; ".join(analysis.problems(*places))
    assert "under another key" in lines
    assert "n_correct 1000000 of n 1000 is out of range" in lines


def test_what_is_not_wanted_is_counted_but_not_kept(tmp_path):
    attacked = Probe(attack="pgd", eps=0.1)
    rows = [*rows_of(), row(TRIAL, attacked)]
    store(tmp_path, rows)
    pgd = pl.col("attack") == "pgd"
    whole, some, none = (
        gather(tmp_path, wanted=wanted)
        for wanted in (
            Wanted(),
            Wanted(pl.col("test_rotation") == 0, ["n", "correct"], {"correct": pgd}),
            NOTHING,
        )
    )
    assert [loaded.rows.height for loaded in (whole, some, none)] == [3, 2, 0]
    kept = dict(some.rows.select("attack", "correct").iter_rows())
    assert kept == {"none": None, "pgd": rows[-1]["correct"]}
    assert "class_n" not in some.rows.columns
    for loaded in (some, none):
        assert loaded.overview.rows == 3
        assert loaded.problems == whole.problems == []
        for table, other in zip(loaded.overview[1:], whole.overview[1:], strict=True):
            assert table.equals(other)


def test_images_that_only_another_network_breaks_are_a_flag(tmp_path):
    fields = {"n_images": 1_000, "attack": "pgd", "eps": 0.1}
    robust, broken = (
        row(TRIAL, Probe(**fields), n_correct=k, correct=bits) | {"probe": probe, "attack": attack}
        for k, bits, probe, attack in (
            (1_000, b"\xff" * 125, "p", "pgd"),
            (0, bytes(125), "t", "transfer"),
        )
    )
    store(tmp_path, [robust, broken])
    for wanted in (Wanted(), NOTHING):
        (check,) = gather(tmp_path, wanted=wanted).failed.iter_rows(named=True)
        assert (check["check"], check["value"]) == ("transfer", 1.0)
