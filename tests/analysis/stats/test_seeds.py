import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.special import stdtr

from analysis.rows.selection import NotMeasured
from analysis.stats import seeds

STUDIES = 1_000


ARMS = ("one", "other")


def study(draw, count, n, apart, between=0.25, images=1.5):
    """Bits of two kinds of network, the second negative: some images are harder than others for
    all, and every training is a little better or worse."""
    harder = draw.normal(0, images, n)
    sides = []
    for sign, level in ((1.0, 1.0 + apart), (-1.0, 1.0)):
        better = draw.normal(0, between, (count, 1))
        sides.append(sign * (level + better + harder + draw.logistic(size=(count, n)) > 0))
    return sides


def interval(tables):
    return seeds.crossed(tables, ARMS).interval()


def true_difference(apart, between=0.25, images=1.5):
    draw = np.random.default_rng(99)
    drawn = draw.normal(0, (between**2 + images**2) ** 0.5, 1_000_000)
    return float((1 / (1 + np.exp(-1 - apart - drawn)) - 1 / (1 + np.exp(-1 - drawn))).mean())


def covered(count, n, apart, between=0.25):
    """The share of studies whose interval holds the truth."""
    draw, truth = np.random.default_rng(count), true_difference(apart, between)
    intervals = [interval(study(draw, count, n, apart, between)) for _ in range(STUDIES)]
    return sum(lower <= truth <= upper for lower, upper in intervals) / STUDIES


@pytest.mark.parametrize(("count", "n"), [(3, 500), (5, 500), (5, 2_000)])
@pytest.mark.parametrize("apart", [0.0, 0.5])
def test_intervals_over_seeds_and_images_cover_the_truth(count, n, apart):
    assert 0.93 <= covered(count, n, apart) <= 0.97


@pytest.mark.parametrize("count", [3, 4, 5, 10])
def test_where_seeds_hardly_differ_intervals_are_hardly_too_wide(count):
    """With no difference at all they must be a little: they are never narrower than those of the
    images, and wider where seeds happen to seem to differ."""
    assert 0.93 <= covered(count, 500, 0.5, between=0.05) <= 0.97
    assert 0.93 <= covered(count, 500, 0.5, between=0.0) <= 0.98


@pytest.mark.parametrize("apart", [0.0, 0.7, 2.0, 6.0])
def test_small_p_values_are_as_rare_as_they_say(apart):
    """As Holm's method needs them: here of 3 seeds whose means differ by `apart` standard errors
    of the images. Satterthwaite's degrees of freedom alone would be wrong up to ten times more."""
    draw, studies, n, level = np.random.default_rng(3), 20_000, 30, 0.005
    hits = thin = 0
    for _ in range(studies):
        table = draw.normal(size=n) + draw.normal(0, apart * (3 / n) ** 0.5, (3, 1))
        found = seeds.crossed([table + draw.normal(0, 0.3, (3, n))], pseudo=0)
        hits += min(found.p_above(), found.p_below()) < level / 2
        thin += 2 * stdtr(found.df, -abs(found.value) / found.error) < level
    assert hits / studies <= 1.3 * level
    if apart == 2.0:
        assert thin / studies > 3 * level


@pytest.mark.parametrize(("count", "between"), [(1, 0.0), (2, 0.0), (3, 0.0)])
def test_intervals_of_given_networks_are_not_too_narrow(count, between):
    draw, truth = np.random.default_rng(7), true_difference(0.5, between)
    estimates = [interval(study(draw, count, 500, 0.5, between)) for _ in range(STUDIES)]
    inside = sum(lower <= truth <= upper for lower, upper in estimates) / STUDIES
    assert inside >= 0.93


def test_images_alone_would_be_too_narrow():
    """Why seeds are counted: the interval of one network does not reach to others."""
    draw, truth = np.random.default_rng(7), true_difference(0.0, 0.5)
    estimates = [interval(study(draw, 1, 2_000, 0.0, 0.5)) for _ in range(200)]
    assert sum(lower <= truth <= upper for lower, upper in estimates) < 0.6 * 200


def test_where_images_do_not_matter_it_is_students_interval():
    table = np.repeat([[0.1], [0.4], [0.2], [0.9]], 30, axis=1)
    found = seeds.crossed([table], pseudo=0)
    theirs = stats.ttest_1samp(table[:, 0], 0.2, alternative="greater")
    assert found.value == pytest.approx(0.4)
    both = stats.ttest_1samp(table[:, 0], 0.2).confidence_interval(0.95)
    assert found.interval() == pytest.approx((both.low, both.high))
    assert found.p_above(0.2) == pytest.approx(theirs.pvalue)
    assert found.p_below(0.2) == pytest.approx(1 - theirs.pvalue)
    assert (found.n, found.seeds) == (30, 4)


def test_of_one_network_it_is_students_interval_over_images():
    values = np.random.default_rng(0).normal(size=(1, 50))
    theirs = stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    found = seeds.crossed([values], pseudo=0)
    assert found.interval() == pytest.approx((theirs.low, theirs.high))
    assert found.seeds == 1


def test_images_that_happen_not_to_differ_leave_an_error():
    found = seeds.crossed([np.zeros((1, 1_000))])
    assert found.value == 0
    assert found.interval() == pytest.approx((-0.00196, 0.00196), abs=1e-5)


