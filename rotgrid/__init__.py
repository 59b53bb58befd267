"""rotgrid: does robustness to rotations cost robustness to adversarial pixels?

A grid file lists what to train and what to measure; `python -m rotgrid.launch` runs it;
`python -m analysis` draws it. Images are (batch, channels, size, size) with pixels in [0, 1],
angles are degrees counter-clockwise, and eps is an L-infinity radius in those pixel units.
"""

import importlib
from typing import Any

__version__ = "0.2.0"
PLACES = {"Shape": "rotgrid.spec.datasets", "load_network": "rotgrid.experiment"}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`Shape`, which own networks are given, and `load_network`, which loads torch."""
    if name in PLACES:
        return getattr(importlib.import_module(PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
