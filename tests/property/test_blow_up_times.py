"""Blow-up times of random systems against high precision, and against SciPy in a rescaled time."""

from __future__ import annotations

import numpy as np
import pytest
from systems import System

from oracles import highprec, replay

HORIZON, SCAN = 24.0, 48


def _scalar_value(seed: int, pace: float) -> System:
    """eta = 2, S = 2 (B + B^T) indefinite: the eigenvalue of Theorem B rises and falls before it crosses 1.

    `pace` slows A and the start down alike; with a small one the flow takes many unit steps to its end.
    """
    rng = np.random.default_rng([7, seed])
    d = int(rng.integers(2, 5))
    r = int(rng.integers(1, d + 1))
    A, B = 0.4 * rng.standard_normal((2, d, d))
    factor = 10.0 ** rng.uniform(-1.5, 0) * rng.standard_normal((d, r))
    return System(pace * A, np.zeros(d), ((B, 2.0, None, None),), np.zeros(d), np.sqrt(pace) * factor)


@pytest.mark.parametrize("pace", [1.0, 0.125])
@pytest.mark.parametrize("seed", range(12))
def test_the_closed_form_finds_the_first_crossing_for_an_indefinite_form(seed, pace):
    system, horizon = _scalar_value(seed, pace), HORIZON / pace
    B, eta = system.heads[0][:2]
    truth = highprec.blow_up_time(system.A, B, eta, system.factor, dps=40, horizon=horizon, scan=SCAN)
    run = system.run([0.01, horizon])
    assert run.engine == "closed_form"
    if truth is None:
        assert run.status == "reached_end"
        assert run.blow_up is None or run.blow_up.upper > horizon
        return
    end, T_f = run.blow_up, float(truth)
    assert run.status == "blow_up"
    assert end.lower <= T_f * (1 + 1e-15)
    assert end.upper >= T_f * (1 - 1e-15)
    slope = _slope(system, B, eta, T_f)
    assert abs(end.estimate - T_f) <= max(1e-10, 1e-13 / (slope * T_f)) * T_f


def _slope(system: System, B, eta, t: float) -> float:
    """d lambda_max / dt at the crossing: where it is small the time is ill-conditioned."""
    ahead, behind = (highprec.top_eigenvalue(system.A, B, eta, system.factor, t * (1 + s)) for s in (1e-9, -1e-9))
    return float((ahead - behind) / (2e-9 * t))


def _matrix_value(seed: int) -> System:
    """V and B with positive definite symmetric parts, two heads for odd seeds: blow-up, not isotropic."""
    rng = np.random.default_rng([8, seed])
    d, r = 3, 3 if seed % 3 == 0 else 2

    def positive() -> np.ndarray:
        root, turn = 0.6 * rng.standard_normal((2, d, d))
        return root @ root.T + 0.2 * np.eye(d) + 0.5 * (turn - turn.T)

    heads = tuple((positive(), positive(), None, None) for _ in range(1 + seed % 2))
    return System(rng.standard_normal((d, d)) / 2, np.zeros(d), heads, np.zeros(d), rng.standard_normal((d, r)))


@pytest.mark.parametrize("rtol", [1e-8, 1e-11])
@pytest.mark.parametrize("seed", range(10))
def test_the_bracket_contains_the_blow_up_time_of_a_general_system(seed, rtol):
    system = _matrix_value(seed)
    T_f = replay.blow_up_time(system.parameters(), system.factor)
    run = system.run([0.5 * T_f, 2 * T_f], rtol=rtol)
    end = run.blow_up
    assert run.status == "blow_up"
    assert abs(end.estimate - T_f) <= 100 * rtol * T_f
    assert end.lower <= T_f * (1 + 1e-11), "the reference itself is good to 1e-12"
    assert end.upper >= T_f * (1 - 1e-11)
