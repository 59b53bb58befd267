"""What is worked out from a star is what its rows give in one frame."""

import itertools
import json
import re

import polars as pl
import pytest

from analysis.__main__ import draw
from analysis.claims import verdicts
from analysis.figures.registry import COLUMNS, FIGURES
from analysis.report import methods, worst
from analysis.rows import parquet, star
from analysis.rows.scan import Loaded, gather
from analysis.rows.selection import NotMeasured
from rotgrid import results
from rotgrid.results import storage
from rotgrid.spec import Probe, Trial

from made_up import PROVENANCE, checks, frame, row, store, study, table_of, trials_of, whole

FIELDS = [*Trial.model_fields, *Probe.model_fields]
KEY = ["trial", "probe"]
IMAGES = ["correct", "distances", "class_n", "class_n_correct"]


@pytest.fixture(scope="module")
def everything():
    """A study with all that any figure asks for, and rows that figures must leave out."""
    tables = whole()
    networks = study(adversaries=("none", "fgsm"), test_rotations=(), eps=())
    odd = [
        row(trial, probe)
        for trial in trials_of(networks)
        for probe in (
            Probe(attack="rotation-grid", test_rotation=60.0),
            Probe(attack="noise", eps=0.1),
            Probe(attack="equivariance", test_rotation=45.0),
            Probe(attack="pgd", eps=0.1, test_translation=2.0),
        )
    ]
    slow = [
        row(t.model_copy(update={"epochs": 9, "seed": 7}), Probe()) for t in trials_of(networks)
    ]
    rows = pl.concat([tables["rows"], frame(odd + slow)]).with_columns(
        flags=pl.when(pl.col("seed") == 1).then(pl.lit("repeat")).otherwise(pl.lit(""))
    )
    known = {row: at for at, row in enumerate(rows.select(KEY).iter_rows())}
    return tables | {"rows": rows[sorted(known.values())].sort(KEY)}


