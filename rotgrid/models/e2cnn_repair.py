"""The way to e2cnn 0.2.3: imported when needed, and repaired for NumPy 2.3 and later.

Four classes of `e2cnn.kernels.irreps_basis` hash an array by `ndarray.tostring`, which NumPy 2.3
removed: no kernels of SO(2), and none of groups with reflections. e2cnn has no newer release, and
its successor escnn does not run on NumPy 2. Plan B is to depend on numpy < 2.3. Still broken are
hidden layers of groups with reflections (`np.array(..., copy=False)`, since NumPy 2.0), which
rotgrid does not use.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType

import numpy as np

REPAIRED_VERSION = "0.2.3"
WARNINGS = ("indexing with dtype torch.uint8 is now deprecated", r"tostring\(\) is deprecated")
"""Of torch on masks of bytes, and of NumPy before 2.3."""
BROKEN_HASHES = (
    "R2FlipsSolution",
    "R2ContinuousRotationsSolution",
    "R2FlipsDiscreteRotationsSolution",
    "R2FlipsContinuousRotationsSolution",
)


@contextmanager
def e2cnn() -> Iterator[ModuleType]:
    """The package, repaired; while this lasts, without the warnings that it causes.

    Raises:
        ImportError: NumPy calls for a repair that is not known to fit this version of e2cnn.
    """
    import e2cnn.nn  # type: ignore[import-untyped]  # seconds: only who builds a network waits

    if not hasattr(np.ndarray, "tostring"):
        repair_hashes()
    with warnings.catch_warnings():
        for message in WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield e2cnn


def repair_hashes() -> None:
    """Hash arrays by `tobytes`; a second call changes nothing."""
    from e2cnn.kernels import irreps_basis  # type: ignore[import-untyped]

    if version("e2cnn") != REPAIRED_VERSION:
        raise ImportError(f"e2cnn is {version('e2cnn')}, the repair is for {REPAIRED_VERSION}")
    for name in BROKEN_HASHES:
        getattr(irreps_basis, name).__hash__ = hash_of_solution


def hash_of_solution(solution: object) -> int:
    """As e2cnn 0.2.3 has it, with `tobytes`."""
    parts = (getattr(solution, name) for name in ("in_irrep", "out_irrep", "mu", "gamma"))
    return sum(hash(p.tobytes() if isinstance(p, np.ndarray) else p) for p in parts)
