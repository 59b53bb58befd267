"""Results of a launched grid, as the explorer opens them."""

import pytest

from rotgrid import grid
from rotgrid.results import galleries
from rotgrid.results.grids import store_grid

from made_up import PNG, pictured, row, store

TEXT = """\
blocks:
  - model: [stdcnn, gcnn]
    data: mnist5k
    recipe: fast
    train_rotation: [0, 60]
    seed: [0, 1, 2]
    probes:
      - {test_rotation: [0, 60], n_images: 100}
      - {attack: pgd, eps: [0.05, 0.1], n_images: 100}
"""


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Their location; with a gallery of one network."""
    root = tmp_path_factory.mktemp("results") / "study"
    plan = grid.parse(TEXT, "g.yaml")
    store_grid(plan, root)
    store(root, [row(trial, probe) for trial, probes in plan.trials.items() for probe in probes])
    page = pictured(next(iter(plan.trials)))
    galleries.write(f"{root}/{galleries.FOLDER}", page, [PNG] * len(page.pictures))
    return str(root)
