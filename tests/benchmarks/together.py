"""Processes that work at the same time: each gets ready, is told, and prints what it finds."""

import subprocess
import sys


def total(script, words, count):
    """The sum of what `script one WORDS` measures, in so many processes at once."""
    return sum(map(float, answers(script, words, count)))


def answers(script, words, count):
    """What `script one WORDS` prints, in so many processes at once."""
    pipes = {"stdout": subprocess.PIPE, "stdin": subprocess.PIPE, "text": True}
    command = [sys.executable, script, "one", *map(str, words)]
    running = [subprocess.Popen(command, **pipes) for _ in range(count)]
    for process in running:
        process.stdout.readline()  # it is ready
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate()[0].strip() for process in running]


def when_told(measure):
    """Print what `measure` returns, once all others are ready too."""
    print("ready", flush=True)
    sys.stdin.readline()
    print(measure())
