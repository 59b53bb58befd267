"""Seconds per image: of the reference core, and of this machine from the user's cache.

The cache is filled by `rotgrid.calibrate` and by finished launches. It knows devices by name, so
that one in a shared home folder is not mistaken for another machine's.
"""

import contextlib
import glob
import json
import platform
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import platformdirs
from pydantic import Field, TypeAdapter, ValidationError

from rotgrid.cost.work import MULTIPLY_ADDS, PASSES, Network, Work
from rotgrid.grid import Resources
from rotgrid.results import storage

RATES_FILE = Path(platformdirs.user_cache_dir("rotgrid"), "rates.json")

REFERENCE_RATES: dict[str, float] = {
    "stdcnn": 24e9,
    "gcnn": 55e9,
    "hnet": 63e9,
    "ptn": 33e9,
    "roteqnet": 54e9,
    "capsnet": 42e9,
    "z2cnn": 16e9,
    "p4cnn": 26e9,
    "tipooling": 32e9,
    "cyclic": 23e9,
    "dren": 26e9,
    "steerable": 32e9,
    "emcaps": 0.9e9,
    "madrycnn": 73e9,
}
"""Multiply-adds per second in training, measured on one core of an Intel Xeon server with AVX-512
(2026); on older ones it is less."""

H100_IMAGES: dict[Network, float] = {
    ("stdcnn", "table1"): 130_000,
    ("gcnn", "table1"): 52_810,
    ("hnet", "fixed"): 19_925,
    ("ptn", "base"): 17_746,
    ("roteqnet", "exact"): 20_677,
    ("capsnet", "narrow"): 27_109,
}
"""Images per second in training on one NVIDIA H100: float32, batches of 64, captured steps
(README, "A GPU"). Other networks and attacks were not measured there."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Rates(NamedTuple):
    """Seconds that one image takes in each kind of `Work`."""

    trained: Seconds
    gradient: Seconds
    forward: Seconds

    def seconds(self, work: Work) -> float:
        """What the work takes."""
        return sum(each * images for each, images in zip(self, work, strict=True))

    def times(self, factor: float) -> "Rates":
        """Those of a machine that takes so many times as long."""
        return Rates(*(each * factor for each in self))


def reference(network: Network) -> Rates:
    """Those of the reference core."""
    each = MULTIPLY_ADDS[network] / REFERENCE_RATES[network[0]]
    return Rates(*(passes * each for passes in PASSES))


def reference_gpu(network: Network) -> Rates:
    """Those of an H100: of a measured architecture by its multiply-adds; of another as many times
    as fast as the reference core as the measured ones are in the median; attacks by passes."""
    faster = {known[0]: reference(known).trained * images for known, images in H100_IMAGES.items()}
    factor = faster.get(network[0], statistics.median(faster.values()))
    return reference(network).times(1 / factor)


Cache = TypeAdapter(dict[str, dict[str, Rates]])
"""Rates by name of the device, then by `model/variant`."""


def remember(device: str, rates: Mapping[Network, Rates]) -> None:
    """Keep rates of a device.

    Raises:
        OSError: the cache cannot be written.
    """
    stored = cache()
    stored[device] = stored.get(device, {}) | {"/".join(name): r for name, r in rates.items()}
    storage.put(RATES_FILE.parent, RATES_FILE.name, json.dumps(stored, indent=1).encode())


def remembered(device: str) -> dict[Network, Rates]:
    """The rates that the cache has of a device."""
    found = cache().get(device, {})
    return {name: found[text] for name in MULTIPLY_ADDS if (text := "/".join(name)) in found}


def cache() -> dict[str, dict[str, Rates]]:
    """The whole cache; empty if there is none, or it is damaged or of another version."""
    with contextlib.suppress(OSError, ValidationError):
        return Cache.validate_json(RATES_FILE.read_bytes())
    return {}


def device_name(resources: Resources) -> str:
    """What a trial computes on if it runs on this machine; a GPU that is not there is `GPU`."""
    if resources.gpu:
        return next(iter(gpus()), "GPU")
    threads = "1 thread" if resources.cpu == 1 else f"{resources.cpu} threads"
    return f"{processor()}, {threads}"


def gpus() -> list[str]:
    """Names of this machine's NVIDIA GPUs, as torch has them."""
    files = sorted(glob.glob("/proc/driver/nvidia/gpus/*/information"))
    return [name for file in files for name in entries(Path(file), "Model")]


def processor() -> str:
    """Name of this machine's CPU."""
    return next(iter(entries(Path("/proc/cpuinfo"), "model name")), platform.machine())


def entries(file: Path, name: str) -> list[str]:
    """The values of the lines `name: value` of a file; none if there is no such file."""
    if not file.exists():
        return []
    lines = [line.partition(":") for line in file.read_text().splitlines()]
    return [value.strip() for key, _, value in lines if key.strip() == name]
