"""The examples of docs/ run as they are, on few images, from a folder outside of the checkout."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rotgrid import check, data, grid, launch, results
from rotgrid.evaluation.equivariance import measure
from rotgrid.models import count_parameters
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
GRIDS = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.yaml"))
FEW = [
    *("--set", "defaults.seed=0"),
    *("--set", "defaults.train_size=64"),
    *("--set", "defaults.epochs=1"),
    *("--set", "blocks.*.probes.*.n_images=10"),
]
LESS = {
    "own_network.yaml": [
        *("--set", "defaults.train_rotation=180"),
        *("--set", "blocks.own.variant=rotating"),
        *("--set", "blocks.known.model=stdcnn"),
    ],
    "own_attack.yaml": [
        "--set",
        "blocks.all.model=stdcnn",
        "--set",
        "blocks.all.probes.1.steps=10",
    ],
    "own_data.yaml": ["--set", "defaults.train_rotation=180", "--set", "blocks.all.model=gcnn"],
}
"""Where there are more networks than a test has time for."""


@pytest.fixture
def examples(folder, tmp_path):
    """A copy of the examples; the current folder is another."""
    (folder / "out").mkdir()
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


@pytest.fixture
def shapes(examples):
    """The file that own_data.yaml trains on."""
    example = runpy.run_path(str(examples / "own_data.py"))
    example["write_by_numpy"](examples / "shapes.npz")
    return example


@pytest.mark.parametrize("name", GRIDS)
def test_grids_are_planned_as_they_are(name, examples, shapes, capsys):
    assert launch.main([str(examples / name), "--plan", "--results", "out"]) == 0
    assert "to do" in capsys.readouterr().out


@pytest.mark.parametrize("name", LESS)
def test_grids_run(name, examples, shapes):
    chosen = [*FEW, *LESS[name]]
    assert (
        launch.main([str(examples / name), "--local", "--no-report", "--results", "out", *chosen])
        == 0
    )
    rows, _ = results.read("out", "evaluations", ["model", "variant", "attack", "n"])
    plan = grid.read(examples / name, chosen[1::2])
    assert rows.num_rows == plan.rows > 0
    assert set(rows["model"].to_pylist()) == {trial.model for trial in plan.trials}
    assert set(rows["n"].to_pylist()) == {10}


@pytest.mark.parametrize(
    "arguments",
    [
        ["own_network:build", "--variant", "plain"],
        ["own_network:build", "--variant", "rotating", "--data", "shapes.npz"],
        ["own_attack:momentum"],
        ["own_attack:foolbox_adam"],
    ],
)
def test_they_are_well(arguments, examples, shapes, monkeypatch, capsys):
    monkeypatch.chdir(examples)
    assert check.main(arguments) == 0
    assert "it can be used in a grid" in capsys.readouterr().out


@pytest.fixture(scope="module")
def networks():
    return runpy.run_path(str(EXAMPLES / "own_network.py"))


SHAPES = st.builds(
    lambda channels, size, classes: Shape(
        channels, size, classes, (0.5,) * channels, (0.25,) * channels
    ),
    st.integers(1, 4),
    st.integers(4, 33),
    st.integers(2, 7),
)


@given(shape=SHAPES, variant=st.sampled_from(["plain", "rotating"]))
@settings(max_examples=12)
def test_the_networks_take_any_shape_and_one_rotates_with_the_image(networks, shape, variant):
    net = networks["build"](variant, shape)
    images = torch.rand(5, shape.channels, shape.size, shape.size)
    assert net(images).shape == (5, shape.classes)
    errors = measure(net, images, 90).errors
    assert len(errors) == 4
    assert (max(errors.values()) < 1e-3) == (variant == "rotating")


def test_the_networks_have_as_many_parameters_as_they_say(networks):
    counts = [count_parameters(networks["build"](v, MNIST_SHAPE)) for v in networks["NETWORKS"]]
    assert "{:,} and {:,} on MNIST".format(*counts) in networks["__doc__"]


def test_an_unknown_variant_is_refused_with_the_choices(networks):
    with pytest.raises(ValueError, match="choose from plain, rotating"):
        networks["build"]("wide", MNIST_SHAPE)


def test_momentum_without_steps_leaves_the_images():
    momentum = runpy.run_path(str(EXAMPLES / "own_attack.py"))["momentum"]
    images = torch.rand(3, 1, 6, 6)
    assert torch.equal(momentum(None, images, torch.zeros(3), eps=0.1, steps=0), images)


def test_the_data_are_the_same_each_time_and_in_both_ways(examples, shapes, monkeypatch):
    monkeypatch.chdir(examples)
    first = (examples / "shapes.npz").read_bytes()
    shapes["write_by_numpy"](examples / "shapes.npz")
    assert (examples / "shapes.npz").read_bytes() == first
    shapes["write_by_command"](examples / "shapes-made.npz")
    mine, made = data.load("shapes.npz"), data.load("shapes-made.npz")
    assert torch.equal(mine.test_images, made.test_images)
    assert torch.equal(mine.test_labels, made.test_labels)
    together = len(made.train_images) + len(made.val_images)
    assert together == len(mine.train_images) == shapes["PARTS"]["train"][0]
    assert mine.shape[:3] == made.shape[:3] == (3, shapes["SIZE"], len(shapes["CLASSES"]))


def test_the_classes_differ_in_shape_and_not_in_brightness_or_place(shapes):
    images, labels = shapes["shapes"](400, 3)
    bright = (images.max(1) > 0.45 * 255).mean((1, 2))
    areas = [np.median(bright[labels == kind]) for kind in range(len(shapes["CLASSES"]))]
    assert min(areas) > 0.05
    assert max(areas) < 0.5
