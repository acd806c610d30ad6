"""Constrained steering: how many problems that have a solution are solved, and how long that takes.

A problem is drawn with random controls that meet the constraint and last well beyond T = 1; its target is where they
lead. The controls are then forgotten. `python -m benchmarks.constrained_steering KIND COUNT` prints every problem.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from .report import Row

BUDGET = 60.0
LARGEST = 30.0
WORST_CONDITION = 100.0


class Problem(NamedTuple):
    """Start and target [mean, factor] (d, r + 1), and the constant part of the controls that led there."""

    start: np.ndarray
    target: np.ndarray
    A: np.ndarray
    B: np.ndarray
    V: np.ndarray
    b: np.ndarray


KINDS: dict[str, Callable[[Problem], Any]] = {}


def _kind(name: str) -> Callable[[Callable[[Problem], Any]], Callable[[Problem], Any]]:
    def keep(make: Callable[[Problem], Any]) -> Callable[[Problem], Any]:
        KINDS[name] = make
        return make

    return keep


@_kind("attention only, V")
def _value_only(problem: Problem) -> Any:
    from attnflow.reachability.constrained.constraints import AttentionOnly

    return AttentionOnly(A=problem.A, B=problem.B, b=problem.b)


@_kind("attention only, B and V")
def _value_and_score(problem: Problem) -> Any:
    from attnflow.reachability.constrained.constraints import AttentionOnly

    return AttentionOnly(A=problem.A, b=problem.b)


@_kind("time invariant, A and b given")
def _constant_attention(problem: Problem) -> Any:
    from attnflow.reachability.constrained.constraints import TimeInvariant

    return TimeInvariant(A=problem.A, b=problem.b)


@_kind("time invariant, V and b given")
def _constant_rest(problem: Problem) -> Any:
    from attnflow.reachability.constrained.constraints import TimeInvariant

    return TimeInvariant(V=problem.V, b=problem.b)


@_kind("time invariant")
def _constant(problem: Problem) -> Any:
    from attnflow.reachability.constrained.constraints import TimeInvariant

    return TimeInvariant()


def drawn(d: int, rng: np.random.Generator, *, constant: bool, constant_score: bool) -> Problem:
    """A solvable problem in dimension `d`; V, and B unless `constant_score`, change with depth unless `constant`."""
    while True:
        r = d if rng.random() < 0.6 else int(rng.integers(1, d + 1))
        factor = rng.normal(size=(d, r)) / np.sqrt(d) + 0.5 * np.eye(d)[:, :r]
        A, B, V, wave_B, wave_V = (rng.normal(size=(d, d)) / np.sqrt(d) * s for s in (0.7, 1.0, 1.0, 0.5, 1.0))
        b = 0.5 * rng.normal(size=d) if rng.random() < 0.5 else np.zeros(d)
        if constant:
            wave_V, wave_B = 0.0 * wave_V, 0.0 * wave_B
        if constant_score:
            wave_B = 0.0 * wave_B
        start = np.hstack([rng.normal(size=(d, 1)), factor])
        end = _led(start, lambda t, A=A, B=B, V=V, b=b, B1=wave_B, V1=wave_V: (
            A, B + B1 * np.cos(2 * np.pi * t), V + V1 * np.sin(2 * np.pi * t), b
        ))  # fmt: skip
        if end is None:
            continue
        sizes = [np.linalg.svd(x[:, 1:], compute_uv=False) for x in (start, end)]
        if all(s[0] < WORST_CONDITION * s[-1] for s in sizes):
            return Problem(start, end, A, B, V, b)


def _led(start: np.ndarray, controls: Callable[[float], Any]) -> np.ndarray | None:
    """The state at 1, or None when it grows large before 1.3: the target lies well before a blow-up."""

    def rate(t: float, flat: np.ndarray) -> np.ndarray:
        A, B, V, b = controls(t)
        state = flat.reshape(start.shape)
        factor = state[:, 1:]
        attended = factor @ (factor.T @ (B @ state))
        attended[:, 0] += state[:, 0]
        moved = A @ state + V @ attended
        moved[:, 0] += b
        return moved.ravel()

    def large(t: float, flat: np.ndarray) -> float:
        return LARGEST - float(np.abs(flat).max())

    large.terminal = True  # type: ignore[attr-defined]
    found = solve_ivp(rate, (0, 1.3), start.ravel(), "DOP853", rtol=1e-12, atol=1e-13, events=large, dense_output=True)
    return found.sol(1.0).reshape(start.shape) if found.status == 0 else None


def solved(kind: str, count: int, *, seed: int = 0, show: bool = False) -> tuple[float, list[float]]:
    """The share of `count` problems of the `kind` that are solved to 1e-6, and the seconds that each took."""
    from attnflow.doors.steering.constrained import constrained_plan
    from attnflow.measures.gaussian import Gaussian
    from attnflow.reachability.obstruction import reachable

    rng = np.random.default_rng(seed)
    reached, seconds = 0, []
    for i in range(count):
        problem = drawn(2 + i % 7, rng, constant="invariant" in kind, constant_score=kind == "attention only, V")
        one, two = (Gaussian(x[:, 0], x[:, 1:]) for x in (problem.start, problem.target))
        begun = time.monotonic()
        plan = constrained_plan(
            one, two, 1.0, KINDS[kind](problem), reachable(one, two), tolerance=1e-6, budget=BUDGET, seed=0
        )
        seconds.append(time.monotonic() - begun)
        reached += plan.status == "reached"
        if show:
            error = max(plan.mean_error, plan.cov_error)
            words = f"attempts {plan.details['attempts']}, derivatives {plan.details['iterations']}"
            print(f"{i} d {one.dim} r {one.rank} {plan.status} {error:.1e} {seconds[-1]:.1f} s {words}", flush=True)
    return reached / count, seconds


def rows(*, quick: bool = False) -> list[Row]:
    """The share of the problems of each kind that are solved within a minute each; `quick`: 14 problems each."""
    count = 14 if quick else 200
    found = []
    for kind in KINDS:
        share, seconds = solved(kind, count)
        detail = f"of {count}; median {statistics.median(seconds):.1f} s, longest {max(seconds):.0f} s"
        found.append(Row(f"solved to 1e-6: {kind}", share, 0.9, detail=detail))
    return found


def main() -> None:
    """Print every problem of one kind."""
    kind, count = sys.argv[1], int(sys.argv[2])
    share, seconds = solved(kind, count, seed=int(os.environ.get("SEED", "0")), show=True)
    print(f"{kind}: {share:.1%} of {count}, median {statistics.median(seconds):.2f} s, longest {max(seconds):.1f} s")


if __name__ == "__main__":
    main()
