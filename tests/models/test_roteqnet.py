import pytest
import torch

from rotgrid.models.layers import filters_kept
from rotgrid.models.roteqnet import (
    ROTATIONS,
    Magnitude,
    Rotations,
    RotEqNet,
    ScalarRotConv,
    VectorBatchNorm,
    VectorMaxPool,
    VectorRotConv,
    build,
    resampling,
)
from rotgrid.spec.datasets import MNIST_SHAPE

from golden import Golden, relative

golden = Golden("roteqnet_layers")
GRIDS = [
    (grid, Rotations(angles, zoomed=grid == "grid_head_py3"))
    for grid in ("grid_exact", "grid_head_py3")
    for angles in (8, 17)
]
ORIGINAL_SHAPES = {
    "main.0.weight1": (6, 1, 9, 9),
    "main.2.weight": (1, 6, 1, 1),
    "main.2.running_var": (1, 6, 1, 1),
    "main.3.weight1": (16, 6, 9, 9),
    "main.3.weight2": (16, 6, 9, 9),
    "main.5.weight": (1, 16, 1, 1),
    "main.5.running_var": (1, 16, 1, 1),
    "main.6.weight1": (32, 16, 9, 9),
    "main.6.weight2": (32, 16, 9, 9),
    "main.8.weight": (128, 32, 1, 1),
    "main.8.bias": (128,),
    "main.9.weight": (128,),
    "main.9.bias": (128,),
    "main.9.running_mean": (128,),
    "main.9.running_var": (128,),
    "main.9.num_batches_tracked": (),
    "main.12.weight": (10, 128, 1, 1),
    "main.12.bias": (10,),
}
DISC = (
    torch.hypot(*torch.meshgrid(torch.arange(-4.0, 5), torch.arange(-4.0, 5), indexing="ij")) <= 4
)


def field(name):
    """The golden u and v of a name, as one tensor."""
    return torch.stack([golden[name.format(part)] for part in "uv"], 1)


def scalar_layer(turns):
    layer = ScalarRotConv(2, 4, 9, 4, turns)
    layer.weight1.data = golden["w_mode1"]
    return layer


def vector_layer(turns):
    layer = VectorRotConv(4, 5, 9, 4, turns)
    layer.weight1.data, layer.weight2.data = golden["w_mode2_u"], golden["w_mode2_v"]
    return layer


@pytest.mark.parametrize("variant", ROTATIONS)
def test_parameters_and_names_are_those_of_the_original(variant):
    net = build(variant)
    assert sum(parameter.numel() for parameter in net.parameters()) == 104_774
    assert {
        name: tuple(value.shape) for name, value in net.state_dict().items()
    } == ORIGINAL_SHAPES


@pytest.mark.parametrize(("grid", "turns"), GRIDS)
def test_turned_filters_equal_the_original(grid, turns):
    layer = scalar_layer(turns)
    name = f"{grid}_n{turns.angles}_rotated_w_mode1_first"
    assert relative(layer.rotated(layer.weight1)[:, :1, 0], golden[name]) < 1e-6


@pytest.mark.parametrize(("grid", "turns"), GRIDS)
def test_layers_equal_the_original(grid, turns):
    prefix = f"{grid}_n{turns.angles}_"
    first = scalar_layer(turns)(golden["x"])
    assert relative(first[..., ::3, ::3], field(prefix + "mode1_{}_every3")) < 1e-5
    pooled = VectorMaxPool()(first[..., :14, :14])
    assert relative(pooled[..., ::2, ::2], field(prefix + "pool_{}_every2")) < 1e-5
    second = vector_layer(turns)(first)
    assert relative(second[..., ::3, ::3], field(prefix + "mode2_{}_every3")) < 1e-5
    assert relative(Magnitude()(second)[..., ::3, ::3], golden[prefix + "mag_every3"]) < 1e-5


def test_batch_norm_equals_the_original():
    vectors = scalar_layer(Rotations())(golden["x"])
    norm = VectorBatchNorm(4).eval()
    norm.weight.data = golden["bn_weight"]
    norm.running_var.copy_(golden["bn_running_var_before"])
    assert relative(norm(vectors)[..., ::3, ::3], field("bn_eval_{}_every3")) < 1e-5
    assert relative(norm.train()(vectors)[..., ::3, ::3], field("bn_train_{}_every3")) < 1e-5
    assert relative(norm.running_var, golden["bn_running_var_after"]) < 1e-5


def test_the_first_filter_is_the_canonical_one_inside_the_disc_unless_zoomed():
    weight = golden["w_mode1"]
    exact, zoomed = (scalar_layer(ROTATIONS[v]).rotated(weight)[0] for v in ("exact", "zoomed"))
    assert relative(exact[..., DISC], weight[..., DISC]) < 1e-6
    assert relative(zoomed[..., DISC], weight[..., DISC]) > 0.1


def test_pixels_outside_the_disc_take_the_first_weight_or_none():
    weight = golden["w_mode1"]
    filled = scalar_layer(Rotations()).rotated(weight)[..., ~DISC]
    assert torch.equal(filled, weight[None, ..., 0, :1].expand_as(filled))
    masked = scalar_layer(Rotations(masked=True)).rotated(weight)
    assert not masked[..., ~DISC].any()
    assert torch.equal(masked[..., DISC], scalar_layer(Rotations()).rotated(weight)[..., DISC])


