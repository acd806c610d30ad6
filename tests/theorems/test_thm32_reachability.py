"""Theorem 3.2: a Gaussian reaches every Gaussian of the same rank at time T. Its feedback B = cov^+ is not needed.

With A = -V - V cov B the covariance obeys cov' = -V cov - cov V^T for every B; constant V = -X / T, A = X / T, B = 0
with e^X cov(0) e^{X^T} = target are enough. Dropped: the same rank, which no parameters change (Lemma 3.1).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import logm, sqrtm

import attnflow as af

START = np.array([[1.0, 0.5, 0.0], [0.5, 0.75, -0.25], [0.0, -0.25, 0.5]])
TARGET = np.array([[0.5, -0.25, 0.125], [-0.25, 2.0, 0.5], [0.125, 0.5, 1.0]])
MEAN, GOAL, END = np.array([1.0, -1.0, 0.5]), np.array([0.0, 2.0, -1.0]), 2.0


def _map() -> np.ndarray:
    """The optimal transport map between the two covariances: symmetric positive definite."""
    root = np.real(sqrtm(START))
    back = np.linalg.inv(root)
    return back @ np.real(sqrtm(root @ TARGET @ root)) @ back


def _steer(B, cov) -> af.Run:
    """V = -log(map) / T and A(t) = -V - V cov(t) B with cov(t) = e^{-Vt} cov e^{-Vt}: constant if B = 0."""
    X = np.real(logm(_map())) / END
    values, Q = np.linalg.eigh(X)

    def layer(t):
        flow = (Q * jnp.exp(values * t)) @ Q.T
        A = X + X @ (flow @ cov @ flow) @ B
        head = af.SoftmaxAttention(B=B, V=-X)
        return af.Transformer(attention=head, feedforward=af.Affine(A=A, b=(GOAL - MEAN) / END))

    with jax.enable_x64(True):
        model = af.Depth.function(layer) if np.any(B) else layer(0.0)
    return af.simulate(model, af.Gaussian.from_moments(MEAN, cov), ts=[0.5 * END, END], rtol=1e-10)


def test_constant_parameters_without_attention_scores_reach_the_target():
    run = _steer(np.zeros((3, 3)), START)
    np.testing.assert_allclose(run.cov[-1], TARGET, atol=1e-9)
    np.testing.assert_allclose(run.mean[-1], GOAL, atol=1e-9)


def test_the_scores_do_not_matter_as_long_as_A_takes_them_back():
    B = np.array([[0.5, -1.0, 0.0], [0.25, 0.0, 1.0], [-0.5, 0.75, 0.25]])
    run = _steer(B, START)
    np.testing.assert_allclose(run.cov[-1], TARGET, atol=1e-7)
    np.testing.assert_allclose(run.mean[-1], GOAL, atol=1e-7)


def test_dropped_hypothesis_a_start_of_lower_rank_does_not_get_there():
    factor = np.linalg.cholesky(START)[:, :2]
    run = _steer(np.zeros((3, 3)), factor @ factor.T)
    assert run.numerical_rank.tolist() == [2, 2]
    assert np.linalg.norm(run.cov[-1] - TARGET) > 0.1
