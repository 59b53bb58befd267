"""What is known of models beforehand: size of the networks, speed of two machines in training."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple


class Shipped(NamedTuple):
    """One model."""

    core: float
    """Multiply-adds per second in training on one core of an Intel Xeon server with AVX-512."""
    h100: float | None
    """The same on an NVIDIA H100 in float32, batches of 64, captured steps (README, "A GPU"); None
    where that was not measured. Attacks were not measured there."""
    multiply_adds: Mapping[str, float]
    """Of one forward pass of one image, by variant, without the building of filters."""

    def default(self) -> str:
        """The variant that a trial has if it does not say."""
        return next(iter(self.multiply_adds))


MODELS: dict[str, Shipped] = {
    "stdcnn": Shipped(24e9, 393.9e9, {"table1": 1.01e6, "doubled": 3.87e6,
                                      "matched-table1": 6.98e6, "matched-halved": 2.21e6}),
    "gcnn": Shipped(55e9, 2403e9, {"table1": 15.17e6, "halved": 3.87e6, "matched-table1": 1.43e6,
                                   "matched-doubled": 7.50e6, "orbit": 15.12e6}),
    "hnet": Shipped(63e9, 5211e9, {"fixed": 87.18e6, "2018": 87.18e6}),
    "ptn": Shipped(33e9, 675.1e9, {"base": 12.68e6, "small": 5.47e6}),
    "roteqnet": Shipped(54e9, 3704e9, {"exact": 59.71e6, "zoomed": 59.71e6, "sixteen": 56.20e6}),
    "capsnet": Shipped(42e9, 1290e9, {"table": 206.8e6, "narrow": 15.86e6}),
    "z2cnn": Shipped(16e9, None, {"base": 2.98e6}),
    "p4cnn": Shipped(26e9, None, {"base": 11.67e6, "rotation-pooling": 11.90e6}),
    "tipooling": Shipped(32e9, None, {"narrow": 28.52e6, "full": 677.4e6}),
    "cyclic": Shipped(23e9, None, {"pool": 4.02e6, "roll": 6.38e6}),
    "dren": Shipped(26e9, None, {"x4": 11.65e6, "max-x4": 11.67e6}),
    "steerable": Shipped(32e9, None, {"c4": 19.62e6, "c8": 37.48e6, "so2": 25.34e6,
                                      "gcnn": 15.17e6}),
    "emcaps": Shipped(0.9e9, None, {"small": 7.20e6}),
    "madrycnn": Shipped(73e9, None, {"base": 13.88e6}),
}  # fmt: skip

CPU: Mapping[str, float] = {name: model.core for name, model in MODELS.items()}
FASTER = statistics.median(model.h100 / model.core for model in MODELS.values() if model.h100)
"""Than the core is the GPU in the median: what is taken of models that were not measured there."""
GPU: Mapping[str, float] = {n: m.h100 or FASTER * m.core for n, m in MODELS.items()}
