import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from analysis.stats import seeds
from analysis.stats.intervals import score
from analysis.stats.summary import SUMMARY, of_classes, summary
from rotgrid.spec import Probe, Trial

from made_up import frame, row


def test_summary_is_the_mean_over_seeds_with_spread_and_interval():
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
    lower, upper = score(0.625, 100, norm.ppf(0.975))
    assert first == {
        "model": "a",
        "accuracy": pytest.approx(0.625),
        "accuracy_min": 0.5,
        "accuracy_max": 0.75,
        "seeds": 2,
        "n": 100,
        "lower": pytest.approx(lower),
        "upper": pytest.approx(upper),
        "interval": "images of one network",
        "flags": "repeat",
    }
    assert (second["model"], second["accuracy"], second["seeds"]) == ("b", 0.5, 1)
    assert (second["flags"], second["interval"]) == ("", "images")


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_intervals_of_many_conditions_are_those_of_each_alone(count):
    draw = np.random.default_rng(count)
    levels = [0.0, 0.02, 0.6, 0.97, 1.0]
    table = draw.random((5, count, 45)) < np.array(levels)[:, None, None]
    rows = pl.DataFrame(
        [
            (level, seed, 45, int(bits.sum()), np.packbits(bits).tobytes(), 0.0, "")
            for level, of in zip(levels, table, strict=True)
            for seed, bits in enumerate(of)
        ],
        schema=["level", "seed", "n", "n_correct", "correct", "eps", "flags"],
        orient="row",
    )
    found = summary(rows, ["level"])
    for bits, lower, upper in zip(table, found["lower"], found["upper"], strict=True):
        assert (lower, upper) == pytest.approx(seeds.share(bits.astype(float)).interval())
    covers = {"seeds and images"} if count >= seeds.FEWEST else {"images"}
    assert set(found["interval"]) == covers
    bare = rows.with_columns(correct=pl.when(pl.col("seed") > 0).then("correct"))
    assert set(summary(bare, ["level"])["interval"]) == (
        {"images"} if count == 1 else {"images of one network"}
    )


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


def test_of_classes_takes_as_many_classes_as_there_are():
    trial = Trial(model="gcnn", data="mnist5k")
    three = {"class_n": [40, 30, 30], "class_n_correct": [9, 8, 7]}
    known = row(trial, Probe(), n=100, n_correct=24, **three)
    counts = [
        of_classes(frame([known]), left).select("n", "n_correct").row(0) for left in ((1,), (6, 9))
    ]
    assert counts == [(70, 16), (100, 24)]
