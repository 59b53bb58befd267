import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotgrid.spec.datasets import DATA, Shape
from rotgrid.spec.fits import at_least, even_pools
from rotgrid.spec.models import MODELS

sizes = st.integers(1, 100)


def shape_of(size):
    return Shape(1, size, 10, (0.5,), (0.5,))


def symmetric(size, taken):
    """Whether pools that leave the last row and column of odd maps out leave none out."""
    for rows in taken:
        size -= rows
        if size != size // 2 * 2:
            return False
        size //= 2
    return True


@given(size=sizes, least=sizes)
def test_small_images_are_told_what_would_do(size, least):
    problem = at_least(least)(shape_of(size))
    assert (problem == "") == (size >= least)
    assert problem == "" or f"{least} x {least} pixels or more" in problem


@given(size=sizes, least=sizes, taken=st.lists(st.integers(0, 6), max_size=3).map(tuple))
def test_the_sizes_that_are_said_to_work_do(size, least, taken):
    fits = even_pools(least, taken)
    problem = fits(shape_of(size))
    assert (problem == "") == (size >= least and symmetric(size, taken))
    if named := re.search(r"sizes (\d+), (\d+), (\d+), \.\.\. work", problem):
        works = [int(number) for number in named.groups()]
        assert all(fits(shape_of(number)) == "" for number in works)
        between = range(works[0], works[-1])
        assert [n for n in between if fits(shape_of(n)) == ""] == works[:-1]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", DATA)
def test_every_network_takes_the_shipped_data(model, data):
    assert MODELS[model].fits(DATA[data].shape) == ""


def test_a_problem_is_a_sentence_after_the_name_of_the_model():
    assert MODELS["p4cnn"].fits(shape_of(29)) == (
        "pools 25 x 25 maps by 2 x 2, which is not the same after a rotation by 90 degrees: "
        "sizes 28, 30, 32, ... work"
    )
