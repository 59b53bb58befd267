import io

import polars as pl

from analysis.explorer import downloads

from made_up import frame, study


def test_parquet_holds_everything_and_csv_what_it_can():
    rows = frame(study(seeds=(0,), train_rotations=(0,), adversaries=("none",)))
    assert pl.read_parquet(io.BytesIO(downloads.parquet(rows))).equals(rows)
    found = pl.read_csv(io.BytesIO(downloads.csv(rows)))
    assert set(rows.columns) - set(found.columns) == {
        *("correct", "class_n", "class_n_correct", "distances"),
    }
    assert found["n_correct"].to_list() == rows["n_correct"].to_list()
