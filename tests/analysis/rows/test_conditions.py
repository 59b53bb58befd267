import polars as pl
import pytest

from analysis.rows import conditions
from analysis.rows.selection import NotMeasured


def test_nearest_eps_takes_the_nearest_that_every_attack_was_measured_at(full):
    rows, eps = conditions.nearest_eps(full, 0.3)
    assert eps == 0.3
    assert set(rows["eps"]) == {0.0, 0.3}
    only_fgsm = (full["attack"] == "pgd") & (full["eps"] > 0.15)
    assert conditions.nearest_eps(full.filter(~only_fgsm), 0.3)[1] == 0.1
    assert conditions.nearest_eps(full.filter(pl.col("attack") == "fgsm"), 0.16)[1] == 0.2


def test_nearest_eps_needs_an_attack(full):
    with pytest.raises(NotMeasured, match="attack at eps > 0"):
        conditions.nearest_eps(full.filter(pl.col("attack") == "none"), 0.3)


def test_an_eps_that_one_attack_was_measured_at_is_not_called_unmeasured(full):
    rows = full.filter((pl.col("attack") != "pgd") | (pl.col("eps") <= 0.1))
    assert conditions.eps_remark(rows, 0.1) == [
        "The paper's eps 0.3 was measured under FGSM only: the nearest that was measured under "
        "more, 0.1, is shown."
    ]
    assert conditions.eps_remark(rows.filter(pl.col("eps") < 0.3), 0.1, 0.25) == [
        "eps 0.25 was not measured: the nearest that was, 0.1, is shown."
    ]
    assert conditions.eps_remark(rows, 0.3) == []
