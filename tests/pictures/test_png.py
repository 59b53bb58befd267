import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from rotgrid.pictures.png import GAP, encode, strip

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from(list(MODES)))


def decoded(png):
    """The pixels (height, width, channels) of a file, by another library, and its mode."""
    image = Image.open(io.BytesIO(png))
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1), image.mode


@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape)))
def test_another_library_reads_the_pixels_that_were_written(pixels):
    read, mode = decoded(encode(pixels))
    assert mode == MODES[pixels.shape[2]]
    assert np.array_equal(read, pixels)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 5), np.uint8), np.zeros((2, 2, 1))],
    ids=["no channels", "five", "floats"],
)
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(ValueError, match="not uint8"):
        encode(pixels)


@given(st.sampled_from([1, 3]), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
def test_panels_stand_side_by_side_between_transparent_gaps(channels, panels, height, width):
    images = torch.rand(panels, channels, height, width)
    pixels = strip(list(images))
    assert pixels.shape == (height, panels * width + (panels - 1) * GAP, channels + 1)
    starts = [at * (width + GAP) for at in range(panels)]
    for start, image in zip(starts, images, strict=True):
        panel = pixels[:, start : start + width]
        assert (panel[..., -1] == 255).all()
        shown = torch.from_numpy(panel[..., :-1].copy()).permute(2, 0, 1) / 255
        assert (shown - image).abs().max() <= 0.5 / 255 + 1e-6
    gaps = [pixels[:, start - GAP : start] for start in starts[1:]]
    assert all((gap[..., -1] == 0).all() for gap in gaps)
