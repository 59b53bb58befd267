import pytest

from analysis.explorer import origin
from rotgrid import grid
from rotgrid.results.grids import store_grid

from made_up import frame, row

TEXT = """\
blocks:
  - {model: stdcnn, data: mnist5k, recipe: fast, seed: [0, 1], probes: {n_images: 50}}
"""
MORE = TEXT.replace("{n_images: 50}", "{attack: pgd, eps: 0.1, n_images: 50}")


@pytest.fixture
def plans(tmp_path):
    """Two grids that ask for different rows of the same networks."""
    found = [grid.parse(text, name) for text, name in ((TEXT, "a.yaml"), (MORE, "b.yaml"))]
    for plan in found:
        store_grid(plan, tmp_path)
    return found


def rows_of(*plans):
    return frame(
        [row(t, p) for plan in plans for t, probes in plan.trials.items() for p in probes]
    )


def test_each_network_is_asked_of_the_grid_that_asks_for_its_rows(plans, tmp_path):
    for plan in plans:
        found = origin.relaunch_commands([tmp_path], rows_of(plan))
        assert len(found) == 2
        assert all(f"{tmp_path}/grids/{plan.name}.yaml --only " in line for line in found)
    assert len(origin.relaunch_commands([tmp_path], rows_of(*plans))) == 4


def test_what_several_places_ask_for_is_made_once(plans, tmp_path):
    rows = rows_of(plans[0])
    assert len(origin.relaunch_commands([tmp_path, tmp_path], rows)) == 2


def test_rows_that_no_grid_asks_for_have_no_command(plans, tmp_path):
    other = grid.parse(TEXT.replace("[0, 1]", "7"), "c.yaml")
    assert origin.relaunch_commands([tmp_path], rows_of(other)) == []