def test_filters_turn_clockwise():
    turns = scalar_layer(Rotations(16)).rotated(golden["w_mode1"])
    assert relative(turns[4][..., DISC], turns[0].rot90(-1, (-2, -1))[..., DISC]) < 1e-6
    assert relative(turns[4][..., DISC], turns[0].rot90(1, (-2, -1))[..., DISC]) > 0.1


@pytest.mark.parametrize("zoomed", [False, True])
def test_interpolation_keeps_constants(zoomed):
    shares = resampling(9, Rotations(17, zoomed))
    torch.testing.assert_close(shares.sum(-1), torch.ones(17, 81, dtype=torch.float64))


def turn(vectors, quarters):
    """The field of an image that is turned counter-clockwise by quarter turns."""
    u, v = vectors.rot90(quarters, (-2, -1)).unbind(1)
    for _ in range(quarters):
        u, v = v, -u
    return torch.stack([u, v], 1)


def turning_error(net, images, quarters, expected=turn):
    """Greatest relative error of the three layers, and that of the logits."""
    net = net.double().eval()
    turned = images.rot90(quarters, (-2, -1))
    with torch.no_grad():
        fields = [
            relative(net.main[:at](turned), expected(net.main[:at](images), quarters))
            for at in (1, 2, 4, 5, 7)
        ]
        return max(fields), relative(net(turned), net(images))


def dense_images():
    return torch.rand(2, 1, 28, 28, dtype=torch.float64)


def sparse_images():
    """Empty around a patch, like digits."""
    images = torch.zeros(2, 1, 28, 28, dtype=torch.float64)
    images[..., 8:19, 10:17] = torch.rand(2, 1, 11, 7)
    return images


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("images", [dense_images, sparse_images])
def test_fields_of_sixteen_angles_turn_with_the_image(images, quarters):
    vectors, logits = turning_error(build("sixteen"), images(), quarters)
    assert vectors < 1e-5
    assert logits < 1e-5


def test_digits_leave_sixteen_angles_exact_in_single_precision(digits):
    net = build("sixteen").eval()
    images = digits.test_images[:20].float() / 255
    with torch.no_grad():
        assert relative(net(images.rot90(1, (-2, -1))), net(images)) < 1e-5


def test_vectors_that_turn_the_other_way_or_not_at_all_fail():
    def backwards(vectors, quarters):
        return turn(vectors, 4 - quarters).rot90(2 * quarters, (-2, -1))

    def still(vectors, quarters):
        return vectors.rot90(quarters, (-2, -1))

    for wrong in (backwards, still):
        assert turning_error(build("sixteen"), dense_images(), 1, wrong)[0] > 0.1


def test_corners_break_the_tie_of_angles_on_images_with_empty_parts():
    """Unmasked, all angles respond alike where a patch holds nothing but its corners."""
    unmasked = RotEqNet(Rotations(16), MNIST_SHAPE)
    assert max(turning_error(unmasked, dense_images(), 1)) < 1e-5
    assert turning_error(unmasked, sparse_images(), 1)[0] > 0.1


@pytest.mark.parametrize("variant", ["exact", "zoomed"])
def test_seventeen_angles_are_only_near_equivariance(variant):
    torch.manual_seed(0)
    layer = build(variant).main[0]
    images = dense_images().float()
    with torch.no_grad():
        found = Magnitude()(layer(images.rot90(1, (-2, -1))))
        expected = Magnitude()(layer(images)).rot90(1, (-2, -1))
    error = (found - expected).norm() / expected.norm()
    unrelated = (found.flip(0) - expected).norm() / expected.norm()
    assert 1e-3 < error < 0.5 * unrelated


def test_pooling_takes_the_longest_vector_whole():
    vectors = torch.zeros(1, 2, 1, 2, 4)
    vectors[0, :, 0, 0, 1] = torch.tensor([-3.0, 4.0])  # 5 long
    vectors[0, :, 0, 1, 0] = torch.tensor([4.5, 0.0])  # greater u, but shorter
    vectors[0, :, 0, 1, 2] = torch.tensor([-0.5, -0.5])
    assert VectorMaxPool()(vectors)[0, :, 0, 0].T.tolist() == [[-3, 4], [-0.5, -0.5]]


def test_zero_vectors_have_finite_gradients():
    for module in (Magnitude(), VectorMaxPool(), VectorBatchNorm(3)):
        vectors = torch.zeros(2, 2, 3, 4, 4, requires_grad=True)
        module(vectors).square().add(module(vectors)).sum().backward()
        assert torch.isfinite(vectors.grad).all()


def test_kept_filters_give_the_same_numbers():
    net = build().eval()
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        expected = net(images)
        with filters_kept(net):
            assert torch.equal(net(images), expected)
            net.main[0].weight1 *= 2
            assert torch.equal(net(images), expected)
        assert not torch.equal(net(images), expected)


def test_unknown_variants_are_refused():
    with pytest.raises(KeyError):
        build("seventeen")
