from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.rows import overview
from analysis.rows.scan import ROW, ChangedError
from rotgrid.spec import Probe, Trial

from made_up import PROVENANCE, frame, row, study

TRIAL = Trial(model="gcnn", data="mnist5k")


def plain_fit(n, k, packed):
    """The same in words of one row."""
    if n is None or k is None or n <= 0 or not 0 <= k <= n:
        return False
    if packed is None:
        return True
    return len(packed) == -(-n // 8) and sum(byte.bit_count() for byte in packed) == k


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-1, 17),
            st.none() | st.integers(-1, 17),
            st.none() | st.binary(max_size=3),
        )
    )
)
def test_counts_fit_as_they_do_row_by_row(cases):
    schema = {"n": pl.Int64, "n_correct": pl.Int64, "correct": pl.Binary}
    rows = pl.DataFrame(cases, schema=schema, orient="row")
    found = rows.lazy().select(overview.fits()).collect(engine="streaming").to_series()
    assert found.to_list() == [plain_fit(*case) for case in cases]


def test_bits_as_they_are_stored_fit():
    bits = np.arange(20) % 3 == 0
    rows = {"n": [20], "n_correct": [int(bits.sum())], "correct": [np.packbits(bits).tobytes()]}
    assert pl.DataFrame(rows).select(overview.fits()).item()


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.none() | st.integers(0, 3)))
)
def test_the_newest_of_each_key_counts_or_else_the_first(cases):
    schema = {"a": pl.String, "b": pl.Int64, "finished_at": pl.Int64}
    rows = pl.DataFrame(cases, schema=schema, orient="row").with_row_index(ROW)
    best = {}
    for at, (a, b, age) in enumerate(cases):
        known = best.get((a, b))
        if known is None or (-1 if age is None else age) > known[1]:
            best[a, b] = at, -1 if age is None else age
    found = overview.newest(rows, ["a", "b"])
    assert found[ROW].to_list() == sorted(at for at, _ in best.values())


@pytest.fixture(scope="module")
def rows():
    """A study from two machines, in two numbers of images."""
    made = frame([*study(seeds=(0, 1)), *study(seeds=(2,), n_images=200)])
    there = PROVENANCE["finished_at"] + timedelta(days=1)
    other = made.tail(40).with_columns(host=pl.lit("there"), finished_at=pl.lit(there))
    return pl.concat([made.head(-40), other.select(made.columns)])


def test_what_all_rows_say_is_what_they_say_one_by_one(rows):
    found = overview.overview(rows)
    assert found.rows == rows.height
    networks = rows.select(overview.NETWORK).unique().sort("trial")
    assert found.networks.equals(networks)
    probes = rows.select("probe", *overview.PROBE, "n").unique().sort("probe", "n")
    assert found.probes.drop("counted").equals(probes)
    images = ["data", "train_size", "n"]
    assert found.images.equals(rows.select(images).unique().sort(images))
    assert found.machines.select("host", "rows", "trials").rows() == [
        ("here", rows.height - 40, rows.head(-40)["trial"].n_unique()),
        ("there", 40, rows.tail(40)["trial"].n_unique()),
    ]
    assert found.machines["last"][0] < found.machines["first"][1]


@pytest.mark.parametrize("count", [0, 1, 50])
def test_what_is_known_of_rows_already_changes_nothing(rows, count):
    scan = rows.lazy().with_row_index(ROW)
    found = overview.summarised(scan, overview.facts(scan), rows.head(count))
    for table, other in zip(found[1:], overview.overview(rows)[1:], strict=True):
        assert table.equals(other)


def test_rows_that_are_others_meanwhile_are_noticed(rows):
    scan = rows.lazy().with_row_index(ROW)
    facts = overview.facts(scan)
    others = rows.reverse().lazy().with_row_index(ROW)
    with pytest.raises(ChangedError):
        overview.summarised(others, facts, rows.clear())


def test_rows_before_counts_per_class_are_known():
    pgd = Probe(attack="pgd", eps=0.1)
    old = row(TRIAL, pgd, class_n=None, code=None)
    new = row(TRIAL.model_copy(update={"seed": 1}), Probe(), code=None)
    counted = overview.overview(frame([old, new])).probes
    assert dict(counted.select("attack", "counted").iter_rows()) == {"none": True, "pgd": False}
