"""The least energy plan against the Hamiltonian system, direct minimisation, and numbers known exactly."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.integrate import solve_ivp
from scipy.optimize import minimize, root

from attnflow.doors.steering.constrained import constrained_plan
from attnflow.measures.gaussian import Gaussian
from attnflow.reachability.constrained.constraints import LeastEnergy
from attnflow.reachability.constrained.least_energy import Winding, least_path, lower_bound
from attnflow.reachability.constrained.shooting import Clock
from attnflow.reachability.obstruction import reachable


def found(one, two):
    with jax.enable_x64(True):
        return least_path(one, two, clock=Clock(60.0, lambda done: None), seed=0)


def turned(cov, degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    R = np.array([[c, -s], [s, c]])
    return R @ cov @ R.T


def hamiltonian(flat):
    """G = 2 P cov, P' = -2 (P^2 cov + cov P^2), cov' = G cov + cov G^T, and the energy."""
    d = int(np.sqrt((flat.size - 1) / 2))
    P, cov = flat[: d * d].reshape(d, d), flat[d * d : 2 * d * d].reshape(d, d)
    G = 2 * P @ cov
    rates = (-2 * (P @ P @ cov + cov @ P @ P), G @ cov + cov @ G.T)
    return np.concatenate([*(x.ravel() for x in rates), [np.sum(G * G)]])


def shot(P, cov):
    flat = np.concatenate([P.ravel(), cov.ravel(), [0.0]])
    end = solve_ivp(lambda t, y: hamiltonian(y), (0, 1), flat, "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    return end[P.size : -1].reshape(P.shape), end[-1]


def test_shooting_with_the_hamiltonian_system_finds_the_same_energy():
    cov, goal = np.diag([1.0, 9.0]), turned(np.diag([1.0, 9.0]), 45)

    def miss(p):
        end, _ = shot(np.array([[p[0], p[1]], [p[1], p[2]]]), cov)
        return (end - goal)[np.triu_indices(2)]

    p = root(miss, np.array([0.0, -0.05, 0.0]), tol=1e-12).x
    _, energy = shot(np.array([[p[0], p[1]], [p[1], p[2]]]), cov)
    plan = found(np.diag([1.0, 3.0]), np.linalg.cholesky(goal))
    assert plan.energy == pytest.approx(energy, rel=1e-9)
    assert plan.energy == pytest.approx(0.478, abs=5e-4)


def test_the_closed_form_solves_the_hamiltonian_system():
    one = np.array([[1.0, 0.2, 0.0], [-0.3, 0.8, 0.1], [0.0, 0.2, 1.3]])
    two = np.array([[0.7, -0.4, 0.2], [0.5, 1.1, 0.0], [0.1, -0.3, 0.9]])
    path = found(one, two).path
    cov = one @ one.T
    P = 0.5 * path.logarithm @ np.linalg.inv(cov)
    np.testing.assert_allclose(P, P.T, atol=1e-9)
    end, energy = shot(P, cov)
    np.testing.assert_allclose(end, two @ two.T, rtol=1e-7, atol=1e-8)
    assert energy == pytest.approx(np.sum(path.logarithm**2), rel=1e-9)


def test_the_generator_moves_the_factor_and_the_flow_map_composes(rng):
    path = Winding(rng.normal(size=(3, 3)), rng.normal(size=(3, 2)))
    h = 1e-6
    moved = (path.factor(0.4 + h) - path.factor(0.4 - h)) / (2 * h)
    np.testing.assert_allclose(path.generator(0.4) @ path.factor(0.4), moved, atol=1e-7)
    np.testing.assert_allclose(path.between(0.2, 0.7) @ path.factor(0.2), path.factor(0.7), atol=1e-12)
    with jax.enable_x64(True):
        np.testing.assert_allclose(path.generator(jnp.asarray(0.4)), path.generator(0.4), atol=1e-12)


def test_no_stepwise_path_of_rank_one_is_cheaper():
    """Direct minimisation over eight constant generators, with the end as a constraint."""
    one, two = np.array([[1.0], [0.3]]), np.array([[-0.4], [1.7]])
    steps = 8

    def end(x):
        L = one
        for G in x.reshape(steps, 2, 2):
            L = scipy.linalg.expm(G / steps) @ L
        return (L @ L.T - two @ two.T)[np.triu_indices(2)][:2]

    path = found(one, two)
    wave = 0.05 * np.sin(np.arange(4 * steps))
    constant = np.tile(path.path.logarithm.ravel(), steps)
    near = np.concatenate([path.path.generator((i + 0.5) / steps).ravel() for i in range(steps)])
    costs = []
    for began in (constant + wave, near + wave):
        direct = minimize(
            lambda x: (np.sum(x * x) / steps, 2 * x / steps), began, jac=True, method="SLSQP",
            constraints={"type": "eq", "fun": end}, options=dict(maxiter=200, ftol=1e-12),
        )  # fmt: skip
        assert direct.success
        assert np.abs(end(direct.x)).max() < 1e-8
        costs.append(direct.fun)
    assert path.energy <= min(costs) * (1 + 1e-6)
    assert min(costs) == pytest.approx(path.energy, rel=0.02)


def test_with_common_axes_in_order_the_lower_bound_is_attained():
    Q = scipy.linalg.expm(np.array([[0, -0.7, 0.2], [0.7, 0, 0.4], [-0.2, -0.4, 0]]))
    one, two = Q @ np.diag([0.5, 1.0, 2.0]), Q @ np.diag([0.25, 2.0, 6.0])
    exact = 2 * np.log(2.0) ** 2 + np.log(3.0) ** 2
    assert lower_bound(one, two) == pytest.approx(exact, rel=1e-12)
    assert found(one, two).energy == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("d", "r"), [(2, 1), (3, 3), (4, 2), (5, 5)])
def test_the_plan_replays_exactly_and_is_no_dearer_than_the_exact_ones(d, r, rng):
    one, two = (Gaussian(rng.normal(size=d), rng.normal(size=(d, r))) for _ in range(2))
    plan = constrained_plan(one, two, 2.0, LeastEnergy(), reachable(one, two), tolerance=1e-6)
    replay = plan.replay(tokens=0)
    assert max(replay.mean_error, replay.cov_error) < 1e-9
    assert plan.details["proved_least"] <= plan.energy.control * (1 + 1e-9)
    assert plan.energy.control == pytest.approx(plan.details["energy"], rel=1e-8)
    import attnflow as af

    for method in (af.Rotation(), af.ConstantControls(), af.McCann()):
        other = af.steer(one, two, time=2.0, method=method)
        assert plan.energy.control <= other.energy.control * (1 + 1e-9)


def test_a_point_mass_costs_nothing():
    one, two = Gaussian(np.array([1.0, 2.0]), np.zeros((2, 0))), Gaussian(np.array([0.0, -1.0]), np.zeros((2, 0)))
    plan = constrained_plan(one, two, 1.0, LeastEnergy(), reachable(one, two), tolerance=1e-6)
    assert plan.status == "reached"
    assert plan.energy.control == 0.0
