"""`follow`: plain NumPy under SciPy's DOP853, against closed forms and against a solver that shares nothing with it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import attnflow as af
from attnflow.reachability.constructions import Rotation
from attnflow.reachability.law import AbstractLaw, Constant, Controls, Steps
from attnflow.reachability.motion import AlongPath, follow, velocity


def random_controls(rng, d: int, n: int | None = None) -> Controls:
    shape = () if n is None else (n,)
    return Controls(*(0.4 * rng.normal(size=(*shape, *part)) for part in ((d, d), (d, d), (d, d), (d,))))


def test_the_velocity_is_that_of_the_moments(rng):
    """mean' and cov' of equation (2.6), written out in full."""
    controls, mean, factor = random_controls(rng, 3), rng.normal(size=3), rng.normal(size=(3, 2))
    A, B, V, b = controls
    rate, cov = velocity(controls, np.column_stack([mean, factor])), factor @ factor.T
    np.testing.assert_allclose(rate[:, 0], V @ (mean + cov @ B @ mean) + A @ mean + b, atol=1e-13)
    one_sided = A @ cov + V @ cov @ B @ cov
    np.testing.assert_allclose(rate[:, 1:] @ factor.T + factor @ rate[:, 1:].T, one_sided + one_sided.T, atol=1e-12)


def test_it_agrees_with_an_implicit_solver_on_the_moments_across_jumps(rng):
    rows, mean, factor = random_controls(rng, 3, 3), rng.normal(size=3), 0.5 * rng.normal(size=(3, 2))
    law = Steps(np.array([0.0, 0.3, 0.7, 1.5]), rows)
    found = follow(law, mean, factor, 1.5)
    assert found.complete
    state, now = np.append(mean, factor @ factor.T), 0.0
    for i, stop in enumerate(law.edges[1:]):
        A, B, V, b = (part[i] for part in rows)

        def rate(t, flat, A=A, B=B, V=V, b=b):
            m, cov = flat[:3], flat[3:].reshape(3, 3)
            half = (A + V @ cov @ B) @ cov
            return np.append(V @ (m + cov @ B @ m) + A @ m + b, half + half.T)

        state, now = solve_ivp(rate, (now, stop), state, "Radau", rtol=1e-10, atol=1e-12).y[:, -1], stop
        np.testing.assert_allclose(found.motion.mean(stop), state[:3], rtol=1e-7)
        moved = found.motion.factor(stop)
        np.testing.assert_allclose(
            moved @ moved.T, state[3:].reshape(3, 3), rtol=0, atol=1e-7 * np.abs(state[3:]).max()
        )


@pytest.mark.parametrize("far", [0.0, 1e6])
def test_a_factor_that_shrinks_by_twelve_orders_keeps_its_digits_beside_a_mean_far_away(far, rng):
    G = -np.diag([27.0, 26.0, 28.0]) + 0.5 * rng.normal(size=(3, 3))
    mean, factor, b = far * np.array([1.0, -2.0, 0.5]), rng.normal(size=(3, 2)), rng.normal(size=3)
    found = follow(Constant(Controls(G, np.zeros((3, 3)), -G, b)), mean, factor, 1.0, rtol=1e-13)
    expected = expm(G) @ factor
    assert np.linalg.norm(found.motion.factor(1.0) - expected) < 1e-10 * np.linalg.norm(expected)
    np.testing.assert_allclose(found.motion.mean(1.0), mean + b, rtol=1e-14)


def test_a_point_mass_at_the_origin_moves(rng):
    b = rng.normal(size=3)
    zero = np.zeros((3, 3))
    found = follow(Constant(Controls(zero, zero, zero, b)), np.zeros(3), np.zeros((3, 0)), 2.0)
    np.testing.assert_allclose(found.motion.mean(2.0), 2.0 * b, rtol=1e-14)
    np.testing.assert_allclose(found.motion.mean(0.5), 0.5 * b, rtol=1e-12)
    still = follow(Constant(Controls(zero, zero, zero, 0.0 * b)), np.zeros(3), np.zeros((3, 0)), 2.0)
    assert still.complete
    assert not still.motion.mean(2.0).any()


def test_a_blow_up_and_an_exhausted_budget_are_told():
    """cov' = 2 cov^2 from cov = 1 explodes at 1/2."""
    one = np.ones((1, 1))
    law = Constant(Controls(0 * one, one, one, np.zeros(1)))
    found = follow(law, np.zeros(1), one, 1.0)
    assert (found.complete, found.motion) == (False, None)
    short = follow(law, np.zeros(1), one, 0.4, evaluations=20)
    assert not short.complete
    assert short.evaluations <= 21
    reached = follow(law, np.zeros(1), one, 0.4)
    assert reached.motion.factor(0.4)[0, 0] ** 2 == pytest.approx(1.0 / (1.0 - 0.8), rel=1e-10)


def test_controls_at_an_edge_are_those_of_the_stretch_that_is_followed():
    """V jumps from 1 to -1 at 1/2 with A = 0, B = 0: the mean returns to where it was."""
    ones = np.ones((2, 1, 1))
    law = Steps(np.array([0.0, 0.5, 1.0]), Controls(0 * ones, 0 * ones, ones * [[[1.0]], [[-1.0]]], np.zeros((2, 1))))
    found = follow(law, np.ones(1), np.ones((1, 1)), 1.0)
    assert found.motion.mean(0.5)[0] == pytest.approx(np.exp(0.5), rel=1e-12)
    assert found.motion.mean(1.0)[0] == pytest.approx(1.0, rel=1e-12)


def test_simulate_follows_the_model_of_a_plan_to_the_same_place(rng):
    start = af.Gaussian.from_factor(rng.normal(size=3), rng.normal(size=(3, 2)))
    target = af.Gaussian.from_factor(rng.normal(size=3), rng.normal(size=(3, 2)))
    plan = af.steer(start, target, time=1.5)
    law: AbstractLaw = plan.law
    found = follow(law, np.asarray(start.mean), np.asarray(start.factor), 1.5)
    run = af.simulate(plan.model, start, ts=[0.6, 1.5], rtol=1e-10)
    for i, t in enumerate((0.6, 1.5)):
        np.testing.assert_allclose(run.mean[i], found.motion.mean(t), atol=1e-8)
        moved = found.motion.factor(t)
        np.testing.assert_allclose(run.cov[i], moved @ moved.T, atol=1e-8)
        np.testing.assert_allclose(plan.at(t).cov, moved @ moved.T, atol=1e-10)


def test_a_motion_along_a_path_is_straight_in_the_mean(rng):
    path = Rotation().path(rng.normal(size=(3, 2)), rng.normal(size=(3, 2)))
    motion = AlongPath(path, 2.0, np.ones(3), np.array([1.0, 0.0, -1.0]))
    np.testing.assert_allclose(motion.mean(0.5), [1.5, 1.0, 0.5])
    np.testing.assert_allclose(motion.factor(2.0), path.factor(1.0))
