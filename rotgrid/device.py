"""The device that a trial computes on, and the state of the process that results depend on."""

import contextlib
import ctypes
import functools
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch

from rotgrid.results.failures import MachineError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt(3)."""

LOG = logging.getLogger(__name__)

WAITING = (
    "trials that share a GPU wait for each other while they train: NVIDIA's MPS is not running "
    "there (nvidia-cuda-mps-control -d; see docs/cluster.md)"
)

CONTEXT_BYTES = 640 << 20
"""Of a GPU's memory, what a process takes beyond what torch allocates: the CUDA context and the
kernels of cuDNN and cuBLAS."""


class DeviceError(MachineError):
    """This machine, or its torch, lacks what a trial computes on."""


def prepare_device(threads: int, gpu_share: float) -> torch.device:
    """Set the state of the process that results depend on: actors are reused between trials."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    require_device(gpu_share)
    if gpu_share <= 0:
        return torch.device("cpu")
    if gpu_share < 1:  # a trial that wants more than its share fails alone
        warn_of_waiting()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(memory_fraction(gpu_share, total))
    return torch.device("cuda")


def require_device(gpu: float) -> None:
    """See that this process has what a trial computes on; 0 is the CPU, anything else a GPU.

    Raises:
        DeviceError: torch sees no GPU.
    """
    if gpu > 0 and not torch.cuda.is_available():
        raise DeviceError(
            f"each trial asks for {gpu:g} GPU and torch {torch.__version__} sees none: "
            "change `resources` in the grid, or add --set resources.gpu=0"
        )


@functools.cache
def warn_of_waiting() -> None:
    """Say, once in a process, that those that share this GPU wait for each other: without NVIDIA's
    MPS, whose daemon listens in a folder, one of them computes at a time."""
    folder = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")
    if not os.path.exists(f"{folder}/control"):
        LOG.warning("%s", WAITING)


def memory_fraction(gpu_share: float, total: int) -> float:
    """Of a GPU's memory (`total` bytes) what torch may allocate in a process with such a share."""
    return max(gpu_share - CONTEXT_BYTES / total, gpu_share / 2)


def tf32_of_cudnn(allowed: bool) -> None:
    """Let cuDNN compute in TensorFloat-32, or not."""
    torch.backends.cudnn.allow_tf32 = allowed


SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (lambda: torch.backends.cudnn.allow_tf32, tf32_of_cudnn),
)
"""What torch computes with: how each is read and set."""


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Afterwards torch has the settings and the random numbers (of the CPU) that it had before,
    whatever a user's module or function sets."""
    before = [read() for read, _ in SETTINGS]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for (read, write), value in zip(SETTINGS, before, strict=True):
            if read() != value:
                write(value)


@functools.cache
def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, up to a gigabyte (older glibc: 32 MB), for
    what comes next.

    glibc may give the large blocks of one training step back to the kernel and ask for them again
    in the next: thousands of page faults a step took up to a tenth of the time, in some processes.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        libc = ctypes.CDLL("libc.so.6")
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            any(libc.mallopt(option, most) for most in (1 << 30, 1 << 25))  # 0: refused
