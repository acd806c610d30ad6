"""Plans under constraints on problems that are built to have one; SciPy's replay is the referee."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow.doors.steering.constrained import constrained_plan
from attnflow.measures.gaussian import Gaussian
from attnflow.reachability.constrained import fitting
from attnflow.reachability.constrained.constraints import AttentionOnly, TimeInvariant, choice_of
from attnflow.reachability.constrained.endpoint import end_state
from attnflow.reachability.constrained.goal import goal_of
from attnflow.reachability.constrained.problem import problem_of
from attnflow.reachability.constrained.shooting import Clock, Shooting
from attnflow.reachability.law import Controls
from attnflow.reachability.obstruction import reachable


def led(start, A, B, V, b, wave=0.0):
    """Where V + wave sin(2 pi t) leads the start [mean, factor], by SciPy in covariance form."""
    d = len(b)

    def rate(t, flat):
        mean, cov = flat[:d], flat[d:].reshape(d, d)
        value = V + wave * np.sin(2 * np.pi * t)
        G = A + value @ cov @ B
        return np.concatenate([G @ mean + value @ mean + b, (G @ cov + cov @ G.T).ravel()])

    flat = np.concatenate([start[:, 0], (start[:, 1:] @ start[:, 1:].T).ravel()])
    end = solve_ivp(rate, (0, 1), flat, "Radau", rtol=1e-10, atol=1e-12).y[:, -1]
    values, vectors = np.linalg.eigh(end[d:].reshape(d, d))
    r = start.shape[1] - 1
    return Gaussian(end[:d], vectors[:, d - r :] * np.sqrt(values[d - r :]))


def case(d, r, rng, constant=False):
    start = np.hstack([rng.normal(size=(d, 1)), rng.normal(size=(d, r)) / np.sqrt(d) + 0.5 * np.eye(d)[:, :r]])
    A, B, V, wave = (0.5 * rng.normal(size=(d, d)) / np.sqrt(d) for _ in range(4))
    b = 0.3 * rng.normal(size=d)
    return start, (A, B, V, b), led(start, A, B, V, b, 0.0 * wave if constant else wave)


def planned(start, target, constraint, time=1.0, **options):
    one = Gaussian(start[:, 0], start[:, 1:])
    return constrained_plan(one, target, time, constraint, reachable(one, target), tolerance=1e-6, **options)


def error(plan):
    replay = plan.replay(tokens=0)
    return max(replay.mean_error, replay.cov_error)


@pytest.mark.parametrize(("d", "r"), [(2, 2), (3, 2)])
def test_attention_alone_reaches_what_attention_alone_can_reach(d, r, rng):
    start, (A, B, _, b), target = case(d, r, rng)
    plan = planned(start, target, AttentionOnly(A=A, B=B, b=b))
    assert plan.status == "reached"
    assert plan.basis == "numerical"
    assert error(plan) < 1e-8
    for t in (0.0, 0.37, 1.0):
        found = plan.controls(t)
        for given, held in ((A, found.A), (B, found.B), (b, found.b)):
            np.testing.assert_array_equal(given, held)
    assert np.ptp([plan.controls(t).V[0, 1] for t in (0.0, 0.3, 0.6, 0.9)]) > 0


def test_values_and_scores_together_do_the_work(rng):
    start, (A, _, _, _), target = case(3, 3, rng)
    plan = planned(start, target, AttentionOnly(A=A))
    assert error(plan) < 1e-8
    np.testing.assert_array_equal(plan.controls(0.5).b, np.zeros(3))
    np.testing.assert_array_equal(plan.controls(0.5).A, A)


def test_constant_parameters_that_led_there_are_found_again(rng):
    start, (A, _, _, b), target = case(2, 2, rng, constant=True)
    plan = planned(start, target, TimeInvariant(A=A, b=b))
    assert error(plan) < 1e-8
    for t in (0.2, 0.9):
        np.testing.assert_array_equal(plan.controls(t).V, plan.controls(0.0).V)
        np.testing.assert_array_equal(plan.controls(t).A, A)


def test_any_target_is_reached_by_constant_parameters_without_attention(rng):
    start = rng.normal(size=(2, 3))
    target = Gaussian(rng.normal(size=2), rng.normal(size=(2, 2)))
    plan = planned(start, target, TimeInvariant(V=np.zeros((2, 2))), time=0.5)
    assert error(plan) < 1e-8
    np.testing.assert_array_equal(plan.controls(0.1).V, np.zeros((2, 2)))


def test_the_model_of_a_plan_simulates_to_the_target(rng):
    import attnflow as af

    start, (A, B, _, b), target = case(2, 2, rng)
    plan = planned(start, target, AttentionOnly(A=A, B=B, b=b))
    run = af.simulate(plan.model, plan.start, 1.0)
    np.testing.assert_allclose(run.at(1.0).cov, target.cov, rtol=1e-6, atol=1e-8)


def test_other_units_give_the_same_plan(rng):
    start, (A, B, _, b), target = case(2, 2, rng)
    length, time = 1e3, 50.0
    plan = planned(start, target, AttentionOnly(A=A, B=B, b=b))
    scaled = planned(
        length * start,
        Gaussian(length * target.mean, length * target.factor),
        AttentionOnly(A=A / time, B=B / length**2, b=b * length / time),
        time,
    )
    np.testing.assert_allclose(scaled.controls(0.3 * time).V * time, plan.controls(0.3).V, rtol=1e-5, atol=1e-8)


def test_the_derivative_is_that_of_scipy(rng):
    """Central differences of an adaptive integration against the derivative of the fixed steps."""
    start, (A, B, V, b), target = case(2, 2, rng)
    choice = choice_of(AttentionOnly(A=A, B=B, b=b), 2)
    state = np.hstack([target.mean[:, None], target.factor])
    problem = problem_of(choice, start, state, 1.0)
    x = np.tile(V.ravel(), 8) + 0.1 * np.cos(np.arange(32))
    with jax.enable_x64(True):
        _, slope = Shooting(problem, Clock(60, lambda done: None)).linearised(x, problem.goal)

    def missed(values):
        found = problem.controls(values)
        flat = problem.state.ravel()
        for i in range(8):
            part = Controls(*(np.asarray(parameter)[i] for parameter in found))

            def rate(t, y, part=part):
                y = y.reshape(2, 3)
                cov = y[:, 1:] @ y[:, 1:].T
                moved = (part.A + part.V @ cov @ part.B) @ y
                moved[:, 0] += part.V @ y[:, 0] + part.b
                return moved.ravel()

            flat = solve_ivp(rate, (i / 8, (i + 1) / 8), flat, rtol=1e-12, atol=1e-13).y[:, -1]
        state = problem.goal.whiten @ (flat.reshape(2, 3) - np.pad(problem.goal.mean[:, None], ((0, 0), (0, 2))))
        gram = state[:, 1:] @ state[:, 1:].T
        return np.array([*state[:, 0], gram[0, 0] - 1, np.sqrt(2) * gram[0, 1], gram[1, 1] - 1])

    for k in (0, 5, 17, 30):
        h = 1e-5 * (np.arange(32) == k)
        np.testing.assert_allclose((missed(x + h) - missed(x - h)) / 2e-5, slope[:, k], rtol=1e-5, atol=1e-7)


def test_the_fixed_steps_agree_with_scipy(rng):
    start, (A, B, V, b), target = case(2, 2, rng, constant=True)
    with jax.enable_x64(True):
        end = np.asarray(end_state(Controls(A[None], B[None], V[None], b[None]), start, steps=32))
    np.testing.assert_allclose(end[:, 1:] @ end[:, 1:].T, target.cov, rtol=1e-8)
    np.testing.assert_allclose(end[:, 0], target.mean, rtol=1e-8)


def test_moving_the_target_ends_at_the_target(rng):
    start, (A, B, _, b), target = case(2, 2, rng)
    problem = problem_of(
        choice_of(AttentionOnly(A=A, B=B, b=b), 2), start, np.hstack([target.mean[:, None], target.factor]), 1.0
    )
    with jax.enable_x64(True):
        shooting = Shooting(problem, Clock(60, lambda done: None))
        found = fitting.continued(shooting, np.zeros(problem.unknowns), straight=True)
    assert found.error < 1e-2
    assert fitting.Route(start, start, straight=False).goal(1.0).mean == pytest.approx(
        goal_of(start[:, 0], start[:, 1:]).mean
    )
