"""The replay: errors that are put in come out, tokens move as tokens, failures are told."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af
from attnflow.reachability.errors import worst_direction
from attnflow.reachability.law import Constant, Controls
from attnflow.reachability.replay import replay
from attnflow.reachability.tokens import token_velocity


def pair(rng, d: int, r: int):
    return tuple(af.Gaussian.from_factor(rng.normal(size=d), rng.normal(size=(d, r))) for _ in range(2))


@pytest.mark.parametrize("r", [1, 2, 4])
def test_a_plan_is_replayed_to_its_target_by_its_tokens_too(r, rng):
    plan = af.steer(*pair(rng, 4, r), time=2.0)
    found = plan.replay(tokens=4000, seed=3)
    assert found.complete
    assert max(found.mean_error, found.cov_error, found.worst_direction) < 1e-11
    assert found.bures_wasserstein < 1e-10
    assert found.tokens.mean_error < 4.0 * found.tokens.mean_floor
    assert found.tokens.cov_error < 4.0 * found.tokens.cov_floor


def test_errors_that_are_put_in_come_out(rng):
    """The target is moved by a known mean and a known covariance after the plan was made."""
    start, target = pair(rng, 3, 3)
    law, cov = af.steer(start, target).law, np.asarray(target.cov)
    shift, bent = np.array([0.1, -0.2, 0.05]), cov + 0.05 * np.eye(3)
    elsewhere = af.Gaussian.from_moments(np.asarray(target.mean) + shift, bent)
    found = replay(law, start, elsewhere, 1.0, rtol=1e-12, tokens=0, seed=0)
    goal = np.asarray(elsewhere.mean)
    way = np.linalg.norm(goal - np.asarray(start.mean))
    scale = max(np.linalg.norm(goal), way, np.sqrt(np.trace(bent)))
    assert found.mean_error == pytest.approx(np.linalg.norm(shift) / scale, rel=1e-9)
    assert found.cov_error == pytest.approx(np.linalg.norm(0.05 * np.eye(3)) / np.linalg.norm(bent), rel=1e-9)
    assert found.worst_direction == pytest.approx(0.05 / np.linalg.eigvalsh(bent)[0], rel=1e-6)
    assert found.tokens is None


def test_the_worst_direction_is_that_of_the_least_variance_and_asks_only_for_those_that_count():
    target = af.Gaussian.from_factor(np.zeros(3), np.diag([1.0, 0.1, 1e-4])[:, [2, 0, 1]])
    end = af.Gaussian.from_factor(np.zeros(3), np.diag([1.01, 0.1, 1.5e-4]))
    assert worst_direction(end, target) == pytest.approx(1.25)
    assert worst_direction(end, target, rtol=1e-6) == pytest.approx(1.01**2 - 1.0)
    point = af.Gaussian.from_factor(np.zeros(3), np.zeros((3, 0)))
    assert worst_direction(end, point) == 0.0


def test_token_velocities_are_the_softmax_average_summed_token_by_token(rng):
    A, B, V = (rng.normal(size=(3, 3)) for _ in range(3))
    b, points = rng.normal(size=3), rng.normal(size=(6, 3))
    moved = token_velocity(Controls(A, B, V, b), points)
    for x, rate in zip(points, moved, strict=True):
        weights = [np.exp(y @ B @ x) for y in points]
        average = sum(w * y for w, y in zip(weights, points, strict=True)) / sum(weights)
        np.testing.assert_allclose(rate, V @ average + A @ x + b, atol=1e-12)


def test_tokens_under_scores_are_those_of_the_token_flow(rng):
    """The paper's construction at full rank has B = cov^-1; the token solver of the package is the oracle."""
    start = af.Gaussian.from_factor(rng.normal(size=2), np.eye(2) + 0.2 * rng.normal(size=(2, 2)))
    target = af.Gaussian.from_factor(rng.normal(size=2), np.eye(2) + 0.2 * rng.normal(size=(2, 2)))
    plan = af.steer(start, target, method=af.PaperConstruction())
    found = plan.replay(tokens=50, seed=1)
    points = np.asarray(start.mean) + np.random.default_rng(1).normal(size=(50, 2)) @ np.asarray(start.factor).T
    run = af.simulate(plan.model, af.Tokens(points), ts=[1.0], rtol=1e-9)
    ends = run.tokens[-1]
    cov = np.cov(ends.T, bias=True)
    goal = np.asarray(target.cov)
    assert found.tokens.cov_error == pytest.approx(np.linalg.norm(cov - goal) / np.linalg.norm(goal), rel=1e-5)


@pytest.mark.parametrize("far", [0.0, 1e6])
def test_tokens_close_together_keep_their_spread_far_from_the_origin_too(far, rng):
    """Without scores the tokens move affinely: the end of their sample covariance C is M C M^T."""
    start = af.Gaussian.from_factor(far * np.ones(3), 0.01 * rng.normal(size=(3, 3)))
    target = af.Gaussian.from_factor(-far * np.ones(3), 0.01 * rng.normal(size=(3, 3)))
    plan = af.steer(start, target)
    found = plan.replay(tokens=500, seed=4)
    points = np.random.default_rng(4).normal(size=(500, 3)) @ np.asarray(start.factor).T
    M, cov = plan.law.path.between(0.0, 1.0), np.asarray(target.cov)
    error = np.linalg.norm(M @ np.cov(points.T, bias=True) @ M.T - cov) / np.linalg.norm(cov)
    assert found.tokens.cov_error == pytest.approx(error, abs=1e-6)
    assert found.cov_error < 1e-9


def test_a_law_that_leaves_float64_is_told_without_numbers():
    one = np.ones((1, 1))
    law = Constant(Controls(0 * one, one, one, np.zeros(1)))
    start = af.Gaussian.from_factor(np.zeros(1), one)
    found = replay(law, start, start, 1.0, rtol=1e-10, tokens=10, seed=0)
    assert not found.complete
    assert found.time < 1.0
    assert (found.mean_error, found.cov_error, found.end, found.tokens) == (None, None, None, None)


def test_the_paper_construction_says_so_when_it_loses_its_target(rng):
    """From variances 1 to 1e-9: an error of 1e-13 made at the start stays as large, and weighs 1e9 times as much."""
    start = af.Gaussian.from_factor(np.ones(2), np.eye(2) + 0.3 * rng.normal(size=(2, 2)))
    small = af.Gaussian.from_factor(np.ones(2), 3e-5 * rng.normal(size=(2, 2)))
    lost = af.steer(start, small, method=af.PaperConstruction()).replay(tokens=0)
    assert not lost.complete or lost.cov_error > 1e-9
    assert af.steer(start, small).replay(tokens=0).cov_error < 1e-11
