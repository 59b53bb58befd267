"""docs/examples/bridging: the authors' networks in their shape, and plain ones that match."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from rotgrid import grid, launch, results
from rotgrid.evaluation.equivariance import LOGITS, measure
from rotgrid.models import count_parameters
from rotgrid.spec.datasets import CIFAR_SHAPE, FASHION_SHAPE, Shape

FOLDER = Path(__file__).parents[1] / "docs" / "examples" / "bridging"
EXAMPLE = runpy.run_path(str(FOLDER / "bridging.py"))
README = (FOLDER / "README.md").read_text()
PUBLISHED = {
    "baseline": 1_771_562,
    "parallel": 2_383_450,
    "parallel-scale": 2_340_250,
    "cascaded": 4_700_506,
}
"""Parameters of the authors' classes on CIFAR-10."""
EQUIVARIANT = [*PUBLISHED][1:]
HALVES = Shape(3, 32, 10, (0.5,) * 3, (0.5,) * 3)


def build(variant, shape=CIFAR_SHAPE):
    return EXAMPLE["build"](variant, shape)


def fill(net):
    draw = np.random.default_rng(0)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.ndim > 1:
                values = draw.standard_normal(weight.shape) / np.sqrt(weight[0].numel())
            else:
                values = draw.uniform(0, 1, weight.shape)
            weight.copy_(torch.from_numpy(values))
    return net


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("variant", PUBLISHED)
def test_with_the_same_weights_logits_are_those_of_the_authors_code(variant, mode):
    golden = np.load(Path(__file__).parent / "golden" / "bridging.npz")[f"{variant} {mode}"]
    images = torch.from_numpy(np.random.default_rng(1).uniform(0, 1, (4, 3, 32, 32))).float()
    with torch.no_grad():
        logits = fill(build(variant, HALVES)).train(mode == "train")(images)
    np.testing.assert_allclose(logits, golden, rtol=1e-4, atol=1e-4)


def test_parameters_are_as_published_and_as_the_page_says():
    counts = {name: count_parameters(build(name)) for name in PUBLISHED}
    assert counts == PUBLISHED
    (line,) = (line for line in README.splitlines() if line.startswith("| parameters |"))
    cells = [f"{PUBLISHED[name] / 1e6:.2f} million" for name in PUBLISHED]
    assert line == f"| parameters | {' | '.join(cells)} |"


@pytest.mark.parametrize("variant", EQUIVARIANT)
def test_the_plain_ones_match(variant):
    net, plain = build(variant), build(f"{variant}-plain")
    assert count_parameters(plain) == pytest.approx(count_parameters(net), rel=0.01)
    assert str(net.trunk) == str(plain.trunk)
    assert not plain.invariants
    one, other = (
        [tuple(x.shape) for x in outputs(model, torch.rand(2, 3, 32, 32))]
        for model in (net, plain)
    )
    assert one == other


def outputs(net, images):
    found = [net.first(images)]
    for layer in net.trunk:
        found.append(layer(found[-1]))
    return found


@pytest.mark.parametrize("variant", EXAMPLE["VARIANTS"])
def test_images_of_another_shape_are_taken(variant):
    assert build(variant, FASHION_SHAPE)(torch.rand(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("variant", EQUIVARIANT)
def test_one_layer_rotates_with_the_image_and_the_network_does_not(variant):
    errors = measure(build(variant), torch.rand(4, 3, 32, 32), 90).errors
    layer = errors.pop(next(iter(errors)))
    assert (layer < 1e-3) == (variant != "cascaded")  # which reads what does not rotate
    assert errors[LOGITS] > 1e-2


def test_an_unknown_variant_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="choose from baseline, parallel, parallel-plain"):
        build("wide")


def test_the_grid_is_what_the_page_says():
    trials = grid.read(FOLDER / "bridging.yaml").trials
    assert f"{len(trials)} trainings of {next(iter(trials)).epochs} epochs" in README
    assert {trial.variant for trial in trials} == set(EXAMPLE["VARIANTS"])
    probes = {probe for probes in trials.values() for probe in probes}
    for field, values in (
        ("clip", {"pixel", "normalised"}),
        ("mode", {"eval", "train"}),
        ("eps_unit", {"pixel", "normalised"}),
    ):
        assert {getattr(probe, field) for probe in probes} == values
        assert all(f"`{value}`" in row_of(field) for value in values)


def row_of(field):
    (row,) = (line for line in README.splitlines() if line.startswith(f"| `{field}` |"))
    return row


@pytest.fixture
def example(folder):
    return Path(shutil.copytree(FOLDER, folder / "bridging"))


def test_the_smoke_run_runs(example):
    chosen = [
        "defaults.data=mnist5k",
        "defaults.train_size=64",
        "blocks.all.variant=parallel-scale",
        "blocks.all.probes.*.n_images=10",
        "blocks.all.probes.2.eps=0.01",
    ]
    overrides = [word for one in chosen for word in ("--set", one)]
    arguments = ["--local", "--no-report", "--results", "out", *overrides]
    assert launch.main([str(example / "smoke.yaml"), *arguments]) == 0
    rows, _ = results.read("out", "evaluations", ["variant"])
    assert rows.num_rows == 2 + 1 + 8
