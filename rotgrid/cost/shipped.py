"""How fast two machines train each model; what was not measured there takes the median."""

import statistics
from collections.abc import Mapping

from rotgrid.spec.models import MODELS

CORE = {
    "stdcnn": 24e9, "gcnn": 55e9, "hnet": 63e9, "ptn": 33e9, "roteqnet": 54e9, "capsnet": 42e9,
    "z2cnn": 16e9, "p4cnn": 26e9, "tipooling": 32e9, "cyclic": 23e9, "dren": 26e9,
    "steerable": 32e9, "emcaps": 0.9e9, "madrycnn": 73e9, "resnet": 61e9, "p4resnet": 44e9,
}  # fmt: skip
"""Multiply-adds per second in training on one core of an Intel Xeon server with AVX-512. Those of
`resnet` and `p4resnet` are `gcnn`'s over what they cost in its currency on another processor."""
H100 = {
    "stdcnn": 393.9e9, "gcnn": 2403e9, "hnet": 5211e9, "ptn": 675.1e9, "roteqnet": 3704e9,
    "capsnet": 1290e9,
}  # fmt: skip
"""The same on an NVIDIA H100 in float32, batches of 64, captured steps (docs/costs.md, "A GPU").
Attacks were not measured there."""

BFLOAT16, BFLOAT16_EMULATED = 0.5, 2.5
"""Of the time of training's passes in float32 what they take in bfloat16: on the core, which has
instructions for it (0.64 of `stdcnn`, 0.38 of `gcnn`), and where a processor has none (1.5 and 2.0
with the instructions of an EPYC left out, up to 3.4 of `gcnn` on a Xeon without them). On the H100
as much as in float32."""

TYPICAL = statistics.median(CORE.values())
CPU: Mapping[str, float] = {name: CORE.get(name, TYPICAL) for name in MODELS}
FASTER = statistics.median(speed / CORE[name] for name, speed in H100.items())
"""Than the core is the GPU in the median."""
GPU: Mapping[str, float] = {name: H100.get(name, FASTER * CPU[name]) for name in MODELS}
