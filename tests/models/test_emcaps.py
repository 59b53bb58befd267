import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rotgrid.attacks import fgsm
from rotgrid.models import emcaps
from rotgrid.models.emcaps import EMCaps, build, em_routing, spread_loss, votes
from rotgrid.spec.datasets import MNIST_SHAPE

from golden import Golden, relative

GOLDEN = Golden("em_routing_yl1993")


def test_parameter_count():
    assert sum(p.numel() for p in build().parameters()) == 68_572


def test_unknown_variant():
    with pytest.raises(KeyError):
        build("large")


def golden_routing(iterations):
    """Votes and activations with the axes of ours: children, numbers, parents, fits."""
    cast, active = GOLDEN["v"].permute(1, 3, 2, 0), GOLDEN["a_in"][..., 0].t()
    return em_routing(cast, active, GOLDEN["beta_u"], GOLDEN["beta_a"], iterations)


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_routing_equals_the_original(iterations):
    means, activations = golden_routing(iterations)
    assert relative(means.permute(2, 1, 0), GOLDEN[f"mu_it{iterations}"][:, 0]) < 1e-5
    assert relative(activations.t(), GOLDEN[f"a_out_it{iterations}"]) < 1e-5


def test_iterations_differ():
    assert relative(golden_routing(1)[0], golden_routing(2)[0]) > 0.1


def golden_network():
    net = EMCaps(8, 3, 4, 5, MNIST_SHAPE).eval()
    net.normalize = nn.Identity()
    state = {"steps": net.steps}
    for name in net.state_dict().keys() - {"steps"}:
        found = GOLDEN["net_param_" + name.replace(".", "_")]
        state[name] = found[0] if name.endswith("weights") else found
    net.load_state_dict(state)
    return net


def poses_then_activations(capsules):
    """The original's axes: (batch, row, column, all poses and then all activations)."""
    parts = capsules[:, :, :16].flatten(1, 2), capsules[:, :, 16]
    return torch.cat(parts, 1).permute(0, 2, 3, 1)


def test_network_equals_the_original():
    net = golden_network()
    maps = F.relu(net.bn1(net.conv1(GOLDEN["net_x"])))
    primary = net.primary_caps(maps)
    found = poses_then_activations(primary)[:, ::5, ::5]
    assert relative(found, GOLDEN["primary_every5"]) < 1e-5
    found = poses_then_activations(net.conv_caps1(primary))[:, ::2, ::2]
    assert relative(found, GOLDEN["convcaps1_every2"]) < 1e-5
    assert relative(net(GOLDEN["net_x"]), GOLDEN["net_out"]) < 1e-5


@pytest.mark.parametrize(
    "fault",
    [
        lambda net: nn.init.zeros_(net.class_caps.coordinates),
        lambda net: setattr(net.conv_caps1.weights, "data", net.conv_caps1.weights.data.mT),
        lambda net: setattr(net.conv_caps2.weights, "data", net.conv_caps2.weights.data.flip(0)),
    ],
    ids=["no coordinates", "matrices transposed", "another order of children"],
)
def test_faults_are_seen(fault):
    net = golden_network()
    with torch.no_grad():
        fault(net)
        assert relative(net(GOLDEN["net_x"]), GOLDEN["net_out"]) > 1e-3


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_spread_loss_equals_the_original(share):
    found = spread_loss(GOLDEN["spread_scores"], GOLDEN["spread_y"], 0.2 + 0.7 * share)
    torch.testing.assert_close(found, GOLDEN[f"spread_r{share}"], rtol=1e-5, atol=1e-6)


def test_votes_are_matrix_products():
    poses, weight = torch.randn(6, 16, 5), torch.randn(6, 3, 4, 4)
    pose = poses[2, :, 4].view(4, 4)
    torch.testing.assert_close(votes(poses, weight)[2, :, 1, 4].view(4, 4), pose @ weight[2, 1])


def made_up(children=6):
    """Votes, activations, beta_u, beta_a of 4 parents in 5 fits."""
    return torch.randn(children, 16, 4, 5), torch.rand(children, 5), torch.rand(4), torch.rand(4)


