"""Interleaved timing of candidates on one core."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

Candidate = Callable[[], Any]


def race(candidates: Mapping[str, Candidate], *, rounds: int) -> dict[str, float]:
    """Median CPU seconds of each candidate over `rounds` interleaved rounds, after one warm-up each.

    CPU time of the process is robust against other load on the machine when everything runs on one thread.
    """
    for run in candidates.values():
        jax.block_until_ready(run())
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in candidates.items():
                taken[name].append(_once(run))
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in taken.items()}


def _once(run: Candidate) -> float:
    """CPU seconds of one call; calls too short for the clock are repeated."""
    repeats, elapsed = 1, 0.0
    while True:
        begin = time.process_time()
        for _ in range(repeats):
            jax.block_until_ready(run())
        elapsed = time.process_time() - begin
        if elapsed > 2e-3 or repeats >= 64:
            return elapsed / repeats
        repeats *= 4
