import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analysis.rows import parquet
from rotgrid.spec import Probe, Trial

from made_up import row, store

TRIALS = [Trial(model="gcnn", data="mnist5k", seed=seed) for seed in range(6)]


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
    assert parquet.fit(rows).to_list() == [plain_fit(*case) for case in cases]
    assert parquet.fit(rows[1:]).to_list() == [plain_fit(*case) for case in cases[1:]]


def test_bits_as_they_are_stored_fit():
    bits = np.arange(20) % 3 == 0
    rows = {"n": [20], "n_correct": [int(bits.sum())], "correct": [np.packbits(bits).tobytes()]}
    assert parquet.fit(pl.DataFrame(rows)).to_list() == [True]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 3))))
def test_the_newest_of_each_key_in_the_order_of_the_keys(cases):
    schema = {"a": pl.String, "b": pl.Int64, "finished_at": pl.Int64}
    found = parquet.newest(pl.DataFrame(cases, schema=schema, orient="row"), ["a", "b"])
    ages = {}
    for a, b, age in cases:
        ages[a, b] = max(age, ages.get((a, b), age))
    assert found.rows() == [(*key, ages[key]) for key in sorted(ages)]


def test_rows_in_order_are_not_copied():
    rows = pl.DataFrame({"a": ["x", "x", "y"], "b": [1, 2, 1], "finished_at": [1, 1, 1]})
    assert parquet.newest(rows, ["a", "b"]) is rows


def test_batches_do_not_part_a_trial(tmp_path, monkeypatch):
    store(tmp_path, [row(trial, Probe()) for trial in TRIALS])
    monkeypatch.setattr(parquet, "AT_ONCE", 2)
    for part in (tmp_path / "evaluations").iterdir():
        part.with_name(f"{part.stem}-again.parquet").write_bytes(part.read_bytes())
        part.rename(part.with_name(f"{part.stem}-first.parquet"))
    found = [rows for rows, _ in parquet.batches(tmp_path, "evaluations", lambda rows: rows)]
    assert [rows["trial"].n_unique() for rows in found] == [1] * 6
    assert [rows.height for rows in found] == [2] * 6


def test_rows_are_counted_by_their_own_account_unless_a_part_is_damaged(tmp_path):
    assert parquet.height(tmp_path, "evaluations") == 0
    store(tmp_path, [row(trial, Probe(test_rotation=x)) for trial in TRIALS for x in (0.0, 9.0)])
    assert parquet.height(tmp_path, "evaluations") == 12
    (tmp_path / "evaluations" / "torn.parquet").write_bytes(b"no")
    assert parquet.height(tmp_path, "evaluations") == 0


def test_parts_that_come_while_others_are_read_are_read_too(tmp_path):
    store(tmp_path, [row(TRIALS[0], Probe())])
    reading = parquet.batches(tmp_path, "evaluations", lambda rows: rows)
    assert next(reading)[0].height == 1
    store(tmp_path, [row(trial, Probe()) for trial in TRIALS])
    assert sum(rows.height for rows, _ in reading) == 5
