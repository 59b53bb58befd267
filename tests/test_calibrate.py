import time

import pytest
import torch

from rotgrid import calibrate
from rotgrid.cost import rates, speed
from rotgrid.grid import Resources
from rotgrid.models import build
from rotgrid.spec.vocabulary import MODELS

GRID = """
blocks:
  - {model: stdcnn, variant: [table1, doubled], seed: [0, 1], data: mnist5k, batch_size: 16}
"""


@pytest.fixture
def grid_file(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text(GRID)
    return str(path)


def test_what_is_measured_is_what_plans_count_with(grid_file, tmp_path, capsys):
    assert calibrate.main([grid_file, "--seconds", "0.05"]) == 0
    device = rates.device_name(Resources())
    found = rates.remembered(device)
    assert set(found) == {("stdcnn", "table1"), ("stdcnn", "doubled")}
    assert speed.speeds(tmp_path, Resources())(("stdcnn", "doubled")).source.endswith(device)
    for trained, gradient, forward in found.values():
        assert 0 < forward < min(trained, gradient)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"images per second on {device}"
    assert [line.split()[:2] for line in lines[2:]] == [
        ["stdcnn", "table1"],
        ["stdcnn", "doubled"],
    ]
    train = found["stdcnn", "table1"].trained
    assert int(lines[2].split()[2].replace(",", "")) == pytest.approx(1 / train, abs=1)


class Slow(torch.nn.Module):
    """A network that takes a tenth of a second longer."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        time.sleep(0.1)
        return self.net(images)


def test_seconds_are_those_of_an_image(grid_file, monkeypatch):
    monkeypatch.setattr(calibrate, "build", lambda *args: Slow(build(*args)))
    trials, _ = calibrate.asked(grid_file, gpu=False)
    found = calibrate.measured(trials[0], torch.device("cpu"), seconds=0.1)
    assert 0.1 / 250 < found.forward < 0.2 / 250
    assert 0.1 / 250 < found.gradient < 0.4 / 250
    assert 0.1 / 16 < found.trained < 0.2 / 16


def test_a_slow_step_is_made_once_and_a_fast_one_warms_up():
    calls = []

    def step(seconds):
        calls.append(seconds)
        time.sleep(seconds)

    assert calibrate.median(lambda: step(0.05), 0.02) == pytest.approx(0.05, rel=0.5)
    assert len(calls) == 1
    durations = iter([0.01, *[0.001] * 100])
    assert calibrate.median(lambda: step(next(durations)), 0.02) < 0.009
    assert len(calls) > 3


def test_one_of_each_model_without_a_grid():
    trials, resources = calibrate.asked(None, gpu=False)
    assert tuple(trial.model for trial in trials) == MODELS
    assert resources == Resources()
    assert calibrate.asked(None, gpu=True)[1].gpu == 1


def test_mistakes_are_exit_2(tmp_path, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text("blocks: [{model: gcn}]")
    assert calibrate.main([str(bad)]) == 2
    assert "did you mean 'gcnn'?" in capsys.readouterr().err
    for seconds in ("0", "-1", "nan", "x"):
        with pytest.raises(SystemExit, match="2"):
            calibrate.main(["--seconds", seconds])


def test_no_gpu_and_no_cache_are_exit_5(grid_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert calibrate.main([grid_file, "--gpu"]) == 5
    assert "GPU" in capsys.readouterr().err
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(rates, "RATES_FILE", tmp_path / "file" / "rates.json")
    assert calibrate.main([grid_file, "--seconds", "0.01"]) == 5
    assert "rates.json" in capsys.readouterr().err
