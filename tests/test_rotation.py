import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rotgrid.rotation import draw_angles, rotate

BOTH = ["bilinear", "nearest"]


@pytest.fixture
def images():
    return torch.rand(5, 1, 28, 28)


@pytest.mark.parametrize("interpolation", BOTH)
@pytest.mark.parametrize("degrees", [0, 0.0, 360, -360, 720])
def test_identity_is_bit_exact_and_a_copy(images, degrees, interpolation):
    turned = rotate(images, degrees, interpolation)
    assert torch.equal(turned, images)
    assert turned.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("interpolation", BOTH)
@pytest.mark.parametrize(("degrees", "quarter"), [(90, 1), (180, 2), (270, 3), (-90, 3), (450, 1)])
def test_multiples_of_90_are_exact_and_counter_clockwise(images, degrees, quarter, interpolation):
    assert torch.equal(rotate(images, degrees, interpolation), images.rot90(quarter, (-2, -1)))


@pytest.mark.parametrize("interpolation", BOTH)
def test_interpolation_is_continuous_at_the_exact_angles(images, interpolation):
    for degrees in (0, 90, 180, 270):
        near = rotate(images, degrees + 1e-4, interpolation)
        torch.testing.assert_close(near, rotate(images, degrees), atol=1e-4, rtol=0)


def test_each_image_has_its_own_angle(images):
    degrees = torch.tensor([0.0, 90.0, 33.0, -33.0, 180.0])
    together = rotate(images, degrees)
    for image, angle, turned in zip(images, degrees, together, strict=True):
        assert torch.equal(rotate(image[None], angle.item())[0], turned)


@settings(deadline=None, max_examples=25)
@given(st.floats(-400, 400), st.sampled_from(BOTH), st.integers(0, 9))
def test_pixels_stay_in_range(degrees, interpolation, seed):
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
    turned = rotate(images, degrees, interpolation)
    assert turned.shape == images.shape
    assert turned.amin() >= 0
    assert turned.amax() <= 1 + 1e-6


def test_a_point_moves_where_geometry_says():
    image = torch.zeros(1, 1, 29, 29)
    image[0, 0, 14, 24] = 1.0  # ten to the right of the centre
    turned = rotate(image, 37.0)[0, 0]
    row, column = divmod(int(turned.argmax()), 29)
    assert (row, column) == (
        14 - round(10 * np.sin(np.deg2rad(37))),
        14 + round(10 * np.cos(np.deg2rad(37))),
    )


def test_turning_back_restores_smooth_images():
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    blob = torch.exp(-((x - 10) ** 2 + (y - 15) ** 2) / 20)[None, None]
    there_and_back = rotate(rotate(blob, 50.0), -50.0)
    assert (there_and_back - blob).abs().max() < 0.05


def test_what_comes_from_outside_is_black():
    corners = rotate(torch.ones(1, 1, 28, 28), 45.0)[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.equal(corners, torch.zeros(4))


def test_nearest_makes_no_new_values():
    image = (torch.rand(1, 1, 28, 28) > 0.5).float()
    assert set(rotate(image, 20.0, "nearest").unique().tolist()) <= {0.0, 1.0}
    assert len(rotate(image, 20.0, "bilinear").unique()) > 2


def test_wrong_input_is_refused(images):
    with pytest.raises(TypeError, match="uint8"):
        rotate((images * 255).byte(), 10)
    with pytest.raises(ValueError, match=r"\(3,\) angles for 5 images"):
        rotate(images, torch.zeros(3))
    with pytest.raises(ValueError, match="neither bilinear nor nearest"):
        rotate(images, 10, "cubic")
    with pytest.raises(ValueError, match="shape"):
        rotate(images[0], 10)


def test_test_angles_are_frozen():
    """Common to all models, ranges and releases: these numbers must never change."""
    expected = torch.tensor(
        [-0.6650967649661106, 0.1982728760002075, -0.9959736870844644, 0.605245448400352],
        dtype=torch.float64,
    )
    torch.testing.assert_close(draw_angles(4, 1.0, "test"), expected, rtol=0, atol=1e-15)


def test_angles_scale_with_the_range_and_nest_over_images():
    wide, narrow = draw_angles(50, 180, "test"), draw_angles(20, 60, "test")
    torch.testing.assert_close(narrow * 3, wide[:20])


def test_angles_are_uniform_in_the_range():
    angles = draw_angles(20_000, 60, "train", seed=3, epoch=2)
    assert angles.abs().max() <= 60
    counts = torch.histc(angles, bins=12, min=-60, max=60)
    assert ((counts - 20_000 / 12).abs() < 5 * (20_000 / 12) ** 0.5).all()


def test_training_angles_are_fresh_in_each_epoch_and_seed_and_apart_from_testing():
    draws = [
        draw_angles(100, 60, stream, seed=seed, epoch=epoch)
        for stream, seed, epoch in [
            ("train", 0, 1), ("train", 0, 2), ("train", 1, 1), ("val", 0, 0), ("test", 0, 0),
        ]
    ]  # fmt: skip
    correlations = np.corrcoef(np.stack(draws)) - np.eye(5)
    assert np.abs(correlations).max() < 0.4
    assert torch.equal(draws[0], draw_angles(100, 60, "train", seed=0, epoch=1))
