"""Proposition 2.1: softmax attention at a Gaussian is the affine map x -> V (mean + cov B x): Gaussians stay Gaussian.

The conclusion is measured with the softmax average itself (Gauss-Hermite sums, loops over tokens). B is never
symmetric: the weight of key y at query x is exp(y^T B x), and a transposed B must be noticed.
"""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af
from oracles.quadrature import velocity_at_gaussian, velocity_on_tokens

SIZES = [(1, 1), (2, 2), (2, 1), (3, 3), (3, 2), (3, 1)]


def _draw(rng, d: int, r: int):
    B, V = rng.standard_normal((2, d, d))
    mean, q, c, x = rng.standard_normal((4, d))
    return B / d, V, mean, 0.7 * rng.standard_normal((d, r)), 0.5 * q, c, x


@pytest.mark.parametrize("biased", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize(("d", "r"), SIZES)
def test_the_velocity_at_a_gaussian_is_the_softmax_average(d, r, biased, rng, x64):
    B, V, mean, factor, q, c, x = _draw(rng, d, r)
    biases = dict(query_bias=q, value_bias=c) if biased else {}
    map_ = af.SoftmaxAttention(B=B, V=V, **biases).at_gaussian(af.Gaussian.from_factor(mean, factor))
    velocity = np.asarray(map_.linear()) @ x + np.asarray(map_.offset)
    expected = velocity_at_gaussian(B, V, mean, factor, x, nodes=60, **biases)
    np.testing.assert_allclose(velocity, expected, rtol=1e-10, atol=1e-12)
    assert map_.exact


def test_factors_of_low_rank_for_the_scores_give_the_same_velocity(rng, x64):
    d, k = 3, 2
    Q, K, V = rng.standard_normal((k, d)), rng.standard_normal((k, d)), rng.standard_normal((d, d))
    query_bias, mean, factor, x = (
        rng.standard_normal(k),
        np.ones(d),
        0.6 * rng.standard_normal((d, d)),
        rng.uniform(-1, 1, d),
    )
    head = af.SoftmaxAttention.from_qk(Q, K, V, query_bias=query_bias)
    map_ = head.at_gaussian(af.Gaussian.from_factor(mean, factor))
    # logit of key y at query x: (Q x + bias) . (K y) / sqrt(k)
    scores = dict(query_bias=K.T @ query_bias / np.sqrt(k))
    expected = velocity_at_gaussian(K.T @ Q / np.sqrt(k), V, mean, factor, x, nodes=60, **scores)
    np.testing.assert_allclose(np.asarray(map_.linear()) @ x + np.asarray(map_.offset), expected, rtol=1e-9)


def test_the_velocity_on_tokens_is_the_softmax_average(rng, x64):
    B, V, _, _, q, c, x = _draw(rng, 3, 3)
    tokens = rng.standard_normal((7, 3))
    head = af.SoftmaxAttention(B=B, V=V, query_bias=q, value_bias=c)
    expected = velocity_on_tokens(B, V, tokens, x, query_bias=q, value_bias=c)
    np.testing.assert_allclose(np.asarray(head.velocity(x[None], tokens))[0], expected, rtol=1e-12)
    transposed = velocity_on_tokens(B.T, V, tokens, x, query_bias=q, value_bias=c)
    assert np.linalg.norm(transposed - expected) > 1e-2, "this case cannot tell B from its transpose"


def _rates(B, V, A, b, mean, factor, nodes: int = 5):
    """(mean', cov') = (E G, E[G (x - mean)^T] + transpose), both averages by quadrature: no formula for Gaussians."""
    d, r = factor.shape
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack([g.ravel() for g in np.meshgrid(*[z] * r, indexing="ij")], -1)
    weight = np.prod(np.stack([g.ravel() for g in np.meshgrid(*[w] * r, indexing="ij")], -1), -1)
    queries = mean + grid @ factor.T
    field = np.array([velocity_at_gaussian(B, V, mean, factor, x, nodes=32) + A @ x + b for x in queries])
    weight = weight / weight.sum()
    cross = (weight[:, None] * field).T @ (queries - mean)
    return weight @ field, cross + cross.T


def test_the_moments_flow_as_the_particles_of_the_mean_field_do():
    rng = np.random.default_rng(21)
    B, V, A = 0.4 * rng.standard_normal((3, 2, 2))
    b, mean, cov = np.array([0.3, -0.2]), np.array([0.5, 0.25]), np.array([[0.75, 0.25], [0.25, 0.5]])
    run = af.simulate(
        af.Transformer(attention=af.SoftmaxAttention(B=B, V=V), feedforward=af.Affine(A=A, b=b)),
        af.Gaussian.from_moments(mean, cov),
        ts=[0.25, 0.5],
        rtol=1e-10,
    )
    steps, h = 16, 0.5 / 16
    state = np.concatenate([mean, cov.ravel()])

    def rhs(y):
        m, S = y[:2], y[2:].reshape(2, 2)
        drift, spread = _rates(B, V, A, b, m, np.linalg.cholesky(S))
        return np.concatenate([drift, spread.ravel()])

    for _ in range(steps):  # the classical Runge-Kutta method of order 4
        k1 = rhs(state)
        k2 = rhs(state + h / 2 * k1)
        k3 = rhs(state + h / 2 * k2)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + rhs(state + h * k3))
    np.testing.assert_allclose(run.mean[-1], state[:2], rtol=1e-6)
    np.testing.assert_allclose(run.cov[-1], state[2:].reshape(2, 2), rtol=1e-6)


def test_dropped_hypothesis_the_velocity_is_not_affine_when_the_measure_is_not_gaussian():
    """Second differences in x vanish for a Gaussian, not for two equal masses with its mean and covariance."""
    B, V = np.array([[1.0, 0.5], [-0.25, 0.75]]), np.array([[1.0, -0.5], [0.25, 2.0]])
    x, step, column = np.array([0.2, -0.1]), np.array([0.4, 0.3]), np.array([[1.5], [-0.5]])

    def gaussian(q):
        return velocity_at_gaussian(B, V, np.zeros(2), column, q)

    def two_masses(q):
        return velocity_on_tokens(B, V, [column[:, 0], -column[:, 0]], q)

    bend = [np.linalg.norm(f(x + step) - 2 * f(x) + f(x - step)) for f in (gaussian, two_masses)]
    assert bend[0] < 1e-12
    assert bend[1] > 1e-2
