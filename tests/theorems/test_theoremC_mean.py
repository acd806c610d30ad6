"""The mean for V = eta I: closed forms where A is a multiple of the identity, limits under detectability.

For A = a I, B symmetric and b = 0, with n(t) = (e^{2at} - 1) / (2a) and S = 2 eta B,

    mean(t) = e^{(a + eta) t} (I - n(t) cov(0) S)^{-1/2} mean(0)   (principal root).

For a general A the candidate e^{(A + eta I) t} (I - cov(0) N(t))^{-1/2} mean(0) is wrong.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm, sqrtm
from test_theoremB_closed_form import _weights

import attnflow as af
from oracles.replay import replay_moments

COV = np.array([[0.75, 0.25, 0.0], [0.25, 0.5, -0.125], [0.0, -0.125, 0.4]])
B = np.array([[0.5, 0.25, 0.0], [0.25, 0.75, -0.5], [0.0, -0.5, 1.0]])
MEAN = np.array([1.0, -0.5, 0.25])


def _run(A, B, eta, *, b=None, mean=MEAN, cov=COV, ts=(0.25, 1.0), **options) -> af.Run:
    model = af.Transformer(attention=af.SoftmaxAttention(B=B, V=eta), feedforward=af.Affine(A=A, b=b))
    return af.simulate(model, af.Gaussian.from_moments(mean, cov), ts=ts, **options)


def _candidate(A, B, eta, t) -> np.ndarray:
    N = _weights(A, eta * (B + B.T), t)
    root = np.real(sqrtm(np.eye(len(A)) - COV @ N))
    return np.exp(eta * t) * expm(A * t) @ np.linalg.solve(root, MEAN)


@pytest.mark.parametrize("a", [-0.75, 0.0, 0.5])
@pytest.mark.parametrize("eta", [-1.0, 0.125])
def test_the_mean_is_the_formula_when_A_is_a_multiple_of_the_identity(a, eta):
    run = _run(a * np.eye(3), B, eta, rtol=1e-10)
    assert run.mean_engine == "closed_form"
    for t, mean in zip(run.ts, run.mean, strict=True):
        np.testing.assert_allclose(mean, _candidate(a * np.eye(3), B, eta, t), rtol=1e-9)


def test_the_formula_is_what_an_integration_gives():
    run = _run(0.5 * np.eye(3), B, -1.0, rtol=1e-10, engine="factor_ode")
    assert run.mean_engine == "integrated"
    np.testing.assert_allclose(run.mean[-1], _candidate(0.5 * np.eye(3), B, -1.0, 1.0), rtol=1e-7)


@pytest.mark.parametrize(
    ("A", "B"),
    [
        pytest.param(np.array([[0.5, 2.0, 0.0], [-1.0, -0.5, 1.0], [0.0, 1.5, 0.25]]), B, id="A_does_not_commute"),
        pytest.param(
            0.5 * np.eye(3), B + np.array([[0.0, 2.0, -1.0], [-2.0, 0.0, 1.0], [1.0, -1.0, 0.0]]), id="B_not_symmetric"
        ),
    ],
)
def test_dropped_hypotheses_break_the_formula_and_the_mean_is_integrated(A, B):
    run = _run(A, B, -1.0, rtol=1e-10)
    assert run.mean_engine == "integrated"
    heads = [(B, -np.eye(3), None, None)]
    means, _ = replay_moments((A, np.zeros(3), heads), MEAN, np.linalg.cholesky(COV), run.ts)
    np.testing.assert_allclose(run.mean, means, rtol=1e-7, atol=1e-9)
    wrong = _candidate(A, B, -1.0, run.ts[-1])
    assert np.linalg.norm(wrong - means[-1]) > 5e-3 * np.linalg.norm(means[-1])


DETECTABLE = np.array([[0.5, 1.0, 0.0], [-0.5, 0.25, 0.5], [0.0, 0.0, -0.75]])
SKEW = np.array([[0.0, 0.5, 0.0], [-0.5, 0.0, 0.25], [0.0, -0.25, 0.0]])


def test_the_mean_has_the_limit_of_the_theorem_for_a_negative_value():
    """eta < 0, S < 0, cov(0) > 0: mean -> -(A + eta cov_inf B + eta I)^{-1} b from every start."""
    definite, b = np.eye(3) + 0.25 * B + SKEW, np.array([1.0, -2.0, 0.5])
    for start in (MEAN, 50 * MEAN[::-1]):
        run = _run(DETECTABLE, definite, -1.0, b=b, mean=start, ts=[50.0, 100.0], rtol=1e-10)
        M = DETECTABLE - run.cov[-1] @ definite
        np.testing.assert_allclose(run.mean[-1], -np.linalg.solve(M - np.eye(3), b), rtol=1e-7)
        assert run.numerical_rank[-1] == 2, "the stable direction has died out"


def test_dropped_hypothesis_an_unobservable_unstable_mode_lets_the_mean_escape():
    """B = 0, A = 2, eta = -1: mean' = mean + b, although eta < 0."""
    run = _run(np.array([[2.0]]), np.zeros((1, 1)), -1.0, b=[1.0], mean=[1.0], cov=[[1.0]], ts=[5.0, 10.0])
    np.testing.assert_allclose(run.mean[-1], 2 * np.exp(10.0) - 1, rtol=1e-6)


def test_dropped_hypothesis_a_start_without_the_unstable_direction_lets_the_mean_escape():
    """cov(0) = 0, A = 2, eta = -1, B = 1: nothing holds the mean back, mean = e^t - 1."""
    run = _run(np.array([[2.0]]), np.ones((1, 1)), -1.0, b=[1.0], mean=[0.0], cov=[[0.0]], ts=[5.0, 10.0])
    assert run.rank == 0
    np.testing.assert_allclose(run.mean[-1], np.expm1(10.0), rtol=1e-6)


def test_dropped_hypothesis_a_value_matrix_lets_the_mean_diverge_at_a_stable_covariance():
    """[[2/15, 1/5], [1/5, 7/15]] is stable, yet there A + V + V cov B has the eigenvalue -3 + sqrt(88)/3 > 0."""
    A, V = np.array([[2.0, -1.0], [3.0, 3.0]]), -np.diag([1.0, 5.0])
    scores, limit = np.array([[3.0, -2.0], [-2.0, 3.0]]), np.array([[2 / 15, 1 / 5], [1 / 5, 7 / 15]])
    run = _run(A, scores, V, mean=[1.0, 1.0], cov=limit + 0.01 * np.eye(2), ts=[40.0, 60.0], rtol=1e-10)
    np.testing.assert_allclose(run.cov[-1], limit, atol=1e-6)
    growth = np.log(np.linalg.norm(run.mean[1]) / np.linalg.norm(run.mean[0])) / 20.0
    assert growth == pytest.approx(-3 + np.sqrt(88) / 3, rel=1e-4)
