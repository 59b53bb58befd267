import pytest

from rotgrid import grid
from rotgrid.results import storage

from launched import GRID, finish


@pytest.mark.slow
def test_warnings_of_workers_reach_the_user(start, tmp_path):
    """A damaged checkpoint is reported with Ray, and in the same words without it."""
    grid_file = tmp_path / "g.yaml"
    grid_file.write_text(GRID.replace("[0, 60]", "60"))
    (trial,) = grid.read(str(grid_file)).trials
    for flags in ((), ("--local",)):
        root = tmp_path / f"r{len(flags)}"
        storage.put(root, f"checkpoints/{trial.key()}.training.pt", b"damaged")
        errors = finish(start(grid_file, root, *flags))
        said = [line for line in errors.splitlines() if "damaged, so what it held" in line]
        assert len(said) == 1
        assert said[0].startswith(f"checkpoints/{trial.key()}.training.pt: damaged")
