"""rotgrid: does robustness to rotations cost robustness to adversarial pixels?

A grid file lists what to train and what to measure; `python -m rotgrid.launch` runs it;
`python -m analysis` draws it. Images are (batch, 1, 28, 28) with pixels in [0, 1], angles are
degrees counter-clockwise, and eps is an L-infinity radius in those pixel units.
"""

__version__ = "0.1.0"
