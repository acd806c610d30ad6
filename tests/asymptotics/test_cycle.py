"""Limit cycles: Newton on the return map, against SciPy's integration and a cycle known in closed form."""

import itertools

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow.asymptotics.evidence import long_run
from attnflow.asymptotics.evidence.cycle import limit_cycle, recurrences
from attnflow.asymptotics.regime import Regime
from attnflow.asymptotics.system import System


def system_of(A, V, B) -> System:
    A, V, B = (np.array(x, dtype=float) for x in (A, V, B))
    return System(A, V[None], B[None], np.zeros(len(A)), np.zeros((1, len(A))))


C2 = system_of([[2, -1], [3, 3]], np.diag([-1.0, -5.0]), [[1, -1], [-1, 4]])
SPIRAL = system_of([[1, -1], [1, 1]], -np.eye(2), np.eye(2))


def flowed(system: System, cov: np.ndarray, t: float) -> np.ndarray:
    def velocity(_, flat):
        S = flat.reshape(cov.shape)
        M = system.A + system.V[0] @ S @ system.B[0]
        return (M @ S + S @ M.T).ravel()

    return solve_ivp(velocity, (0.0, t), cov.ravel(), "DOP853", rtol=1e-13, atol=1e-15).y[:, -1].reshape(cov.shape)


@pytest.mark.parametrize(
    "factor", [np.eye(2), np.array([[0.3, 0.0], [-0.2, 0.05]]), np.array([[2.0, 1.0], [0.5, 3.0]])]
)
def test_every_start_of_c2_settles_on_the_same_cycle(factor):
    found = long_run(C2, factor)
    assert found.regime is Regime.CYCLE
    assert found.cycle.period == pytest.approx(5.63996025950015, rel=1e-11)
    assert found.cycle.stable
    assert abs(found.cycle.multipliers[0]) == pytest.approx(0.1425, abs=1e-4)


def test_the_orbit_returns_and_its_disturbance_shrinks_by_the_multiplier():
    cycle = long_run(C2, np.eye(2)).cycle
    np.testing.assert_allclose(flowed(C2, cycle.point, cycle.period), cycle.point, atol=1e-9)
    rng = np.random.default_rng(5)
    push = rng.normal(size=(2, 2))
    push = 1e-6 * (push + push.T)
    # after two periods only the slowest direction is left, and a shift along the orbit, which the third period keeps
    states = [cycle.point + push]
    for _ in range(3):
        states.append(flowed(C2, states[-1], cycle.period))
    steps = [np.linalg.norm(b - a) for a, b in itertools.pairwise(states)]
    assert steps[2] / steps[1] == pytest.approx(abs(cycle.multipliers[0]), rel=2e-2)


def test_a_multiple_of_the_period_is_reduced():
    once = long_run(C2, np.eye(2)).cycle
    assert limit_cycle(C2, once.point, 2.0 * once.period).period == pytest.approx(once.period, rel=1e-10)


def test_newton_refuses_where_there_is_no_cycle():
    assert limit_cycle(SPIRAL, np.array([[1.3, 0.1], [0.1, 0.7]]), 3.0) is None


def test_a_singular_start_of_a_spiral_turns_for_ever():
    # cov = s u u^T, u at angle t: s' = 2 s - 2 s^2, so s -> 1 and the period is pi, the multiplier exp(-2 pi)
    found = long_run(SPIRAL, np.array([[1.0], [0.0]]))
    assert (found.regime, found.rank) == (Regime.CYCLE, 1)
    assert found.cycle.period == pytest.approx(np.pi, rel=1e-9)
    assert abs(found.cycle.multipliers[0]) == pytest.approx(np.exp(-2.0 * np.pi), rel=1e-6)
    assert np.trace(found.cycle.point) == pytest.approx(1.0, rel=1e-9)


def test_a_recurrence_is_seen_after_one_turn():
    times = np.linspace(0.0, 14.0, 180)
    points = np.stack([np.cos(times), np.sin(times), 0.1 * np.cos(2 * times)], axis=1)
    velocity = np.array([-np.sin(14.0), np.cos(14.0), -0.2 * np.sin(28.0)])
    assert recurrences(times, points, velocity)[0] == pytest.approx(2.0 * np.pi, rel=1e-2)
