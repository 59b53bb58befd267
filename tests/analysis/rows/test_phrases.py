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


def test_a_kind_of_network_without_a_variant_is_its_model():
    assert phrases.kind("gcnn", "table1") == "gcnn table1"
    assert phrases.kind("nets.a:build", "") == "nets.a:build"


def test_own_names_are_not_capitalised():
    assert phrases.capitalised("random noise") == "Random noise"
    assert phrases.capitalised("nets.a:mine, PGD") == "nets.a:mine, PGD"
    assert phrases.capitalised("mine.npz; recipe fast") == "mine.npz; recipe fast"
