import math

import pytest
import torch
import torch.nn.functional as F

from rotgrid.models.ptn import SHIFT, LogPolar, PolarConv, build, centroid, over_angles

from golden import Golden, relative

GOLDEN = Golden("ptn_polar")


def planar(name):
    """A golden array (batch, row, column, channel) as (batch, channel, row, column)."""
    return GOLDEN[name].movedim(3, 1)


@pytest.mark.parametrize(("variant", "count"), [("base", 131_959), ("small", 27_931)])
def test_parameters_and_shapes(variant, count):
    net = build(variant).eval()
    assert sum(p.numel() for p in net.parameters()) == count
    with torch.no_grad():
        maps = net.classifier(torch.rand(2, 1, 28, 28))
    assert maps.shape == {"base": (2, 64, 7, 7), "small": (2, 20, 14, 14)}[variant]


def test_an_unknown_variant_is_refused():
    with pytest.raises(KeyError):
        build("large")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_polar_equals_the_original(dtype):
    images, origins = planar("x").to(dtype), GOLDEN["theta_xy"].to(dtype)
    polar = LogPolar(28, 28, 28).to(dtype)
    assert relative(polar(images, origins), planar("polar_log_rf0.7071")) < 1e-5
    images, origins = planar("x_rgb20").to(dtype), GOLDEN["theta_rgb20"].to(dtype)
    polar = LogPolar(size=20, angles=16, radii=24).to(dtype)
    assert relative(polar(images, origins), planar("polar_log_rgb20_out16x24")) < 1e-5


def test_grid_sample_alone_differs_at_the_border():
    points = GOLDEN["theta_xy"][:, None, None] + LogPolar(28, 28, 28).offsets + 1 / 28
    sampled = F.grid_sample(planar("x"), points, align_corners=False)
    assert relative(sampled, planar("polar_log_rf0.7071")) > 0.1


def test_outside_pixels_0_to_27_is_exactly_0_and_has_no_gradient():
    polar = LogPolar(28, 28, 28)
    images = torch.ones(1, 1, 28, 28)
    edge = torch.tensor([[27 / 14 - 1, 0.0], [-1 / 28 - 1, 0.0], [1e9, -1e9]], requires_grad=True)
    maps = polar(images.expand(3, -1, -1, -1), edge)
    assert (maps[:, 0, :, 0] == 0).all()
    assert (maps[2] == 0).all()
    maps.sum().backward()
    assert torch.equal(edge.grad[2], torch.zeros(2))


def test_first_and_last_angle_are_the_same():
    maps = LogPolar(28, 28, 28)(planar("x"), GOLDEN["theta_xy"])
    torch.testing.assert_close(maps[:, :, 0], maps[:, :, -1], rtol=0, atol=1e-5)


def test_the_origin_has_the_right_gradient():
    polar = LogPolar(28, 28, 28).double()
    steps = torch.linspace(0, 1, 28, dtype=torch.float64)
    images = (3 * steps[:, None] + 5 * steps)[None, None]  # linear, so resampled without error
    origins = torch.tensor([[0.1, -0.2]], dtype=torch.float64, requires_grad=True)
    polar(images, origins)[0, 0, :, 0].mean().backward()
    expected = torch.tensor([[5.0, 3.0]], dtype=torch.float64) * 14 / 27
    torch.testing.assert_close(origins.grad, expected)


def test_wrapped_convolution_equals_one_of_the_originals_padded_maps():
    conv = PolarConv(3, 4)
    expected = F.conv2d(planar("wrap_pad1"), conv.weight, conv.bias)
    assert relative(conv(planar("wrap_in")), expected) < 1e-6


def test_centroid_equals_the_original():
    assert relative(centroid(GOLDEN["heatmap"][:, None]), GOLDEN["centroid_xy"]) < 1e-5


@pytest.mark.parametrize("total", [0.0, 1e-9, -1e-9, 1.0, -1.0])
def test_centroid_of_any_sum_is_finite(total):
    heatmap = torch.randn(1, 1, 14, 14, dtype=torch.float64)
    heatmap += (total - heatmap.sum()) / 196
    heatmap = torch.cat([heatmap, torch.full_like(heatmap, total)]).requires_grad_()
    origins = centroid(heatmap)
    images = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    LogPolar(28, 28, 28).double()(images, origins).sum().backward()
    assert origins.isfinite().all()
    assert heatmap.grad.isfinite().all()


def test_a_negative_heatmap_has_the_centroid_of_its_opposite():
    heatmap = torch.rand(2, 1, 14, 14)
    assert torch.equal(centroid(-heatmap), centroid(heatmap))


def test_stride_two_pads_after_and_not_before():
    """TensorFlow's SAME on an even size: output 0 begins at pixel 0, output 13 reaches 28."""
    features = build().origin.features
    pad, conv = features[0], features[1][0]
    conv.bias.data.zero_()
    first, last = torch.zeros(2, 1, 1, 28, 28)
    first[..., 0, 0] = last[..., 27, 27] = 1
    assert torch.equal(conv(pad(first))[0, :, 0, 0], conv.weight[:, 0, 0, 0])
    assert torch.equal(conv(pad(last))[0, :, 13, 13], conv.weight[:, 0, 1, 1])
    assert conv(pad(first)).shape[-2:] == (14, 14)


