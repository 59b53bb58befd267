import numpy as np
import pytest
from scipy import stats

from analysis.stats import intervals


@pytest.mark.parametrize("df", [1, 2, 4, 9, 999])
@pytest.mark.parametrize("t", [-60.0, -4.3, -1.0, -0.01, 0.0, 0.5, 12.0])
def test_all_of_seeds_is_students_and_all_of_images_normal(df, t):
    assert intervals.cdf(t, 1.0, df) == pytest.approx(stats.t.cdf(t, df), rel=1e-4)
    assert intervals.cdf(t, 0.0, df) == pytest.approx(stats.norm.cdf(t))


def test_in_between_it_is_the_sum_of_both():
    draw = np.random.default_rng(0)
    drawn = np.sqrt(0.4) * draw.standard_t(2, 400_000) + np.sqrt(0.6) * draw.normal(size=400_000)
    for t in (-6.0, -2.0, 0.5):
        assert intervals.cdf(t, 0.4, 2) == pytest.approx((drawn <= t).mean(), abs=2e-3)


@pytest.mark.parametrize("probability", [0.6, 0.9999, 0.975])
def test_quantiles_undo_it_for_many_at_once(probability):
    part, df = np.array([[0.0, 0.3], [0.7, 1.0]]), np.array([[2.0, 3.0], [4.0, 2.0]])
    found = intervals.quantile(probability, part, df)
    assert intervals.cdf(found, part, df) == pytest.approx(np.full((2, 2), probability), abs=1e-9)


def test_quantiles_of_one_source_are_those_of_its_distribution():
    found = intervals.quantile(0.975, [0.0, 1.0], 2.0)
    assert found[0] == pytest.approx(stats.norm.ppf(0.975))
    assert found[1] == pytest.approx(stats.t.ppf(0.975, 2), rel=1e-4)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_scores_are_wilsons(confidence):
    z = stats.norm.ppf((1 + confidence) / 2)
    for k, n in ((0, 1), (1, 1), (1, 10), (5, 10), (10, 10), (9_812, 10_000)):
        theirs = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
        assert intervals.score(k / n, n, z) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert intervals.score(0.0, 10, z)[0] == 0
    assert intervals.score(1.0, 10, z)[1] == 1
