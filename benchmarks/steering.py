"""Exact steering: the end-state error of 1,000 random pairs by SciPy's DOP853, refusals, and d = 256 in seconds."""

from __future__ import annotations

import time

import numpy as np

import attnflow as af
from attnflow.doors.steering.plan import Plan
from attnflow.reachability.replay import Replay

from .pairs import gaussian_of_rank, pair
from .report import Row

PAIRS = 1000
EXACT = 1e-9
CLOSE = 1e-8
CONDITION = 1e4
SECONDS = 2.0
METHODS = (af.Rotation(), af.ConstantControls(), af.McCann())
LARGE = 256


def rows(*, quick: bool = False) -> list[Row]:
    """The table; `quick`: 100 pairs."""
    count = PAIRS // 10 if quick else PAIRS
    found = [row for method in (*METHODS, af.PaperConstruction()) for row in _errors(method, count)]
    return [*found, _refusals(count), *_large()]


def error_of(replay: Replay) -> float:
    """The larger relative error of mean and covariance; infinite where the replay did not get to the end."""
    if replay.mean_error is None or replay.cov_error is None:
        return float("inf")
    return max(replay.mean_error, replay.cov_error)


def _errors(method: af.Rotation | af.ConstantControls | af.McCann | af.PaperConstruction, count: int) -> list[Row]:
    """The largest errors, the target's condition number below and above CONDITION; the paper's on few and easy ones."""
    paper = isinstance(method, af.PaperConstruction)
    below, above, directions, missed = [0.0], [0.0], [0.0], 0
    for index in range(0, count, 10 if paper else 1):
        found = pair(index, largest=8 if paper else 32)
        plan = af.steer(found.start, found.target, method=method)
        missed += plan.status != "reached"
        if paper and found.condition >= CONDITION:
            continue
        replay = plan.replay(tokens=0)
        (below if found.condition < CONDITION else above).append(error_of(replay))
        if found.condition >= CONDITION and replay.worst_direction is not None:
            directions.append(replay.worst_direction)
    name = type(method).__name__
    detail = f"{len(below) - 1} pairs, median {np.median(below):.0e}"
    if paper:
        lost = sum(error > EXACT for error in below)
        return [
            Row(f"{name}: plans that miss on the path", missed, 0, at_least=False),
            Row(f"  ... median error, condition < {CONDITION:g}", float(np.median(below)), EXACT, at_least=False,
                detail=f"{lost} of {len(below) - 1} above {EXACT:g}: the price of B = cov^+"),
        ]  # fmt: skip
    return [
        Row(f"{name}: largest error, condition < {CONDITION:g}", max(below), EXACT, at_least=False, detail=detail),
        Row("  ... condition to 1e8", max(above), CLOSE, at_least=False,
            detail=f"{len(above) - 1} pairs, worst direction {max(directions):.0e}"),
        Row("  ... plans that miss", missed, 0, at_least=False),
    ]  # fmt: skip


def _refusals(count: int) -> Row:
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(count):
        d = int(rng.integers(1, 33))
        one, two = (gaussian_of_rank(rng, d, int(r)) for r in rng.choice(d + 1, 2, replace=False))
        refused += not af.reachable(one, two)
    return Row(f"rank mismatches refused, of {count}", refused, count)


def _large() -> list[Row]:
    rng = np.random.default_rng(0)
    ends = [
        af.Gaussian.from_factor(
            rng.normal(size=LARGE), rng.normal(size=(LARGE, LARGE)) + 2 * LARGE**0.5 * np.eye(LARGE)
        )
        for _ in range(2)
    ]
    found = []
    for method in (*METHODS, af.PaperConstruction()):
        taken, plan = min((_timed(ends, method) for _ in range(2)), key=lambda both: both[0])
        begin = time.process_time()
        energies = plan.energy
        energy_seconds, begin = time.process_time() - begin, time.process_time()
        assert energies.error < 1e-6
        conditioning = plan.conditioning
        detail = f"energies {energy_seconds:.2g} s, conditioning {conditioning:.3g} {time.process_time() - begin:.2g} s"
        what = f"{type(method).__name__}, d = {LARGE}, full rank: seconds"
        found.append(Row(what, taken, SECONDS, at_least=False, detail=detail))
    return found


def _timed(ends: list[af.Gaussian], method: af.Rotation) -> tuple[float, Plan]:
    begin = time.process_time()
    plan = af.steer(*ends, method=method)
    assert plan.status == "reached"
    return time.process_time() - begin, plan