def test_every_origin_starts_in_the_middle():
    predictor = build().origin.eval()
    images = torch.randn(5, 1, 28, 28)
    assert (predictor.heatmap(predictor.features(images)) == 1).all()
    assert predictor(images).abs().max() < 1e-6


def test_the_origin_is_shifted_in_training_only():
    predictor = build().origin
    images = torch.randn(200, 1, 28, 28)
    torch.manual_seed(3)
    shifts = predictor(images)
    greatest = 2 * SHIFT / 28
    assert 0.95 * greatest < shifts.abs().max() <= greatest + 1e-6
    assert (shifts.mean(0).abs() < 0.15 * greatest).all()
    torch.manual_seed(3)
    assert torch.equal(predictor(images), shifts)
    assert not torch.equal(predictor(images), shifts)
    predictor.eval()
    assert torch.equal(predictor(images), predictor(images))


def test_weights_start_as_in_tflearn():
    net = build()
    conv, norm, _ = net.classifier[7]
    deviation = math.sqrt(2 / (64 * 9))
    assert conv.weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert conv.weight.abs().max() <= 2 * math.sqrt(1.3) * deviation
    assert (norm.weight - 1).abs().max() < 0.01
    assert norm.weight.std() > 0.001
    assert (norm.eps, norm.momentum) == (1e-5, 0.1)
    bound = math.sqrt(3 / (64 * 9))
    assert 0.98 * bound < net.head.weight.abs().max() <= bound
    assert all((m.bias == 0).all() for m in (conv, norm, net.head))


def backpropagate(net, images):
    net.zero_grad()
    F.cross_entropy(net(images), torch.arange(len(images)) % 10).backward()


def test_the_origin_predictor_learns_from_the_second_step_on():
    """In the first, weights 0 let nothing through; the heatmap's bias cannot move a centroid."""
    net = build()
    images = torch.rand(20, 1, 28, 28)
    backpropagate(net, images)
    assert net.origin.heatmap.weight.grad.abs().max() > 1e-3
    assert net.origin.heatmap.bias.grad.abs() < 1e-6
    assert all((p.grad == 0).all() for p in net.origin.features.parameters())
    torch.optim.SGD(net.parameters(), 0.1).step()
    backpropagate(net, images)
    assert all(p.grad.abs().max() > 0 for p in net.parameters())


def blobs(degrees, centre):
    """Smooth images (20, 1, 28, 28), turned counter-clockwise without any resampling."""
    generator = torch.Generator().manual_seed(0)
    radius, angle = torch.rand(2, 20, 4, 1, 1, generator=generator)
    radius, angle = 6 * radius, 2 * math.pi * angle + math.radians(degrees)
    steps = torch.arange(28.0)
    x = steps - centre - radius * angle.cos()
    y = steps[:, None] - centre + radius * angle.sin()
    return torch.exp(-(x**2 + y**2) / 12).sum(1, keepdim=True)


def roll_error(rows, centre):
    """What a turn about a pixel does to polar maps, if not a roll of the 27 different rows."""
    polar, origins = LogPolar(28, 28, 28), torch.zeros(20, 2)
    before, after = (polar(blobs(-360 * r / 27, centre), origins)[:, :, :27] for r in (0, rows))
    return relative(after, before.roll(rows, 2)), relative(over_angles(after), over_angles(before))


@pytest.mark.parametrize("rows", [1, 4, 7, 13])
def test_turning_about_the_origin_rolls_the_rows(rows):
    for error in roll_error(rows, centre=14):
        assert error < 0.05


@pytest.mark.parametrize("rows", [4, 7, 13])
def test_turning_about_the_middle_of_the_image_is_half_a_pixel_off(rows):
    for error in roll_error(rows, centre=13.5):
        assert error > 0.08


def logits_of(net, polar):
    return net.head(net.classifier(polar)).mean((2, 3))


@pytest.mark.parametrize(("variant", "stride"), [("base", 4), ("small", 2)])
def test_the_classifier_does_not_see_rolls_by_its_stride(variant, stride):
    net = build(variant).eval()
    polar = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        maps, rolled = net.classifier(polar), net.classifier(polar.roll(stride, 2))
        assert relative(rolled, maps.roll(1, 2)) < 1e-5
        expected = logits_of(net, polar)
        assert relative(logits_of(net, polar.roll(3 * stride, 2)), expected) < 1e-5
        assert relative(logits_of(net, polar.roll(stride, 3)), expected) > 0.01  # the radius


def test_zero_padded_rows_fail_the_same_check(monkeypatch):
    net = build().eval()
    polar = torch.randn(4, 1, 28, 28)
    monkeypatch.setattr(PolarConv, "forward", lambda conv, maps: F.conv2d(
        F.pad(maps, (0, 0, 1, 1)), conv.weight, conv.bias, conv.stride, conv.padding
    ))  # fmt: skip
    with torch.no_grad():
        assert relative(logits_of(net, polar.roll(4, 2)), logits_of(net, polar)) > 0.01
