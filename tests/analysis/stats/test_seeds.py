import numpy as np
import pytest
from scipy import stats

from analysis.rows.selection import NotMeasured
from analysis.stats import paired, seeds

STUDIES = 1_000
ARMS = ("one", "other")
HARDER = 1.5
"""Standard deviation of the difficulty of images, in logits."""


def study(draw, levels, count, n, between):
    """Bits (seeds, images) of kinds of network, the second negative: some images are harder than
    others for all, and every training is a little better or worse. And the true share that each
    network gets right."""
    harder = draw.normal(0, HARDER, n)
    tables, true = [], 0.0
    for sign, level in zip((1.0, -1.0), levels, strict=False):
        better = level + draw.normal(0, between, (count, 1))
        tables.append(sign * (better + harder + draw.logistic(size=(count, n)) > 0))
        true = true + sign * expected(better[:, 0])
    return tables, float(np.mean(true))


def expected(levels, between=0.0):
    """The share of all images that networks of these levels get right, each a mean over networks
    that differ by `between`."""
    drawn = stats.norm.ppf((np.arange(4_000) + 0.5) / 4_000) * np.hypot(HARDER, between)
    return (1 / (1 + np.exp(-np.asarray(levels)[..., None] - drawn))).mean(-1)


def estimate(tables):
    return seeds.share(tables[0]) if len(tables) == 1 else seeds.crossed(tables, ARMS)


def covered(levels, count, n, between):
    """The share of studies whose interval holds the truth: that of all trainings or, with fewer
    than three seeds, that of these networks."""
    draw = np.random.default_rng([count, n])
    signs = (1, -1)[: len(levels)]
    of_all = float(np.dot(signs, expected(levels, between)))
    inside = 0
    for _ in range(STUDIES):
        tables, of_these = study(draw, levels, count, n, between)
        lower, upper = estimate(tables).interval()
        inside += lower <= (of_all if count >= seeds.FEWEST else of_these) <= upper
    return inside / STUDIES


@pytest.mark.parametrize("levels", [(1.0,), (3.0,), (1.0, 1.0), (1.5, 1.0)])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_intervals_cover_the_truth(levels, count):
    """Of trainings whose accuracies differ by 4 points (of the level 3: 3 points)."""
    assert 0.93 <= covered(levels, count, 500, 0.3) <= 0.97


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize(("levels", "most"), [((1.0,), 0.985), ((1.5, 1.0), 0.98)])
def test_where_seeds_do_not_differ_intervals_are_a_little_too_wide(count, levels, most):
    """Three seeds cannot tell that they do not."""
    assert 0.93 <= covered(levels, count, 500, 0.0) <= most


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("levels", [(6.5,), (6.5, 6.5)])
def test_where_few_images_are_wrong_intervals_are_too_wide_rather_than_too_narrow(count, levels):
    assert covered(levels, count, 500, 0.3) >= 0.93


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_intervals_of_differences_of_distances_cover_the_truth(count):
    """Lognormal distances of 0.09 on average, trainings that differ by a tenth of them."""
    draw, inside, n = np.random.default_rng(count), 0, 300
    for _ in range(STUDIES):
        harder, of = draw.normal(0, 0.5, n), []
        for level in (-2.5, -2.7):
            better = level + draw.normal(0, 0.1, (count, 1))
            of.append((better, np.exp(better + harder + draw.normal(0, 0.3, (count, n)))))
        truth = np.exp(0.34 / 2) * (np.exp(of[0][0]).mean() - np.exp(of[1][0]).mean())
        if count >= seeds.FEWEST:
            truth = np.exp(0.35 / 2) * (np.exp(-2.5) - np.exp(-2.7))
        terms = [
            (sign, dict(enumerate(table)), arm)
            for sign, (_, table), arm in zip((1.0, -1.0), of, ARMS, strict=True)
        ]
        lower, upper = paired.contrast(terms).interval()
        inside += lower <= truth <= upper
    assert 0.93 <= inside / STUDIES <= 0.975


