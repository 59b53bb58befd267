"""Fair times: ways of doing the same take turns in one process; medians of its CPU seconds."""

import statistics
import time

LEAST_ROUNDS = 5


def medians(ways, seconds):
    """Median CPU seconds of each way: {name: function}; rounds until `seconds` have passed.

    CPU seconds of one thread are what an idle core would take; other processes disturb them less
    than they do the clock.
    """
    times = {name: [] for name in ways}
    for way in ways.values():
        way()
    start = time.perf_counter()
    while len(times[next(iter(ways))]) < LEAST_ROUNDS or time.perf_counter() - start < seconds:
        for name, way in ways.items():
            before = time.process_time()
            way()
            times[name].append(time.process_time() - before)
    return {name: statistics.median(found) for name, found in times.items()}
