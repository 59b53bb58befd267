import os
import shlex
import subprocess
import sys

import pytest

from rotgrid import console


def run(code, redirected):
    """Exit code of some code in a process with redirected output."""
    code = f"from rotgrid.console import tolerate_lost_output as t; t(); {code}"
    line = f"set -o pipefail; {shlex.join([sys.executable, '-c', code])} {redirected}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True)


@pytest.mark.parametrize("redirected", [">/dev/full", "2>/dev/full", "| true", ">&- 2>&-", ""])
def test_what_cannot_be_written_is_dropped(redirected):
    code = "import sys; [print(i * 'x', file=f) for i in range(999) for f in (None, sys.stderr)]"
    assert run(code, redirected).returncode == 0


def test_what_can_be_written_is():
    done = run("import sys; print('a\\u00b1'); print('b', file=sys.stderr); sys.exit(3)", "")
    assert (done.returncode, done.stdout, done.stderr) == (3, "a\u00b1\n", "b\n")


def test_letters_that_a_terminal_does_not_know_are_spelled():
    code = "from rotgrid.console import tolerate_lost_output as t; t(); print('\\u00b1 1')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "\\xb1 1\n"


def test_a_command_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = console.command("this", "a b", "$(c)", "[d]", "")
    assert shlex.split(text) == [sys.executable, "-m", "this", "a b", "$(c)", "[d]", ""]
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    assert console.interpreter() == "bin/python"
