import subprocess
import sys
import time

import pytest

from rotgrid import deadline


def test_a_deadline_is_checked_against_the_clock():
    deadline.check(time.monotonic() + 60, "this")
    deadline.check(deadline.NEVER, "this")
    with pytest.raises(deadline.TimeLimitError, match="time limit reached in epoch 3"):
        deadline.check(time.monotonic() - 1, "epoch 3")


def ends(code):
    """Exit status and stdout of a process that runs `code` under a watchdog of 0.2 s."""
    script = f"""
import re, time
from rotgrid import deadline
with deadline.watchdog(0.2, lambda trace: print(trace, flush=True)):
    {code}
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_what_ends_in_time_is_left_alone():
    assert ends("pass\ntime.sleep(1)\nprint('still here')") == (0, "still here\n")


def test_a_thread_that_hangs_is_ended_and_said_where():
    code, out = ends("time.sleep(60)")
    assert code == deadline.EXIT_CODE
    assert 'File "<string>", line 5' in out


def test_compiled_code_that_holds_the_interpreter_is_ended():
    code, _ = ends("re.match(r'(a+)+$', 'a' * 60 + 'b')")
    assert code == 1


def test_a_watchdog_without_limit_is_none():
    with deadline.watchdog(deadline.NEVER, print):
        pass
