import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from analysis.stats.summary import SUMMARY, holm, of_classes, summary, wilson
from rotgrid.spec import Probe, Trial

from made_up import frame, row


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(confidence):
    cases = [(k, n) for n in (1, 2, 7, 1_000, 10_000) for k in {0, 1, n // 3, n // 2, n - 1, n}]
    counts = pl.DataFrame(cases, schema=["n_correct", "n"], orient="row")
    lower, upper = wilson(confidence=confidence)
    ours = counts.select(lower=lower, upper=upper)
    for (k, n), interval in zip(cases, ours.iter_rows(), strict=True):
        theirs = binomtest(k, n).proportion_ci(confidence, method="wilson")
        assert interval == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_is_exact_at_the_ends_and_null_without_images():
    counts = pl.DataFrame({"n_correct": [0, 30, 0], "n": [30, 30, 0]})
    lower, upper = wilson()
    ends = counts.select(lower=lower, upper=upper)
    assert ends["lower"][0] == 0
    assert ends["upper"][1] == 1
    assert ends.row(2) == (None, None)


def test_summary_is_the_mean_over_seeds_with_spread_counts_and_interval():
    rows = pl.DataFrame(
        {
            "model": ["b", "a", "a"],
            "seed": [0, 1, 0],
            "n": [10, 100, 200],
            "n_correct": [5, 50, 150],
            "eps": [0.1, 0.1, 0.1],
            "flags": ["", None, "repeat"],
        }
    )
    first, second = summary(rows, ["model"]).iter_rows(named=True)
    assert list(first) == ["model", *SUMMARY]
    interval = binomtest(200, 300).proportion_ci(method="wilson")
    assert first == {
        "model": "a",
        "accuracy": pytest.approx(0.625),
        "accuracy_min": 0.5,
        "accuracy_max": 0.75,
        "seeds": 2,
        "n": 300,
        "n_correct": 200,
        "wilson_lower": pytest.approx(interval.low, abs=1e-12),
        "wilson_upper": pytest.approx(interval.high, abs=1e-12),
        "flags": "repeat",
    }
    assert (second["model"], second["accuracy"], second["seeds"]) == ("b", 0.5, 1)
    assert second["flags"] == ""


def test_summary_joins_the_flags_of_all_seeds_where_pixels_were_attacked():
    rows = pl.DataFrame(
        {
            "seed": [0, 1, 2],
            "n": 10,
            "n_correct": 5,
            "flags": ["repeat, transfer", "float64, repeat", ""],
        }
    )
    attacked = pl.concat(rows.with_columns(eps=pl.lit(eps)) for eps in (0.0, 0.1))
    assert summary(attacked, ["eps"])["flags"].to_list() == ["", "float64, repeat, transfer"]


def test_summary_refuses_to_mix_rows_that_differ_in_more_than_the_seed():
    rows = pl.DataFrame({"model": ["a", "a"], "seed": [0, 0], "n": [9, 9], "n_correct": [1, 2]})
    rows = rows.with_columns(flags=pl.lit(""), eps=pl.lit(0.1))
    with pytest.raises(ValueError, match="differ in more than seed and model"):
        summary(rows, ["model"])


def test_summary_of_nothing_has_all_columns():
    assert summary(frame([]), ["model"]).columns == ["model", *SUMMARY]


def test_of_classes_counts_the_other_classes_only():
    trial = Trial(model="gcnn", data="mnist5k")
    counts = {"class_n": [100] * 10, "class_n_correct": [90, *range(80, 89)]}
    known = row(trial, Probe(), n=1_000, n_correct=sum(counts["class_n_correct"]), **counts)
    unknown = row(trial, Probe(test_rotation=90.0), class_n=None, class_n_correct=None)
    rows = of_classes(frame([known, unknown]))
    assert rows.select("n", "n_correct").rows() == [(800, 90 + sum(range(80, 89)) - 85 - 88)]
    assert rows.columns == frame([]).columns
    assert of_classes(frame([known]), ())["n"].to_list() == [1_000]


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
