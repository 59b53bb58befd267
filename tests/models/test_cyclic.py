import pytest
import torch

from rotgrid.models import cyclic, stdcnn
from rotgrid.models.cyclic import aligned, rms_pooled, rolled, sliced

from golden import Golden, relative

GOLDEN = Golden("cyclic_dieleman")
IMAGES = torch.rand(4, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
variants = pytest.mark.parametrize("variant", cyclic.ROLLED)


def invariance_error(net, quarter):
    net = net.double().eval()
    with torch.no_grad():
        return relative(net(IMAGES.rot90(quarter, (-2, -1))), net(IMAGES))


def test_slicing_equals_the_original():
    assert torch.equal(sliced(GOLDEN["x"]), GOLDEN["slice"])


def test_rolling_equals_the_original():
    maps = rolled(GOLDEN["conv_roll_in"])
    assert maps.shape == (12, 20, 6, 6)
    assert torch.equal(maps[:, :, ::3], GOLDEN["conv_roll_every3rd_row"])
    assert torch.equal(rolled(GOLDEN["dense_in"]), GOLDEN["dense_roll"])


def test_pooling_equals_the_original():
    assert relative(rms_pooled(GOLDEN["dense_in"]), GOLDEN["dense_pool_rms"]) < 1e-10


@pytest.mark.parametrize(("variant", "parameters"), [("pool", 23_010), ("roll", 76_410)])
def test_parameter_counts(variant, parameters):
    assert sum(p.numel() for p in cyclic.build(variant).parameters()) == parameters


@variants
@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_logits_are_invariant_to_quarter_turns(variant, quarter):
    assert invariance_error(cyclic.build(variant), quarter) < 1e-12


def test_the_plain_network_fails_the_same_check():
    assert invariance_error(stdcnn.build(), 1) > 1e-2


def test_views_that_are_not_turned_fail_the_same_check(monkeypatch):
    monkeypatch.setattr(cyclic, "sliced", lambda images: torch.cat([images] * 4))
    assert invariance_error(cyclic.build(), 1) > 1e-2


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turn_of_the_image_rolls_the_views(quarter):
    turned = sliced(IMAGES.rot90(quarter, (-2, -1))).unflatten(0, (4, -1))
    assert torch.equal(turned, sliced(IMAGES).unflatten(0, (4, -1)).roll(-quarter, 0))
    maps = rolled(sliced(IMAGES)).unflatten(0, (4, -1))
    turned = rolled(sliced(IMAGES.rot90(quarter, (-2, -1)))).unflatten(0, (4, -1))
    assert torch.equal(turned, maps.roll(-quarter, 0))


def test_aligned_maps_only_turn():
    convolution = torch.nn.Conv2d(1, 3, 5).double()
    with torch.no_grad():
        maps = aligned(convolution(sliced(IMAGES)))
        turned = aligned(convolution(sliced(IMAGES.rot90(1, (-2, -1)))))
    assert maps.shape == (4, 3, 24, 24)
    assert relative(turned, maps.rot90(1, (-2, -1))) < 1e-12


def test_pooling_has_a_finite_gradient_at_zero():
    features = torch.zeros(8, 3, requires_grad=True)
    pooled = rms_pooled(features)
    assert pooled.max() < 1e-5
    pooled.sum().backward()
    assert not features.grad.any()


@variants
def test_views_see_each_other_only_where_they_are_rolled(variant):
    net = cyclic.build(variant)
    inputs = []
    for layer in (net.conv3, net.fc1):
        layer.register_forward_pre_hook(lambda module, args: inputs.append(args[0].shape[1]))
    net(torch.rand(2, 1, 28, 28))
    assert inputs == ([40, 1280] if variant == "roll" else [10, 320])


def test_unknown_variant():
    with pytest.raises(KeyError):
        cyclic.build("slice")
