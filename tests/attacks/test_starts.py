import subprocess
import sys

import pytest
import torch

from rotgrid import attacks
from rotgrid.attacks import starts
from rotgrid.attacks.starts import StartsOfSome, draw_starts, uniform_offsets

from linear import Halves

IMAGES = torch.zeros(5, 1, 6, 6)


def seeded():
    return torch.Generator().manual_seed(3)


def equal(found, expected):
    found = list(found)
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


@pytest.mark.parametrize("kept", [1, 2, 100])
@pytest.mark.parametrize("restarts", [1, 2, 7])
def test_starts_are_the_draws_of_the_generator_however_few_are_kept(kept, restarts, monkeypatch):
    monkeypatch.setattr(starts, "KEPT_BYTES", kept * IMAGES.nbytes)
    one, other = seeded(), seeded()
    found = draw_starts(IMAGES, restarts, one)
    expected = [uniform_offsets(IMAGES, other) for _ in range(restarts)]
    assert torch.equal(one.get_state(), other.get_state())
    assert equal(found, expected)
    uniform_offsets(IMAGES, one)  # what becomes of the generator does not matter
    assert equal(found, expected)
    at = torch.tensor([4, 1])
    twice = StartsOfSome(StartsOfSome(found, at), torch.tensor([True, False]))
    assert equal(twice, [offset[4:] for offset in expected])
    assert equal(twice, [offset[4:] for offset in expected])


@pytest.mark.parametrize("kept", [1, 100])
def test_without_a_generator_the_first_start_is_the_image(kept, monkeypatch):
    monkeypatch.setattr(starts, "KEPT_BYTES", kept * IMAGES.nbytes)
    fixed = torch.Generator().manual_seed(0)
    later = [uniform_offsets(IMAGES, fixed) for _ in range(3)]
    assert equal(draw_starts(IMAGES, 4, None), [IMAGES, *later])


def test_ten_thousand_starts_keep_as_much_memory_as_a_few():
    found = draw_starts(torch.zeros(20, 1, 28, 28), 10_000, seeded())
    assert sum(offset.nbytes for offset in found.kept) <= starts.KEPT_BYTES
    assert sum(1 for _ in found) == 10_000


ATTACKS = {
    "noise": attacks.noise,
    "sign-noise": attacks.sign_noise,
    "pgd": attacks.pgd,
    "apgd": attacks.apgd,
    "square": attacks.square,
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kept", [1, 100])
def test_a_generator_moves_on_by_as_much_whatever_is_broken(attack, kept, monkeypatch):
    monkeypatch.setattr(starts, "KEPT_BYTES", kept * IMAGES.nbytes)
    model, images = Halves(), torch.rand(5, 1, 6, 6)
    right = model(images).argmax(1)
    more = {} if "noise" in attack else {"steps": 3}
    states = []
    for labels, eps in ((right, 0.0), (right, 1.0), (1 - right, 0.1)):
        generator = seeded()
        ATTACKS[attack](model, images, labels, eps=eps, restarts=4, generator=generator, **more)
        states.append(generator.get_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
    assert not torch.equal(states[0], seeded().get_state())


PEAK = """
import resource, torch
from rotgrid import attacks
torch.set_num_threads(1)
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
images = torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
labels, g = attacks.predicted(net, images), torch.Generator()
run = lambda draws: attacks.sweep(net, images, labels, attack={attack!r}, eps_grid=[1e-6, 2e-6],
                                  restarts=draws, generator=g, **{settings})
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(2); few = peak(); run(400); print((peak() - few) // 1024)
"""


@pytest.mark.parametrize(
    ("attack", "settings"), [("noise", {}), ("sign-noise", {}), ("pgd", {"steps": 1})]
)
def test_many_restarts_take_little_more_memory_than_two(attack, settings):
    """Of 200 images 400 draws are 251 MB."""
    code = PEAK.format(attack=attack, settings=settings)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100
