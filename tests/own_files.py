"""Networks and attacks of a user's own, written to files, and a process that forgets them."""

import contextlib
import sys

import numpy as np

from rotgrid.spec import extensions, loading, sources

NETWORK = """
from torch import nn

from mynets.blocks import hidden


def build(variant, shape):
    inputs, width = shape.channels * shape.size**2, int(variant or 8)
    return nn.Sequential(nn.Flatten(), hidden(inputs, width), nn.Linear(width, shape.classes))
"""
BLOCKS = """
from torch import nn


def hidden(inputs, width):
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh())
"""
ATTACK = """
import torch


def mine(model, images, labels, *, eps, steps=3, generator=None):
    x = images.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(x), labels)
    (gradient,) = torch.autograd.grad(loss, x)
    return (images + eps * gradient.sign()).clamp(0, 1)
"""
GRID = """
name: own
defaults: {data: mnist5k, train_size: 100, epochs: 1}
blocks:
  - model: [stdcnn, "mynets.nets:build"]
    recipe: mine
    adversary: [none, "mynets.attacks:mine"]
    adversary_eps: 0.1
    probes: {attack: [none, pgd, "mynets.attacks:mine"], eps: 0.1, steps: 2, n_images: 20}
recipes: {mine: {like: fast, weight_decay: 5e-4}}
"""


def write(folder, **files):
    """Write Python files: `nets__blocks="..."` is nets/blocks.py."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def write_all(folder):
    """A package with a network of two files and an attack, and a grid that uses them."""
    write(folder, mynets__nets=NETWORK, mynets__blocks=BLOCKS, mynets__attacks=ATTACK)
    (folder / "own.yaml").write_text(GRID)
    return folder / "own.yaml"


def write_npz(path, size=8, channels=3, classes=4, seed=0):
    """Data of random images, their brightness by class."""
    rng = np.random.default_rng(seed)
    content = {}
    for part, n in (("train", 60), ("val", 20), ("test", 40)):
        labels = np.arange(n) % classes
        images = rng.integers(0, 60, (n, channels, size, size)) + 45 * labels[:, None, None, None]
        content |= {f"{part}_images": images.astype(np.uint8), f"{part}_labels": labels}
    np.savez(path, **content)
    return path


@contextlib.contextmanager
def forgotten():
    """What is imported, found and remembered meanwhile is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    kept = [(known, known.copy()) for known in STATE]
    for known in STATE:
        known.clear()
    try:
        yield
    finally:
        sys.path[:] = path
        own = {name.partition(".")[0] for name in loading._imported} | {
            "mynets",
            "helpers",
            "nets",
        }
        for name in set(sys.modules) - modules:
            if name.partition(".")[0] in own:
                del sys.modules[name]
        for known, before in kept:
            known.clear()
            known.extend(before) if isinstance(known, list) else known.update(before)


STATE = (
    sources.FOLDERS,
    extensions._known,
    loading._loaded,
    loading._imported,
    loading._inserted,
)
