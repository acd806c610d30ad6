"""Energies along attention flows: monotone under the stated symmetry, at the stated rate, and not without it.

Gaussian flows are integrated from the moment equations written out, tokens by a brute-force system of equations.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import logsumexp

import attnflow as af
from attnflow.measures.tokens import Tokens
from attnflow.transformer import energies as en
from attnflow.transformer.l2 import L2Attention
from attnflow.transformer.linear import LinearAttention
from attnflow.transformer.sinkhorn import SinkhornAttention

pytestmark = pytest.mark.usefixtures("x64")
D, TAU, EPS = 3, 1.3, 0.8
TIMES = np.linspace(0.0, 0.4, 33)


def draw(seed: int, *, rank: int = D):
    """B symmetric and indefinite, S positive semidefinite of rank 2, K (2, d), and a Gaussian."""
    rng = np.random.default_rng(seed)
    B, G, K, mean, factor = (rng.standard_normal(shape) for shape in ((D, D), (D, 2), (2, D), D, (D, rank)))
    return 0.15 * (B + B.T), 0.5 * G @ G.T, 0.6 * K, af.Gaussian(0.4 * mean, 0.6 * factor), rng


def gaussian_flow(layer, start, times=TIMES):
    """SciPy on mean and factor."""
    shape = (start.dim, 1 + start.rank)

    @jax.jit
    def field(state):
        affine = layer.at_gaussian(af.Gaussian(state[:, 0], state[:, 1:]))
        return (affine.linear() @ state).at[:, 0].add(affine.offset)

    rhs = lambda _, y: np.asarray(field(y.reshape(shape))).ravel()  # noqa: E731
    begin = np.concatenate([start.mean[:, None], start.factor], axis=1).ravel()
    found = solve_ivp(rhs, (0, times[-1]), begin, "DOP853", times, rtol=1e-10, atol=1e-12)
    assert found.y.shape[1] == len(times)
    return [af.Gaussian(y.reshape(shape)[:, 0], y.reshape(shape)[:, 1:]) for y in found.y.T]


def token_flow(field, tokens, times=TIMES):
    """SciPy on the n d coordinates; `field` maps (n, d) to (n, d) with NumPy only."""
    rhs = lambda _, x: field(x.reshape(tokens.shape)).ravel()  # noqa: E731
    found = solve_ivp(rhs, (0, times[-1]), tokens.ravel(), "DOP853", times, rtol=1e-10, atol=1e-12)
    return [Tokens(x.reshape(tokens.shape)) for x in found.y.T]


def softmax_field(B, V):
    def field(x):
        logits = x @ B.T @ x.T
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True) @ x @ V.T

    return field


def sinkhorn_field(B, V, epsilon):
    def field(x):
        affinity, f = x @ B.T @ x.T / epsilon, np.zeros(len(x))
        for _ in range(400):
            g = np.log(len(x)) - logsumexp(affinity + f[:, None], axis=0)
            f = np.log(len(x)) - logsumexp(affinity + g, axis=1)
        return np.exp(affinity + f[:, None] + g) / len(x) @ x @ V.T

    return field


def assert_monotone_at_the_rate(path, energy, rate, sign, times=TIMES):
    """The differences have the sign, and are the integrals of the rate (Simpson's rule over pairs of steps)."""
    values, rates = (np.array([f(state) for state in path]) for f in map(jax.jit, (energy, rate)))
    assert np.all(sign * np.diff(values) > 0)
    assert np.all(sign * rates >= 0)
    h = times[1] - times[0]
    simpson = h / 3 * (rates[:-2:2] + 4 * rates[1:-1:2] + rates[2::2])
    np.testing.assert_allclose(values[2::2] - values[:-2:2], simpson, rtol=1e-4)


@pytest.mark.parametrize("rank", [D, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_softmax_with_V_equal_SB_climbs_the_interaction_energy_at_a_gaussian(rank, sign):
    B, S, _, start, _ = draw(3, rank=rank)
    times = TIMES / 4  # the energy leaves its domain soon
    path = gaussian_flow(af.SoftmaxAttention(B=B, V=sign * S @ B), start, times)
    assert_monotone_at_the_rate(
        path, lambda m: en.softmax_energy(m, B), lambda m: sign * en.softmax_energy_rate(m, B, S), sign, times
    )
    assert_monotone_at_the_rate(
        path, lambda m: en.quadratic_energy(m, B), lambda m: sign * en.quadratic_energy_rate(m, B, S), sign, times
    )


def test_softmax_with_V_equal_SB_climbs_the_interaction_energy_on_tokens():
    B, S, _, _, rng = draw(4)
    path = token_flow(softmax_field(B, S @ B), rng.standard_normal((12, D)))
    assert_monotone_at_the_rate(path, lambda m: en.softmax_energy(m, B), lambda m: en.softmax_energy_rate(m, B, S), 1)


def test_softmax_with_another_V_may_descend_and_climb():
    """B symmetric, but V = I is not S B as B is indefinite: the energy moves either way."""
    B = np.diag([0.6, -0.5])
    steps = []
    for axis in (0, 1):
        tokens = np.random.default_rng(5).standard_normal((10, 2)) * np.where(np.arange(2) == axis, 1.0, 0.1)
        tokens[:, axis] += 0.5
        path = token_flow(softmax_field(B, np.eye(2)), tokens)
        steps.append(float(en.softmax_energy(path[-1], B) - en.softmax_energy(path[0], B)))
    assert steps[1] < 0 < steps[0]


@pytest.mark.parametrize("rank", [D, 2])
def test_softmax_with_V_a_multiple_of_the_identity_climbs_the_trace_energy_for_any_B(rank):
    *_, start, rng = draw(6, rank=rank)
    B = 0.4 * rng.standard_normal((D, D))
    path = gaussian_flow(af.SoftmaxAttention(B=B, V=0.7), start)
    assert_monotone_at_the_rate(path, lambda m: en.trace_energy(m, B), lambda m: en.trace_energy_rate(m, B, 0.7), 1)


def test_the_trace_energy_may_fall_when_V_is_no_multiple_of_the_identity():
    B, cov = np.array([[1.0, 0.9], [0.9, 1.0]]), np.diag([1.0, 0.04])
    start = af.Gaussian.from_moments(np.zeros(2), cov)
    path = gaussian_flow(af.SoftmaxAttention(B=B, V=np.diag([-0.1, 1.0]) * 0.5), start, np.array([0.0, 0.05]))
    assert en.trace_energy(path[1], B) < en.trace_energy(path[0], B)


@pytest.mark.parametrize("rank", [D, 2])
def test_l2_with_equal_queries_and_keys_climbs_its_energy_mean_included(rank):
    _, S, K, start, _ = draw(7, rank=rank)
    P = 2 / TAU * K.T @ K
    path = gaussian_flow(L2Attention(Q=K, K=K, V=S @ P, temperature=TAU), start)
    assert_monotone_at_the_rate(path, lambda m: en.l2_energy(m, K, TAU), lambda m: en.l2_energy_rate(m, K, TAU, S), 1)


def test_the_l2_energy_falls_with_opposite_queries():
    _, S, K, start, _ = draw(7)
    start = af.Gaussian(np.zeros(D), start.factor)
    path = gaussian_flow(L2Attention(Q=-K, K=K, V=S @ (2 / TAU * K.T @ K), temperature=TAU), start)
    assert np.all(np.diff([float(en.l2_energy(m, K, TAU)) for m in path]) < 0)


@pytest.mark.parametrize("rank", [D, 2])
def test_sinkhorn_with_V_equal_SB_descends_the_entropic_cost_at_a_gaussian(rank):
    B, S, _, start, _ = draw(8, rank=rank)
    path = gaussian_flow(SinkhornAttention(B=B, V=S @ B, epsilon=EPS), start)
    assert_monotone_at_the_rate(
        path, lambda m: en.sinkhorn_energy(m, B, EPS), lambda m: en.sinkhorn_energy_rate(m, B, EPS, S), -1
    )


@pytest.mark.parametrize("metric", ["identity", "S"])
def test_sinkhorn_with_V_equal_SB_descends_the_entropic_cost_on_tokens(metric):
    B, S, _, _, rng = draw(9)
    S = np.eye(D) if metric == "identity" else S
    path = token_flow(sinkhorn_field(B, S @ B, EPS), rng.standard_normal((10, D)))
    assert_monotone_at_the_rate(
        path, lambda m: en.sinkhorn_energy(m, B, EPS), lambda m: en.sinkhorn_energy_rate(m, B, EPS, S), -1
    )


def test_the_sinkhorn_energy_may_grow_with_another_V():
    B, _, _, _, rng = draw(9)
    path = token_flow(sinkhorn_field(B, -B, EPS), rng.standard_normal((10, D)))
    assert en.sinkhorn_energy(path[-1], B, EPS) > en.sinkhorn_energy(path[0], B, EPS)


def test_sinkhorn_tokens_move_down_the_gradient_of_the_entropic_cost():
    B, _, _, _, rng = draw(10)
    x = rng.standard_normal((8, D))
    gradient = jax.grad(lambda points: en.sinkhorn_energy(Tokens(points), B, EPS))(jax.numpy.asarray(x))
    np.testing.assert_allclose(-8 * gradient, sinkhorn_field(B, B, EPS)(x), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", ["gaussian", "tokens"])
def test_linear_attention_with_V_equal_SB_climbs_its_energy(kind):
    B, S, _, start, rng = draw(11)
    if kind == "gaussian":
        path = gaussian_flow(LinearAttention(B=B, V=S @ B), start)
    else:
        path = token_flow(lambda x: x @ B @ (x.T @ x / len(x)) @ (S @ B).T, rng.standard_normal((9, D)))
    assert_monotone_at_the_rate(path, lambda m: en.linear_energy(m, B), lambda m: en.linear_energy_rate(m, B, S), 1)


def test_the_energies_of_a_gaussian_are_averages_over_pairs(rng):
    _, _, _, measure, _ = draw(12)
    B = 0.25 * rng.standard_normal((D, D))
    x, y = (measure.mean + rng.standard_normal((400_000, D)) @ measure.factor.T for _ in range(2))
    logits = np.sum(y * (x @ B.T), axis=1)
    for samples, value in (
        (0.5 * np.exp(logits), en.softmax_energy(measure, B)),
        (0.25 * logits**2, en.linear_energy(measure, B)),
    ):
        assert abs(samples.mean() - value) < 4 * samples.std() / np.sqrt(len(samples))


def test_golden_energies():
    measure = af.Gaussian.from_moments(np.zeros(2), [[0.6, 0.2], [0.2, 0.3]])
    B, K = np.array([[0.5, -0.3], [-0.3, 0.2]]), np.array([[0.5, 0.3], [-0.4, 0.7]])
    assert en.sinkhorn_energy(measure, B, 0.8) == pytest.approx(-0.016465050336766675, rel=1e-12)
    assert en.l2_energy(measure, K, 1.3) == pytest.approx(0.035926560990946245, rel=1e-12)


def test_the_sinkhorn_gradient_is_minus_half_the_golden_field():
    cov = np.array([[0.6, 0.2], [0.2, 0.3]])
    B = np.array([[0.5, -0.3], [-0.3, 0.2]])
    golden = np.array([[0.13550661831019878, -0.08107281720733929], [-0.08107281720733929, 0.048654956633359905]])

    def energy(factor):
        return en.sinkhorn_energy(af.Gaussian(np.zeros(2), factor), B, 0.8)

    factor = np.linalg.cholesky(cov)
    gradient = jax.grad(energy)(jax.numpy.asarray(factor))  # d/dL = 2 F_Sigma L = -G L
    np.testing.assert_allclose(gradient, -golden @ factor, rtol=1e-9)


def test_the_interaction_energy_is_infinite_beyond_its_domain():
    wide = af.Gaussian(np.zeros(2), 2 * np.eye(2))
    assert np.isinf(en.softmax_energy(wide, np.diag([0.3, 0.1])))
    assert en.sinkhorn_energy(af.Gaussian(np.ones(2), np.zeros((2, 0))), np.eye(2)) == pytest.approx(-1.0)
