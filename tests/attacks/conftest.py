"""What most attacks are tried on. A test that needs another network or more images has its own."""

import pytest

from rotgrid import data

from trained import perceptron


@pytest.fixture(scope="module")
def trained(digits):
    return perceptron(digits)


@pytest.fixture(scope="module")
def test_set(digits):
    return data.pixels(digits.test_images[:60]), digits.test_labels[:60]
