import numpy as np
import pytest

from analysis.stats.multiple_testing import holm


def test_holm_of_a_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_what_was_not_measured_counts_and_no_p_grows_when_it_is():
    draw = np.random.default_rng(0)
    for _ in range(200):
        p = list(draw.random(5) ** 3)
        for known in range(1, 5):
            before, after = holm(p[:known], 5), holm(p[: known + 1], 5)
            assert all(b <= a for a, b in zip(before, after, strict=False))
            assert before == pytest.approx(holm(p[:known] + [1.0] * (5 - known))[:known])
