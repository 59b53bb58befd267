import pytest
import torch

from rotgrid import models, training
from rotgrid.spec import Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.training import cuda_graph, optimizers


@pytest.fixture
def on_cpu(monkeypatch):
    """Recordings that are replayed by doing the work again; the number of each."""
    counts = {"on side stream": 0, "captured": 0, "replayed": 0}

    def on_side_stream(work):
        counts["on side stream"] += 1
        return work()

    def capture(work):
        counts["captured"] += 1
        left = torch.zeros(())

        def replay():
            counts["replayed"] += 1
            left.copy_(work())

        return replay, left

    monkeypatch.setattr(cuda_graph, "on_side_stream", on_side_stream)
    monkeypatch.setattr(cuda_graph, "capture", capture)
    return counts


@pytest.mark.parametrize("adversary", [*ADVERSARIES])
def test_a_recorded_training_is_the_same(adversary, digits, on_cpu):
    """Six whole batches and a smaller one in each of two epochs; eps grows over the first."""
    trial = Trial(
        model="stdcnn", data="mnist5k", recipe="fast", train_size=100, batch_size=16, epochs=2,
        train_rotation=30.0, adversary=adversary, adversary_eps=0.2,
    )  # fmt: skip
    images, labels = digits.train_images[:100], digits.train_labels[:100]
    found = []
    for recorded in (False, True):
        net = models.build("stdcnn")
        optimizer, scheduler = optimizers.build(net, trial)
        step = cuda_graph.stepper(net, optimizer, trial)
        if recorded:
            step = cuda_graph.CapturedStep(step, trial.batch_size)
        epochs = (training.train_epoch(step, scheduler, images, labels, trial, e) for e in (1, 2))
        found.append(([*epochs], net.state_dict()))
    (one, weights), (other, again) = found
    assert one == pytest.approx(other)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, again[name])
    warm = cuda_graph.WARM_UP
    assert on_cpu == {"on side stream": warm, "captured": 1, "replayed": 12 - warm}


def test_losses_of_replays_are_kept_apart(on_cpu):
    """What a replay leaves is overwritten by the next."""
    recorded = cuda_graph.CapturedStep(lambda images, *_: images.mean(), 1)
    batches = [torch.full((1, 1, 2, 2), float(i)) for i in range(8)]
    found = [recorded(x, torch.tensor([0]), 0.0, {}) for x in batches]
    assert torch.stack(found).tolist() == list(range(8))


def test_on_a_cpu_nothing_is_recorded(quick_trial):
    net = models.build("stdcnn").eval()
    step = cuda_graph.stepper(net, optimizers.build(net, quick_trial)[0], quick_trial)
    assert not isinstance(step, cuda_graph.CapturedStep)
    assert net.training
