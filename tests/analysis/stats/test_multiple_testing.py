import numpy as np
import polars as pl
import pytest

from analysis.stats.multiple_testing import holm


def test_holm_is_the_step_down_procedure_and_ignores_what_was_not_tested():
    rows = pl.DataFrame({"p": [0.04, None, 0.01, 0.03, 0.005, 0.9]})
    assert rows.select(holm())["p"].to_list() == pytest.approx(
        [0.09, None, 0.04, 0.09, 0.025, 0.9], nan_ok=False
    )
    parts = pl.DataFrame({"family": ["a", "b", "a"], "p": [0.02, 0.02, 0.03]})
    assert parts.select(holm().over("family"))["p"].to_list() == [0.04, 0.02, 0.04]


def test_holm_keeps_the_error_of_a_family():
    p = np.random.default_rng(0).random((4_000, 8))
    p[:, :3] = 1e-6  # false hypotheses: their rejection is no error
    families = pl.DataFrame(
        {"family": np.repeat(np.arange(4_000), 8), "true": [i > 2 for i in range(8)] * 4_000}
    ).with_columns(p=p.ravel())
    wrong = (
        families.with_columns(holm().over("family"))
        .filter(pl.col("true"))
        .group_by("family")
        .agg((pl.col("p") < 0.05).any())
    )
    assert 0.04 < wrong["p"].mean() < 0.06
