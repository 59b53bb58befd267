"""Images of other sizes, channels and classes than MNIST's; and that MNIST's networks stay."""

import pytest
import torch
from torch import nn

from rotgrid import models
from rotgrid.models.gcnn import over_orientations
from rotgrid.models.layers import Normalize
from rotgrid.spec.datasets import MNIST_SHAPE, Shape
from rotgrid.spec.models import MODELS
from rotgrid.training.losses import training_loss

from golden import Golden, relative

SIZES = (3, 4, 5, 7, 8, 12, 13, 15, 16, 17, 18, 20, 21, 22, 23, 24, 26, 28, 29, 30, 32, 36)
"""The least that each network takes, what is next to it, and some of every remainder."""
ALIKE = {
    ("capsnet", "table"), ("tipooling", "full"), ("p4resnet", "base"), ("hnet", "2018"),
    ("roteqnet", "exact"), ("roteqnet", "zoomed"), ("steerable", "c8"),
}  # fmt: skip
"""Variants whose maps have the sizes of another's, which is quicker or rotates exactly."""
GOLDEN = Golden("untrained")
INVARIANT = {"hnet": ["fixed"], "roteqnet": ["sixteen"], "steerable": ["c4", "c8", "so2"]}
"""Variants that are invariant to quarter turns, where not all are."""
for name in ("p4cnn", "cyclic", "dren", "p4resnet", "tipooling"):
    INVARIANT[name] = [*MODELS[name].variants]


def shape_of(size, channels=0, classes=0):
    """Of that size; channels and classes that vary with it."""
    channels, classes = channels or 1 + size % 3, classes or 2 + size % 5
    return Shape(channels, size, classes, (0.5, 0.4, 0.3)[:channels], (0.2, 0.3, 0.1)[:channels])


def weights_in_a_number(net):
    """A sum over all that is stored, in which each number has a weight of its own."""
    stored = torch.cat([tensor.double().flatten() for tensor in net.state_dict().values()])
    return stored @ (1 + torch.arange(len(stored)) % 1009).double().sin()


@pytest.mark.parametrize(("model", "variant"), [name.split(":") for name in GOLDEN.arrays])
def test_networks_for_mnist_are_those_of_before_there_were_shapes(model, variant, digits):
    """Up to rounding, which differs between processors."""
    net = models.build(model, variant, seed=1).eval()
    expected = GOLDEN[f"{model}:{variant}"]
    with torch.no_grad():
        logits = net(digits.test_images[:3].float() / 255)
    assert weights_in_a_number(net).item() == pytest.approx(expected[0].item(), rel=1e-6, abs=1e-6)
    assert relative(logits, expected[1:].view(3, 10).float()) < 1e-4


def trained(model, variant, shape):
    """The network in float64 and evaluation mode, after the statistics of a least batch."""
    net = models.MODELS[model](variant, shape).double()
    images = torch.rand(2, shape.channels, shape.size, shape.size).double()
    least = MODELS[model].least_batch
    training_loss(net, images[:least], torch.zeros(least, dtype=torch.long)).backward()
    return net.eval(), images


def rotation_error(model, variant, net, images):
    """Of what does not change, or only rotates, with quarter turns of the image."""
    rotated = images.rot90(1, (-2, -1))
    if hasattr(net, "features") and model in ("gcnn", "steerable"):
        expected, found = (over_orientations(net.features(x)) for x in (images, rotated))
        return relative(found, expected.rot90(1, (-2, -1)))
    return relative(net(rotated), net(images)) if variant in INVARIANT.get(model, ()) else 0.0


def works(model, variant, shape):
    """Whether a network can be built, trained and evaluated, and rotates as it should."""
    try:
        net, images = trained(model, variant, shape)
        with torch.no_grad():
            logits = net(images)
            error = rotation_error(model, variant, net, images)
    except Exception:
        return False
    assert logits.shape == (2, shape.classes)
    return bool(logits.isfinite().all()) and error < 1e-6


@pytest.mark.parametrize("model", MODELS)
def test_what_is_said_to_fit_is_what_works(model):
    variants = [v for v in MODELS[model].variants if (model, v) not in ALIKE]
    for size in SIZES:
        shape = shape_of(size)
        fits = all(works(model, variant, shape) for variant in variants)
        assert (MODELS[model].fits(shape) == "") == fits, size


def test_a_shape_that_does_not_fit_is_refused_before_anything_is_built():
    with pytest.raises(ValueError, match=r"^gcnn pools 13 x 13 maps .* 16, 20, 24, ... work$"):
        models.build("gcnn", shape=shape_of(17))
    with pytest.raises(ValueError, match=r"^stdcnn takes images of 16 x 16 pixels or more$"):
        models.build("stdcnn", shape=shape_of(15))


@pytest.mark.parametrize("model", MODELS)
def test_every_channel_is_seen_and_every_class_has_a_logit(model):
    shape = shape_of(32, channels=3, classes=7)
    net = models.build(model, shape=shape)
    image = torch.rand(2, 3, 32, 32, requires_grad=True)
    if model == "ptn":
        nn.init.normal_(net.origin.heatmap.weight)
    logits = net.eval()(image)
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert (image.grad.abs().amax((0, 2, 3)) > 0).all()


def test_channels_are_standardised_each_by_its_own_numbers():
    shape = shape_of(4, channels=3)
    images = torch.rand(2, 3, 4, 4)
    found = Normalize(shape)(images)
    for channel, (mean, std) in enumerate(zip(shape.mean, shape.std, strict=True)):
        expected = (images[:, channel] - mean) / std
        torch.testing.assert_close(found[:, channel], expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_standardises_is_not_stored(channels):
    layer = Normalize(shape_of(28, channels))
    assert not layer.state_dict()
    assert layer.double()(torch.rand(2, channels, 4, 4).double()).dtype == torch.float64


def test_one_channel_is_standardised_by_plain_numbers():
    """A tensor of one number would round differently."""
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(Normalize(MNIST_SHAPE)(images), (images - 0.1307) / 0.3081)
