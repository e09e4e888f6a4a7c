"""Timing. On a shared machine only what is timed by turns, in one run, can be compared."""

import os
import time
from collections.abc import Callable, Mapping

Work = Callable[[], object]


def environment() -> dict[str, str]:
    """That of this process, but for what keeps Python from keeping bytecode: each process would compile torch anew."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(work: Work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def fastest(work: Work, at_least: float = 1.0) -> float:
    """Seconds of the fastest of several calls, repeated for `at_least` seconds: slower ones waited for the hardware."""
    times: list[float] = []
    while len(times) < 5 or sum(times) < at_least:
        times.append(seconds(work))
    return min(times)


def by_turns(works: Mapping[str, Work], turns: int) -> dict[str, list[float]]:
    """Seconds of each call, by name."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times
