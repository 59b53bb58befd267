"""Attacks, each one function: (model, images, labels, *, eps, ...) -> adversarial images.

Pixels are float32 or float64 in [0, 1] and eps is a radius in that unit: L-infinity, or that of
`threat` (`rotgrid.attacks.threats`); of `lbfgs` always L2. Labels are the true ones. The model, a
module or any function around one, is attacked in evaluation mode with frozen parameters, and left
as it was found. Arguments are checked first
(`rotgrid.attacks.checks`); no global random generator is moved. Random starts belong to places in
the batch: images in another order get those of others. `spatial` rotates and shifts unrotated
images; `sweep` measures any attack on pixels over a grid of eps.
"""

from rotgrid.attacks.apgd import apgd
from rotgrid.attacks.bim import bim
from rotgrid.attacks.class_means import class_means
from rotgrid.attacks.dispatch import predicted, sweep
from rotgrid.attacks.fgsm import fgsm
from rotgrid.attacks.fmn import fmn
from rotgrid.attacks.lbfgs import lbfgs
from rotgrid.attacks.noise import noise, sign_noise
from rotgrid.attacks.pgd import pgd
from rotgrid.attacks.spatial import spatial
from rotgrid.attacks.square import square
from rotgrid.attacks.strong import strong

__all__ = [
    "apgd",
    "bim",
    "class_means",
    "fgsm",
    "fmn",
    "lbfgs",
    "noise",
    "pgd",
    "predicted",
    "sign_noise",
    "spatial",
    "square",
    "strong",
    "sweep",
]