def taken_apart(rows, count=7):
    """The star of some batches of rows."""
    rows = rows.with_columns(fits=pl.lit(True))
    size = -(-rows.height // count)
    batches = [rows[at : at + size] for at in range(0, rows.height, size)]
    made = star.joined([star.apart(batch.drop("flags"), batch["fits"]) for batch in batches])
    flags = rows.select("trial", "flags").unique()
    return star.with_of_trials(star.fitting(made), flags)


@pytest.fixture(scope="module")
def apart(everything):
    return taken_apart(everything["rows"])


def test_what_is_taken_apart_is_whole_again(everything, apart):
    rows = everything["rows"]
    again = star.whole(star.newest(apart, KEY))
    assert star.height(apart) == rows.height
    assert again.schema == rows.schema
    assert again.drop(IMAGES).equals(rows.drop(IMAGES))
    upright = pl.col("eps") == 0
    assert again.filter(upright).select(IMAGES[2:]).equals(rows.filter(upright).select(IMAGES[2:]))
    assert again.filter(~upright)["class_n"].null_count() == rows.filter(~upright).height > 0
    assert apart.shared["_probe"].height < rows.height / 5


@pytest.mark.parametrize(
    "predicates",
    [
        [pl.col("attack") == "pgd"],
        [pl.col("train_rotation") == pl.col("test_rotation"), pl.col("model") == "gcnn"],
        [pl.col("n_correct") > 900],
        [pl.lit(False)],
        [],
    ],
    ids=["attack", "two", "counts", "none", "all"],
)
def test_narrow_gives_the_rows_that_meet_all(everything, apart, predicates):
    expected = everything["rows"].filter(*predicates).drop(IMAGES)
    assert star.narrow(apart, *predicates).drop(IMAGES).sort(KEY).equals(expected)


@pytest.mark.parametrize("columns", [["trial"], ["data", "train_size", "n"], ["eps", "model"]])
def test_distinct_values_are_those_of_the_rows(everything, apart, columns):
    expected = star.distinct(everything["rows"], columns).sort(columns)
    assert star.distinct(apart, columns).equals(expected)
    assert 0 < expected.height < everything["rows"].height


def test_newest_keeps_the_newest_under_one_key_and_of_one_measurement():
    trial = Trial(model="gcnn", data="mnist5k")
    later = PROVENANCE["finished_at"].replace(year=2027)
    first = row(trial, Probe())
    again = row(trial, Probe(), seconds=9.0, finished_at=later)
    renamed = {**first, "trial": "0" * 16, "seconds": 7.0, "finished_at": later.replace(year=2028)}
    other = row(trial, Probe(test_rotation=9.0))
    for rows in itertools.permutations([first, again, renamed, other]):
        made = taken_apart(frame(list(rows)), 4)
        by_key = star.newest(made, KEY)
        assert sorted(star.whole(by_key)["seconds"]) == [0.5, 7.0, 9.0]
        assert not star.told_apart(by_key, FIELDS)
        assert sorted(star.whole(star.newest(by_key, FIELDS))["seconds"]) == [0.5, 7.0]
    assert star.told_apart(taken_apart(frame([first, other])), FIELDS)


def test_pairs_without_rows_are_lacking(everything, apart):
    rows = everything["rows"]
    pairs = pl.concat([rows.select(KEY)[::3], pl.DataFrame({"trial": ["x"], "probe": ["y"]})])
    crossed = pl.DataFrame({"trial": [rows["trial"][0]], "probe": [rows["probe"][-1]]})
    missing = pl.concat([pairs, crossed])
    assert star.lacking(apart, missing).rows() == star.lacking(rows, missing).rows()
    assert ("x", "y") in star.lacking(apart, missing).rows()


def test_what_is_said_of_all_rows_is_the_same(everything, apart):
    rows = everything["rows"]
    assert methods.counts(apart) == methods.counts(rows)
    assert methods.provenance(apart).equals(methods.provenance(rows))
    assert set(methods.notes(apart)) == set(methods.notes(rows))
    assert methods.notices(apart) == methods.notices(rows) != []
    trial = trials_of(study(eps=()))[0]
    diagnostics = table_of("diagnostics", checks(trial, repeat=0.5))
    failed = diagnostics.select("trial", "check", "value", "limit")
    said = [
        (methods.checked(loaded), methods.failed(loaded).rows())
        for loaded in (Loaded(r, [], [], diagnostics, failed) for r in (rows, apart))
    ]
    assert said[0] == said[1]
    assert len(said[0][1]) == 1


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_the_same_from_the_rows_that_it_reads(everything, apart, name):
    """From a star all but the outcomes of single images; from a frame they, too."""
    figure, tables = FIGURES[name], [everything[need] for need in FIGURES[name].needs]
    expected = drawn(figure, everything["rows"], tables)
    read = star.narrow(everything["rows"], *figure.reads, columns=COLUMNS)
    assert drawn(figure, read, tables) == expected
    thin = everything["rows"].with_columns(
        pl.lit(None, everything["rows"].schema[name]).alias(name) for name in IMAGES[:2]
    )
    narrowed = star.narrow(apart, *figure.reads, columns=COLUMNS).sort(KEY)
    assert drawn(figure, narrowed, tables) == drawn(figure, thin, tables)


def drawn(figure, rows, tables):
    """The figure's words, panels and data, or why there is none."""
    try:
        spec = figure.draw(rows, *tables).to_dict(validate=False)
    except NotMeasured as error:
        return str(error)
    data = list(spec.pop("datasets").values())
    names = re.compile(r"data-[0-9a-f]{32}")  # made of the data
    return rounded(data), names.sub("", json.dumps(spec, sort_keys=True))


def rounded(value):
    """Without the last digits of numbers: means depend on the order of what they are of."""
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return round(value, 12) if isinstance(value, float) else value


def test_the_worst_case_is_the_same_from_the_rows_that_it_reads(everything, apart):
    expected = worst.worst_case(everything["rows"])
    for rows in (everything["rows"], apart):
        found = worst.worst_case(star.narrow(rows, worst.READS))
        of_bits = pl.selectors.ends_with("lower", "upper", "interval")  # a star has none
        assert found.rows.drop(of_bits).equals(expected.rows.drop(of_bits))
        assert found.notes == expected.notes


def test_claims_of_a_star_are_not_measured(apart):
    assert {one.verdict for one in verdicts.judge(star.outcomes(apart))} == {"not measured"}


def test_a_report_of_many_rows_says_what_one_of_few_does(tmp_path, monkeypatch):
    rows = study(seeds=(0,), adversaries=("none",))
    bad = {**rows[3], "n_correct": 10**6}
    run = store(tmp_path / "run", [*rows[:3], bad, *rows[4:]])
    again = [{**rows[0], "seconds": 9.0}]
    later = PROVENANCE["finished_at"].replace(year=2027)
    results.write(run, "evaluations", "again", again, {**PROVENANCE, "finished_at": later})
    grid = "blocks: [{model: gcnn, data: mnist5k, recipe: fast, seed: [0, 9]}]"
    storage.put(run, "grids/quick.yaml", grid.encode())
    (tmp_path / "run" / "evaluations" / "torn.parquet").write_bytes(b"no")
    few, many = gather(run), gather(run, whole=5)
    assert isinstance(many.rows, star.Star)
    assert many.problems[:-1] == few.problems
    assert len(few.problems) == 4
    draw([run], str(tmp_path / "few"))
    monkeypatch.setattr("analysis.__main__.WHOLE", 5)
    monkeypatch.setattr(parquet, "AT_ONCE", 1)
    draw([run], str(tmp_path / "many"))
    tables = {p.name: p.read_bytes() for p in (tmp_path / "few" / "tables").iterdir()}
    tables = {name: data for name, data in tables.items() if not name.startswith("difference")}
    assert len(tables) > 20
    for name, data in tables.items():
        assert (tmp_path / "many" / "tables" / name).read_bytes() == data