@pytest.mark.parametrize("apart", [0.0, 0.7, 2.0, 6.0])
def test_small_p_values_are_as_rare_as_they_say(apart):
    """As Holm's method needs them: here of 3 seeds whose means differ by `apart` standard errors
    of the images."""
    draw, studies, n, level = np.random.default_rng(3), 10_000, 30, 0.005
    hits = 0
    for _ in range(studies):
        table = draw.normal(size=n) + draw.normal(0, apart * (3 / n) ** 0.5, (3, 1))
        found = seeds.crossed([table + draw.normal(0, 0.3, (3, n))], pseudo=0)
        hits += min(found.p_above(), found.p_below()) < level / 2
    assert hits / studies <= 1.3 * level


@pytest.mark.parametrize("levels", [(2.0,), (1.5, 1.0)])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_an_interval_holds_what_its_tests_do_not_refute(levels, count):
    draw = np.random.default_rng(count)
    found = estimate(study(draw, levels, count, 200, 0.3)[0])
    lower, upper = found.interval()
    assert found.p_above(lower) == pytest.approx(0.025)
    assert found.p_below(upper) == pytest.approx(0.025)
    assert found.p_above(lower) + found.p_below(lower) == pytest.approx(1)


def test_where_images_do_not_matter_it_is_students_interval():
    table = np.repeat([[0.1], [0.4], [0.2], [0.9]], 30, axis=1)
    found = seeds.crossed([table], pseudo=0)
    theirs = stats.ttest_1samp(table[:, 0], 0.2, alternative="greater")
    assert found.value == pytest.approx(0.4)
    both = stats.ttest_1samp(table[:, 0], 0.2).confidence_interval(0.95)
    assert found.interval() == pytest.approx((both.low, both.high), rel=1e-4)
    assert found.p_above(0.2) == pytest.approx(theirs.pvalue, rel=1e-4)
    assert found.p_below(0.2) == pytest.approx(1 - theirs.pvalue, rel=1e-4)
    assert (found.n, found.seeds) == (30, 4)


def test_of_one_network_it_is_students_interval_over_images():
    values = np.random.default_rng(0).normal(size=(1, 50))
    theirs = stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    found = seeds.crossed([values], pseudo=0)
    assert found.interval() == pytest.approx((theirs.low, theirs.high), rel=1e-4)
    assert found.seeds == 1


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (7, 7), (0, 9), (9_812, 10_000)])
def test_the_share_of_one_network_has_wilsons_interval(right, count):
    theirs = stats.binomtest(right, count).proportion_ci(method="wilson")
    found = seeds.share((np.arange(count) < right)[None].astype(float))
    assert found.interval() == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    twice = seeds.share(np.repeat((np.arange(count) < right)[None].astype(float), 2, axis=0))
    assert twice.interval() == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_image_and_images_that_are_all_alike_have_intervals_and_tests(count, value):
    for n in (1, 50):
        table = np.full((count, n), value)
        alike = seeds.share(table), seeds.crossed([table, -table], ARMS), seeds.crossed([table])
        for found in alike:
            lower, upper = found.interval()
            assert lower <= found.value <= upper
            assert upper > lower
            assert 0 <= found.p_above(0.5) <= 1


def test_two_networks_tell_more_than_one_if_they_fail_on_other_images():
    first = np.arange(100) < 80
    same, apart = (seeds.share(np.stack([first, of]).astype(float)) for of in (first, first[::-1]))
    assert same.counts == pytest.approx(100)
    assert 100 < apart.counts <= 200


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


def test_scope_says_what_few_seeds_cannot():
    assert seeds.scope(4) == "4 seeds"
    assert seeds.scope(1).startswith("one seed: these networks only")
    assert seeds.scope(2).startswith("2 seeds: these networks only, their range")


def test_arms_that_were_trained_apart_are_welchs_two_samples():
    first, second = np.array([0.91, 0.95, 0.96]), np.array([0.80, 0.79, 0.82])
    tables = [sign * np.repeat(of[:, None], 9, axis=1) for sign, of in ((1, first), (-1, second))]
    found = seeds.crossed(tables, ARMS, pseudo=0)
    theirs = stats.ttest_ind(first, second, equal_var=False)
    assert found.df == pytest.approx(theirs.df)
    assert found.p_above() == pytest.approx(theirs.pvalue / 2, rel=1e-3)
    paired = seeds.crossed(tables, pseudo=0)
    assert paired.p_above() == pytest.approx(stats.ttest_rel(first, second).pvalue / 2, rel=1e-3)


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
