import pytest
import torch

from rotgrid.models import dren, z2cnn
from rotgrid.models.dren import Cycle, Decycle, Isotonic, over_rotations

from golden import Golden, relative

GOLDEN = Golden("dren_layers")
IMAGES = torch.rand(4, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
variants = pytest.mark.parametrize("variant", dren.MAXIMUM)
quarters = pytest.mark.parametrize("quarter", [1, 2, 3])


def planar(name):
    """A golden map, (batch, channels, h, w); the originals keep channels last."""
    return GOLDEN[name].permute(0, 3, 1, 2)


def layer(kind, *weights):
    """A layer of the golden weights, each (row, col, in, out), without bias."""
    weight = torch.stack([GOLDEN[name].permute(3, 2, 0, 1) for name in weights])
    made = kind(weight.shape[2], weight.shape[1], weight.shape[-1]).double()
    with torch.no_grad():
        made.weight.copy_(weight if kind is Isotonic else weight[0])
    return made


LAYERS = [
    (layer(Cycle, "cycle_weights"), "x", "cycle_out"),
    (layer(Isotonic, *(f"isotonic_weights_{d}" for d in range(4))), "cycle_out", "isotonic_out"),
    (layer(Decycle, "decycle_weights"), "isotonic_out", "decycle_out"),
]


@pytest.mark.parametrize(("convolution", "before", "after"), LAYERS)
def test_layers_equal_the_original(convolution, before, after):
    assert relative(convolution(planar(before)), planar(after)) < 1e-10


def rolled(maps, quarter):
    """What a counter-clockwise turn of the image does to maps: rotations are clockwise."""
    return maps.rot90(quarter, (-2, -1)).unflatten(1, (4, -1)).roll(-quarter, 1).flatten(1, 2)


@quarters
def test_layers_turn_and_roll(quarter):
    (cycle, *_), (isotonic, *_), (decycle, *_) = LAYERS
    images = planar("x")
    maps = cycle(images)
    assert relative(cycle(images.rot90(quarter, (-2, -1))), rolled(maps, quarter)) < 1e-12
    assert relative(isotonic(rolled(maps, quarter)), rolled(isotonic(maps), quarter)) < 1e-12
    maps = isotonic(maps)
    turned = decycle(maps).rot90(quarter, (-2, -1))
    assert relative(decycle(rolled(maps, quarter)), turned) < 1e-12
    assert relative(decycle(maps.rot90(quarter, (-2, -1))), turned) > 0.1


@pytest.mark.parametrize("quarter", [1, 3])
def test_rotations_are_clockwise(quarter):
    cycle, images = LAYERS[0][0], planar("x")
    turned = cycle(images.rot90(quarter, (-2, -1)))
    counter_clockwise = rolled(cycle(images), quarter).unflatten(1, (4, -1)).roll(2 * quarter, 1)
    assert relative(turned, counter_clockwise.flatten(1, 2)) > 0.1


@pytest.mark.parametrize(("variant", "parameters"), [("x4", 19_760), ("max-x4", 24_560)])
def test_parameter_counts_are_the_papers(variant, parameters):
    assert sum(p.numel() for p in dren.build(variant).parameters()) == parameters


def away_from_zero(net):
    """In float64, with biases that matter."""
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return net.double().eval()


def invariance_error(net, quarter):
    with torch.no_grad():
        return relative(net(IMAGES.rot90(quarter, (-2, -1))), net(IMAGES))


@variants
@quarters
def test_logits_are_invariant_to_quarter_turns(variant, quarter):
    assert invariance_error(away_from_zero(dren.build(variant)), quarter) < 1e-12


def test_a_planar_network_fails_the_same_check():
    assert invariance_error(away_from_zero(z2cnn.build()), 1) > 1e-2


def test_counter_clockwise_rotations_in_one_layer_fail_the_same_check(monkeypatch):
    net = away_from_zero(dren.build())
    turned = [dren.rotated(net.isotonic4.weight, -i) for i in range(4)]
    wrong = torch.cat([w.roll(i, 0).flatten(0, 1) for i, w in enumerate(turned)], 1)
    monkeypatch.setattr(net.isotonic4, "filters", lambda: (wrong, net.isotonic4.bias.repeat(4)))
    assert invariance_error(net, 1) > 1e-3


@variants
def test_layers_of_the_network_turn_with_the_image(variant):
    net = away_from_zero(dren.build(variant))
    with torch.no_grad():
        maps = over_rotations(net.cycle(net.normalize(IMAGES)))
        turned = over_rotations(net.cycle(net.normalize(IMAGES.rot90(1, (-2, -1)))))
    assert maps.shape == (4, 10, 26, 26)
    assert relative(turned, maps.rot90(1, (-2, -1))) < 1e-12


def test_dropout_follows_layers_1_3_4_5_and_6():
    net = dren.build()
    sizes = []
    net.dropout.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape))
    net(torch.rand(2, 1, 28, 28))
    assert [tuple(size) for size in sizes] == [(2, 40, n, n) for n in (26, 10, 8, 6, 4)]
    assert net.dropout.p == 0.2


@variants
def test_weights_start_as_in_the_original(variant):
    net = dren.build(variant)
    for convolution in (net.isotonic2, net.isotonic6, net.top):
        assert convolution.weight.std().item() == pytest.approx(0.05, rel=0.1)
        assert not convolution.bias.any()


def test_unknown_variant():
    with pytest.raises(KeyError):
        dren.build("x16")
