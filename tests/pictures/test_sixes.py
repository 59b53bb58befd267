import io

import pytest
import torch
from PIL import Image
from torch import nn

from rotgrid.pictures import sixes

SIZE = 16


class Above(nn.Module):
    """9 if more than a share of the light is above the middle, 6 otherwise."""

    def __init__(self, share=0.5):
        super().__init__()
        self.share = share

    def forward(self, images):
        light = images.sum((1, 2, 3)).clamp(min=1e-6)
        above = images[:, :, : SIZE // 2].sum((1, 2, 3)) / light
        logits = torch.zeros(len(images), 10)
        logits[:, sixes.SIX], logits[:, sixes.NINE] = self.share, above
        return logits


@pytest.fixture
def images():
    """A spot below the middle, a little to its right, and one below it."""
    images = torch.zeros(2, 1, SIZE, SIZE)
    images[0, 0, 11:14, 9:12] = 1
    images[1, 0, 12:14, 7:9] = 1
    return images


def test_the_smallest_rotation_in_either_direction_is_found(images):
    met = sixes.meetings(Above().eval(), images, torch.tensor([6, 6]), "bilinear")
    right, below = met.degrees.tolist()
    angle = torch.rad2deg(torch.atan2(torch.tensor(5.0), torch.tensor(2.5))).item()
    assert 0 < right <= angle + sixes.STEP  # it lies 63 degrees below the horizon
    assert right == pytest.approx(angle, abs=sixes.STEP)
    assert abs(below) == pytest.approx(90, abs=sixes.STEP)
    assert met.positions.tolist() == [0, 1]


def test_only_sixes_that_are_known_and_become_a_nine_are_shown(images):
    labels = torch.tensor([6, 6])
    never = sixes.meetings(Above(share=2).eval(), images, labels, "bilinear")
    assert never.degrees.isnan().all()
    assert sixes.shown(never, 3) == []
    assert sixes.summary(never) == {"n": 2, "reached": 0, "median": None}
    unknown = sixes.meetings(Above(share=-1).eval(), images, labels, "bilinear")
    others = sixes.meetings(Above().eval(), images, torch.tensor([1, 9]), "bilinear")
    assert len(unknown.degrees) == len(others.degrees) == 0
    assert sixes.summary(others) == {"n": 0, "reached": 0, "median": None}


def test_a_picture_goes_from_six_to_nine(images):
    model = Above().eval()
    met = sixes.meetings(model, images, torch.tensor([6, 6]), "bilinear")
    order = sixes.shown(met, 2)
    angles = met.degrees[order].abs().tolist()
    assert angles == sorted(angles)
    png, words = sixes.picture(model, met, order[0], "bilinear")
    classes = [panel["predicted"] for panel in words["panels"]]
    assert (classes[0], classes[-1]) == (6, 9)
    assert words["panels"][-1]["degrees"] == met.degrees[order[0]]
    assert Image.open(io.BytesIO(png)).height == SIZE


@pytest.mark.parametrize(
    ("data", "classes", "digits"),
    [
        ("mnist", 10, True),
        ("mnist5k", 10, True),
        ("fashion-mnist", 10, False),
        ("mnist", 6, False),
    ],
)
def test_only_digits_are_rotated_into_each_other(data, classes, digits):
    assert sixes.are_digits(data, classes) is digits
