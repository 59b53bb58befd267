"""rotgrid: does robustness to rotations cost robustness to adversarial pixels?

A grid file lists what to train and what to measure; `python -m rotgrid.launch` runs it;
`python -m analysis` draws it. Images are (batch, 1, 28, 28) with pixels in [0, 1], angles are
degrees counter-clockwise, and eps is an L-infinity radius in those pixel units.
"""

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`load_network`, from `rotgrid.experiment`, which loads torch."""
    if name == "load_network":
        return importlib.import_module("rotgrid.experiment").load_network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
