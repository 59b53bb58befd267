"""What is loaded for the report is all that the report reads."""

import json
import re

import polars as pl
import pytest

from analysis.claims import reads, verdicts
from analysis.figures.registry import COLUMNS, FIGURES, OF_ANY_GRID
from analysis.report import worst
from analysis.report.reads import FEW, ROWS, WANTED
from analysis.rows.selection import NotMeasured
from rotgrid.spec import Probe

from made_up import frame, row, study, trials_of, whole

IMAGES = ["correct", "distances", "class_n", "class_n_correct"]


@pytest.fixture(scope="module")
def everything():
    """A study with all that any figure asks for, and rows that nothing reads."""
    tables = whole()
    networks = study(adversaries=("none", "fgsm"), test_rotations=(), eps=())
    odd = [
        row(trial, probe)
        for trial in trials_of(networks)
        for probe in (
            Probe(attack="rotation-grid", test_rotation=60.0),
            Probe(attack="rotation-grid", test_rotation=30.0),
            Probe(attack="strong", eps=0.1),
            Probe(attack="noise", eps=0.1),
            Probe(attack="noise", eps=0.1, test_rotation=90.0),
            Probe(attack="equivariance", test_rotation=30.0),
            Probe(attack="fgsm", eps=0.1, test_rotation=90.0),
        )
    ]
    rows = pl.concat([tables["rows"], frame(odd)]).unique(["trial", "probe"], maintain_order=True)
    flags = pl.when(pl.col("seed") == 1).then(pl.lit("repeat")).otherwise(pl.lit(""))
    return tables | {"rows": rows.with_columns(flags=flags)}


@pytest.fixture(scope="module")
def loaded(everything):
    """The rows as they are loaded for the report."""
    kept = [pl.when(where).then(name).alias(name) for name, where in WANTED.only.items()]
    rows = everything["rows"].filter(WANTED.rows).with_columns(kept)
    assert 0 < rows.height < everything["rows"].height
    assert 0 < rows["distances"].null_count() < rows.height
    return rows


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


OF_THE_PAPER = {name: figure for name, figure in FIGURES.items() if name not in OF_ANY_GRID}


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_a_figure_is_the_same_from_the_rows_that_are_loaded(everything, loaded, name):
    figure, tables = FIGURES[name], [everything[need] for need in FIGURES[name].needs]
    expected = drawn(figure, everything["rows"], tables)
    assert drawn(figure, loaded.filter(*figure.reads).select(COLUMNS), tables) == expected


def test_claims_are_judged_alike_from_the_rows_that_are_loaded(everything, loaded):
    expected = verdicts.judge(everything["rows"])
    assert {one.verdict for one in expected} > {"not measured"}
    assert verdicts.judge(loaded.filter(reads.READS)) == expected


def test_the_worst_case_is_the_same_from_the_rows_that_are_loaded(everything, loaded):
    expected, found = (
        worst.worst_case(rows) for rows in (everything["rows"], loaded.filter(worst.READS))
    )
    assert found.rows.equals(expected.rows)
    assert found.notes == expected.notes


def test_the_simple_question_lets_every_row_through_that_is_read(everything):
    rows = everything["rows"]
    read = [pl.all_horizontal(*figure.reads) for figure in OF_THE_PAPER.values()]
    for one in (*read, reads.READS, worst.READS):
        assert rows.filter(one & ~ROWS).is_empty()


def test_of_few_rows_all_are_read_with_the_images_that_each_network_got_right(everything):
    few, many = WANTED.of(FEW), WANTED.of(FEW + 1)
    assert many is WANTED
    assert everything["rows"].filter(few.rows).height == everything["rows"].height
    assert set(WANTED.only) - set(few.only) == {"correct"}
