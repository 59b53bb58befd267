import subprocess
import sys
import types

import pytest
import torch

from rotgrid import device


@pytest.mark.parametrize("accepted", [(1 << 30,), (1 << 25,), ()])
def test_an_older_c_library_takes_less(accepted, monkeypatch):
    """It answers 0 if it refuses."""
    asked = []

    def mallopt(option, value):
        asked.append(value)
        return int(value in accepted)

    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: types.SimpleNamespace(mallopt=mallopt))
    device.keep_freed_memory.__wrapped__()
    assert asked == 2 * ([1 << 30] if accepted == (1 << 30,) else [1 << 30, 1 << 25])


def test_process_state_is_set_for_each_trial():
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.set_num_threads(2)
    assert device.prepare_device(1, 0.0) == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert not torch.backends.cuda.matmul.allow_tf32


def test_a_gpu_that_is_not_there_is_an_error_with_a_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device.require_device(0)
    for ask in (device.require_device, lambda gpu: device.prepare_device(1, gpu)):
        with pytest.raises(device.DeviceError, match=r"0.5 GPU .* --set resources.gpu=0"):
            ask(0.5)


def test_shares_of_a_gpu_leave_room_for_what_torch_does_not_count():
    for gigabytes in (8, 24, 80):
        for k in (2, 4, 8):
            total = gigabytes << 30
            fraction = device.memory_fraction(1 / k, total)
            assert 1 / (2 * k) <= fraction < 1 / k
            left = total * (1 - k * fraction)
            assert left >= min(k * device.CONTEXT_BYTES, total / 2) * 0.999


def test_waiting_for_each_other_is_said_where_mps_does_not_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    for lines in (1, 0):
        caplog.clear()
        device.warn_of_waiting.__wrapped__()
        assert caplog.messages == lines * [device.WAITING]
        (tmp_path / "control").touch()  # the daemon's pipe


def test_freed_memory_is_kept():
    code = """
import resource, torch
import rotgrid.experiment  # as where a trial runs: the heap lies otherwise without
from rotgrid.device import prepare_device
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
prepare_device(1, 0)
torch.ones(4 << 20)
before = faults()
for _ in range(10):
    torch.ones(4 << 20)
print(faults() - before)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 3 * 4096  # each time anew would be 10 * 4,096 pages
