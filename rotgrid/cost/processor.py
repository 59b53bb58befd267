"""What the processor of this machine has instructions for."""

import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}
"""Flags of x86 and ARM processors that multiply bfloat16 numbers; AMX does with `amx_bf16`."""


def has_bfloat16() -> bool:
    """Whether it has any for bfloat16; true where that is not known, as on systems but Linux."""
    try:
        lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        return True
    return not lines or any(BFLOAT16 & {*line.split()} for line in lines)