def test_a_child_of_activation_zero_has_no_say():
    cast, active, *betas = made_up()
    active[2] = 0.0
    others = torch.tensor([0, 1, 3, 4, 5])
    found = em_routing(cast, active, *betas, 3)
    expected = em_routing(cast[others], active[others], *betas, 3)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_otherwise_the_activation_of_a_child_cancels():
    """As in the original, and unlike the paper."""
    cast, _, *betas = made_up()
    weak = em_routing(cast, torch.full((6, 5), 0.1), *betas, 3)
    strong = em_routing(cast, torch.rand(6, 5) + 0.5, *betas, 3)
    for one, other in zip(weak, strong, strict=True):
        torch.testing.assert_close(one, other)


def test_a_parent_is_more_active_the_closer_its_votes():
    cast, active, *_ = made_up()
    cast[:, :, 1] *= 0.01
    activations = em_routing(cast, active, torch.zeros(4), torch.zeros(4), 2)[1]
    assert (activations.argmax(0) == 1).all()


def test_equal_votes_have_finite_gradients():
    cast = torch.ones(6, 16, 4, 5, requires_grad=True)
    means, activations = em_routing(cast, *made_up()[1:], 2)
    (gradient,) = torch.autograd.grad(means.sum() + activations.sum(), cast)
    assert gradient.isfinite().all()
    torch.testing.assert_close(means, torch.ones(16, 4, 5))


def outputs_and_gradients(net, images):
    images = images.clone().requires_grad_()
    outputs = net(images)
    over = [images, *net.parameters()]
    return outputs, *torch.autograd.grad(outputs.square().sum(), over)


@pytest.mark.parametrize(("name", "value"), [("AT_ONCE", 20_000), ("KEPT", 1)])
def test_parts_of_a_batch_and_votes_made_again_change_nothing(monkeypatch, name, value):
    net = EMCaps(8, 3, 4, 5, MNIST_SHAPE).eval().double()
    images = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    expected = outputs_and_gradients(net, images)
    monkeypatch.setattr(emcaps, name, value)
    found = outputs_and_gradients(net, images)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_margin_grows_with_the_steps_of_training():
    net = EMCaps(8, 3, 4, 5, MNIST_SHAPE)
    images, labels = torch.rand(2, 1, 28, 28), torch.tensor([1, 2])
    torch.testing.assert_close(net.margin(), torch.tensor(0.2))
    net.training_loss(images, labels)
    net.training_loss(images, labels)
    net.eval().training_loss(images, labels)
    assert net.steps == 2
    other = EMCaps(8, 3, 4, 5, MNIST_SHAPE)
    other.load_state_dict(net.state_dict())
    assert other.steps == 2
    for steps, margin in (emcaps.GROWTH // 2, 0.55), (emcaps.GROWTH, 0.9), (10**6, 0.9):
        net.steps.fill_(steps)
        torch.testing.assert_close(net.margin(), torch.tensor(margin))
        expected = spread_loss(net(images), labels, margin)
        torch.testing.assert_close(net.training_loss(images, labels), expected)


@pytest.fixture
def confident():
    """A network that calls every image a 3, by more than the margin."""
    net = EMCaps(8, 3, 4, 5, MNIST_SHAPE).eval()
    net.class_caps.beta_a.data.fill_(-3000.0)
    net.class_caps.beta_a.data[3] = 3000.0
    return net, torch.rand(4, 1, 28, 28), torch.full((4,), 3)


def test_spread_loss_is_flat_for_confident_images_and_fgsm_moves_them(confident):
    net, images, labels = confident
    leaf = images.clone().requires_grad_()
    (flat,) = torch.autograd.grad(net.training_loss(leaf, labels), leaf)
    assert torch.equal(flat, torch.zeros_like(images))
    moved = fgsm(net, images, labels, eps=0.1)
    assert ((moved - images).abs() > 0.09).float().mean() > 0.8
    before, after = (F.cross_entropy(net(x), labels, reduction="none") for x in (images, moved))
    assert (after > before).all()
