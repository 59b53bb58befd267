"""Shared set-up: one thread, a tiny data set cut from the embedded digits, a quick trial."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from rotgrid import data
from rotgrid.spec import Trial

from launched import Launches
from own_files import forgotten

settings.register_profile("rotgrid", deadline=None)  # a busy machine is no failure
settings.load_profile("rotgrid")


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Launches]:
    """Starts launches with Ray, and leaves none behind."""
    launches = Launches(tmp_path)
    yield launches
    launches.end()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, the current one, whose Python files are forgotten afterwards."""
    place = tmp_path / "own"
    place.mkdir()
    monkeypatch.chdir(place)
    with forgotten():
        yield place


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    """The embedded digits."""
    return data.load("mnist5k")


@pytest.fixture
def quick_trial() -> Trial:
    """A training of a second or so."""
    return Trial(
        model="stdcnn", data="mnist5k", recipe="fast", train_size=300, epochs=2, train_rotation=30
    )
