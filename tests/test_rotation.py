import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rotgrid.rotation import draw_angles, draw_shifts, rotate, transform

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


@pytest.mark.parametrize("interpolation", BOTH)
def test_without_a_shift_transform_is_rotate_bit_for_bit(images, interpolation):
    degrees = torch.tensor([0.0, 90.0, 33.0, -33.0, 180.0])
    for shift in (torch.zeros(2), torch.zeros(5, 2), -torch.zeros(5, 2)):
        turned = transform(images, degrees, shift, interpolation)
        assert torch.equal(turned, rotate(images, degrees, interpolation))
    shift = torch.zeros(5, 2)
    shift[0], shift[2] = torch.tensor([1.0, 0.0]), torch.tensor([0.3, -2.0])
    among_others = transform(images, degrees, shift, interpolation)
    alone = rotate(images, degrees, interpolation)
    assert torch.equal(among_others[[1, 3, 4]], alone[[1, 3, 4]])
    assert not torch.equal(among_others[0], alone[0])


@pytest.mark.parametrize("interpolation", BOTH)
@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -2), (-5, 4), (28, 0), (-40, 1)])
def test_whole_pixels_after_quarter_turns_move_exactly(
    images, interpolation, quarter, right, down
):
    moved = transform(images, 90 * quarter, torch.tensor([right, down]), interpolation)
    canvas = torch.zeros(5, 1, 108, 108)
    canvas[..., 40 + down : 68 + down, 40 + right : 68 + right] = images.rot90(quarter, (-2, -1))
    assert torch.equal(moved, canvas[..., 40:68, 40:68])


@settings(deadline=None, max_examples=30)
@given(
    st.floats(-180, 180),
    st.floats(-6, 6),
    st.floats(-6, 6),
    st.sampled_from([27, 28]),
    st.integers(0, 9),
)
def test_transform_equals_scipys_one_resampling(degrees, right, down, size, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 1, size, size, generator=generator, dtype=torch.float64)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    back = np.array([[cos, sin], [-sin, cos]])  # of (row, column), clockwise
    centre = (size - 1) / 2
    offset = centre - back @ (centre + np.array([down, right]))
    theirs = ndimage.affine_transform(
        image[0, 0].numpy(), back, offset, order=1, mode="grid-constant"
    )
    ours = transform(image, degrees, torch.tensor([right, down], dtype=torch.float64))[0, 0]
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-9)


def test_the_turn_comes_before_the_shift():
    image = torch.zeros(1, 1, 29, 29)
    image[0, 0, 14, 24] = 1.0  # ten to the right of the centre
    assert transform(image, 90, torch.tensor([3, 0]))[0, 0, 4, 17] == 1
    near = transform(image, 37.0, torch.tensor([3.0, -2.0]))[0, 0]
    there = (
        14 - round(10 * np.sin(np.deg2rad(37))) - 2,
        14 + round(10 * np.cos(np.deg2rad(37))) + 3,
    )
    assert divmod(int(near.argmax()), 29) == there


@pytest.mark.parametrize("interpolation", BOTH)
def test_each_image_has_its_own_shift(images, interpolation):
    degrees = torch.tensor([0.0, 90.0, 33.0, 0.0, 180.0])
    shift = torch.tensor([[1, 2], [-3, 0], [0.5, 1], [0.5, 0], [0.0, 0]])
    together = transform(images, degrees, shift, interpolation)
    for i in range(5):
        one = transform(images[i : i + 1], degrees[i].item(), shift[i], interpolation)
        assert torch.equal(one[0], together[i])


def test_half_a_pixel_is_the_mean_of_two():
    image = torch.rand(1, 1, 8, 8)
    moved = transform(image, 0, torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(moved[..., 1:], (image[..., 1:] + image[..., :-1]) / 2)
    torch.testing.assert_close(moved[..., 0], image[..., 0] / 2)  # black beside the image


def test_nearest_makes_no_new_values_when_it_shifts():
    image = torch.rand(1, 1, 28, 28).round()
    moved = transform(image, 20, torch.tensor([0.5, 0.2]), "nearest")
    assert set(moved.unique().tolist()) == {0.0, 1.0}


def test_wrong_shifts_are_refused(images):
    for shift in (torch.zeros(3), torch.zeros(5, 3), torch.zeros(4, 2), torch.zeros(())):
        with pytest.raises(ValueError, match=r"not \(2,\) or \(5, 2\)"):
            transform(images, 10, shift)
    with pytest.raises(TypeError, match="uint8"):
        transform((images * 255).byte(), 10, torch.zeros(2))
    assert transform(images[:0], 10, torch.ones(2)).shape == (0, 1, 28, 28)


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


def test_test_shifts_are_frozen():
    """Common to all models, ranges and releases: these numbers must never change."""
    expected = torch.tensor(
        [[-0.14336803947079035, -0.5059374254312392], [-0.36042831681230014, -0.1701084431109512]],
        dtype=torch.float64,
    )
    torch.testing.assert_close(draw_shifts(2, 1.0, "test"), expected, rtol=0, atol=1e-15)


def test_shifts_scale_with_the_range_and_nest_over_images():
    wide, narrow = draw_shifts(50, 3, "test"), draw_shifts(20, 1, "test")
    torch.testing.assert_close(narrow * 3, wide[:20])
    assert torch.equal(draw_shifts(5, 0, "test"), torch.zeros(5, 2, dtype=torch.float64))
    assert draw_shifts(0, 3, "test").shape == (0, 2)


def test_shifts_are_uniform_along_each_axis():
    shifts = draw_shifts(20_000, 3, "train", seed=3, epoch=2)
    assert shifts.abs().max() <= 3
    for axis in (0, 1):
        counts = torch.histc(shifts[:, axis], bins=12, min=-3, max=3)
        assert ((counts - 20_000 / 12).abs() < 5 * (20_000 / 12) ** 0.5).all()


def test_shifts_are_independent_of_angles_and_of_other_streams_seeds_and_epochs():
    keys = [("train", 0, 1), ("train", 0, 2), ("train", 1, 1), ("val", 0, 0), ("test", 0, 0)]
    draws = []
    for stream, seed, epoch in keys:
        draws += [draw_angles(1000, 60, stream, seed=seed, epoch=epoch)]
        draws += [*draw_shifts(1000, 3, stream, seed=seed, epoch=epoch).unbind(1)]
    correlations = np.corrcoef(np.stack(draws)) - np.eye(15)
    assert np.abs(correlations).max() < 0.15
