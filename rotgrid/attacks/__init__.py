"""Attacks, each one function: (model, images, labels, *, eps, ...) -> adversarial images.

Pixels are in [0, 1] and eps is an L-infinity radius in that unit; labels are the true ones. The
model is attacked in evaluation mode with frozen parameters, and left as it was found.
"""

from rotgrid.attacks.fgsm import fgsm
from rotgrid.attacks.noise import noise
from rotgrid.attacks.pgd import pgd
from rotgrid.attacks.sweeps import SWEEPS, predicted, sweep

__all__ = ["SWEEPS", "fgsm", "noise", "pgd", "predicted", "sweep"]
