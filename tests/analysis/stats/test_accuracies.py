import polars as pl
import pytest

import analysis

from made_up import frame, study


def test_accuracy_is_the_summary_of_the_rows_with_these_values():
    rows = frame(study()).with_columns(flags=pl.lit(""))
    found = analysis.accuracy(rows, ["model", "eps"], attack="pgd", eps=[0.1, 0.3],
                              adversary="none", train_rotation=0.0)  # fmt: skip
    chosen = rows.filter(
        pl.col("eps").is_in([0.1, 0.3]), attack="pgd", adversary="none", train_rotation=0.0
    )
    assert found.equals(analysis.summary(chosen, ["model", "eps"]))
    assert found.select("model", "eps", "seeds").rows() == [
        ("gcnn", 0.1, 3), ("gcnn", 0.3, 3), ("stdcnn", 0.1, 3), ("stdcnn", 0.3, 3),
    ]  # fmt: skip


def test_unlike_rows_are_not_mixed():
    rows = frame(study()).with_columns(flags=pl.lit(""))
    assert analysis.accuracy(rows, attack="fgsm").height == 2 * 3 * 2 * 4
    with pytest.raises(ValueError, match="differ in more than seed"):
        analysis.accuracy(rows, ["model"], attack="fgsm")
