import polars as pl
import pytest

from analysis.rows import phrases


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([3, 3], "3"), ([200, 1_000], "200 to 1,000"), ([0.1], "0.1"), ([0.05, 0.3], "0.05 to 0.3")],
)
def test_span(numbers, words):
    assert phrases.span(pl.Series(numbers)) == words


def test_listed():
    assert phrases.listed([]) == ""
    assert phrases.listed(["a"]) == "a"
    assert phrases.listed(["a", "b", "c"]) == "a, b and c"