def test_what_seeds_and_images_share_counts_once():
    table = np.random.default_rng(0).normal(size=(60, 400))
    assert seeds.crossed([table], pseudo=0).error == pytest.approx(24_000**-0.5, rel=0.15)


def test_different_images_add_their_variances():
    draw = np.random.default_rng(1)
    tables = [draw.normal(size=(1, 40)), draw.normal(size=(1, 90))]
    errors = [seeds.crossed([table], pseudo=0).error for table in tables]
    both = seeds.crossed(tables, pseudo=0)
    assert both.error == pytest.approx(np.hypot(*errors))
    assert both.value == pytest.approx(tables[0].mean() + tables[1].mean())


def test_the_bootstrap_draws_seeds_and_images():
    draw = np.random.default_rng(3)
    table = sum(study(draw, 12, 400, 0.5))
    lower, upper = seeds.bootstrap(table)
    other = seeds.crossed([table]).interval()
    assert (lower, upper) == pytest.approx(other, abs=0.3 * (other[1] - other[0]))
    assert seeds.bootstrap(table) == (lower, upper)
    plain = [
        table[draw.integers(12, size=12)][:, draw.integers(400, size=400)].mean()
        for _ in range(4_000)
    ]
    assert (lower, upper) == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=0.004)


def test_the_bootstrap_of_few_seeds_is_too_narrow():
    """As its docstring warns; so verdicts do not depend on it."""
    draw, truth = np.random.default_rng(4), true_difference(0.0, 0.5)
    tables = [study(draw, 3, 500, 0.0, 0.5) for _ in range(300)]
    pairs = [(seeds.bootstrap(sum(of), resamples=500), interval(of)) for of in tables]
    covered = [sum(low <= truth <= high for low, high in of) for of in zip(*pairs, strict=True)]
    assert covered[0] < 0.9 * 300 < covered[1]


def accuracies(**by_model):
    rows = [(m, seed, v) for m, values in by_model.items() for seed, v in enumerate(values)]
    return pl.DataFrame(rows, schema=["model", "seed", "accuracy"], orient="row")


def test_spread_has_an_interval_from_three_seeds_on_and_only_the_range_below():
    values = [0.90, 0.94, 0.91, 0.96]
    rows = accuracies(d=values, c=values[:3], b=[0.7, 0.8], a=[0.5])
    one, two, three, four = seeds.spread(rows, ["model"], pl.col("accuracy")).iter_rows(named=True)
    for found, given in ((three, values[:3]), (four, values)):
        theirs = stats.ttest_1samp(given, 0).confidence_interval(0.95)
        assert (found["lower"], found["upper"]) == pytest.approx((theirs.low, theirs.high))
        assert found["seeds"] == len(given)
    assert (two["lower"], two["upper"]) == (None, None)
    assert (two["least"], two["greatest"], two["seeds"]) == (0.7, 0.8, 2)
    assert (one["lower"], one["mean"], one["deviation"], one["seeds"]) == (None, 0.5, None, 1)


def test_scope_says_what_few_seeds_cannot():
    assert seeds.scope([5, 3, 5]) == "3 to 5 seeds"
    assert seeds.scope([4]) == "4 seeds"
    assert seeds.scope([1, 5]).startswith("one seed: these networks only")
    assert seeds.scope([2]).startswith("2 seeds: these networks only, their range")


def test_arms_that_were_trained_apart_are_welchs_two_samples():
    first, second = np.array([0.91, 0.95, 0.96]), np.array([0.80, 0.79, 0.82])
    tables = [sign * np.repeat(of[:, None], 9, axis=1) for sign, of in ((1, first), (-1, second))]
    found = seeds.crossed(tables, ARMS, pseudo=0)
    theirs = stats.ttest_ind(first, second, equal_var=False)
    assert found.df == pytest.approx(theirs.df)
    assert found.p_above() == pytest.approx(theirs.pvalue / 2)
    paired = seeds.crossed(tables, pseudo=0)
    assert paired.p_above() == pytest.approx(stats.ttest_rel(first, second).pvalue / 2)


def test_tables_weigh_the_seeds_in_common_and_part_arms_and_images():
    first = {0: np.ones(4), 1: np.zeros(4), 2: np.ones(4)}
    second = {2: np.zeros(4), 1: np.ones(4)}
    (table,), arms = seeds.tables([(1.0, first, "a"), (-0.5, second, "a")])
    assert (table.tolist(), arms) == ([[-0.5] * 4, [1.0] * 4], ["a"])
    tables, arms = seeds.tables([(1.0, first, "a"), (-1.0, second, "b"), (1.0, first, "a")])
    assert ([one.tolist()[0] for one in tables], arms) == ([[0.0] * 4, [-1.0] * 4], ["a", "b"])
    tables, arms = seeds.tables([(1.0, first, "a"), (-1.0, {1: np.ones(9)}, "a")])
    assert ([one.shape for one in tables], arms) == ([(1, 4), (1, 9)], ["a", "a"])
    with pytest.raises(NotMeasured, match="a seed that all have"):
        seeds.tables([(1.0, first, "a"), (-1.0, {7: np.ones(4)}, "b")])
