"""Softmax attention over n tokens against sampled tokens, its limits, and a radial integral."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.stats import chi

from attnflow import BadInput, Gaussian, LowRank, SoftmaxAttention
from attnflow.measures.gaussian import Moments
from attnflow.moments.finite_n import expected_collision, expected_maximum
from attnflow.transformer.finite_softmax import FiniteSoftmaxAttention, normal_nodes
from oracles.quadrature import velocity_on_tokens

D = 3


def system(rng, *, size=0.6, rank=D):
    B, V, mean, factor = (rng.standard_normal(shape) for shape in ((D, D), (D, D), D, (D, rank)))
    biases = {"query_bias": 0.3 * rng.standard_normal(D), "value_bias": rng.standard_normal(D)}
    return {"B": size * B, "V": V} | biases, Gaussian(0.5 * mean, 0.7 * factor)


def outputs(rng, parameters, measure, x, n, draws, *, self_key):
    """Velocities at `x` for `draws` sets of tokens, brute force."""
    keys = measure.mean + rng.standard_normal((draws, n - self_key, measure.rank)) @ measure.factor.T
    if self_key:
        keys = np.concatenate([keys, np.broadcast_to(x, (draws, 1, D))], axis=1)
    logits = keys @ (parameters["B"] @ x + parameters["query_bias"])
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    averages = np.einsum("in,ind->id", weights / weights.sum(axis=1, keepdims=True), keys)
    return averages @ parameters["V"].T + parameters["value_bias"]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("rank", [D, 2])
@pytest.mark.parametrize("self_key", [True, False])
def test_the_conditional_mean_is_the_mean_over_sampled_tokens(rng, self_key, rank):
    parameters, measure = system(rng, size=1.0, rank=rank)
    n, x = 60, measure.mean + measure.factor @ rng.standard_normal(rank) + 0.2 * rng.standard_normal(D)
    found = FiniteSoftmaxAttention(**parameters, n=n, self_key=self_key).conditional_mean(x[None], measure)[0]
    samples = outputs(rng, parameters, measure, x, n, 40_000, self_key=self_key)
    z = (samples.mean(axis=0) - np.asarray(found)) / (samples.std(axis=0) / np.sqrt(len(samples)))
    assert np.all(np.abs(z) < 4)
    limit = SoftmaxAttention(**parameters).at_gaussian(measure)
    off = samples.mean(axis=0) - np.asarray(limit.linear() @ x + limit.offset)
    assert np.any(np.abs(off) > 8 * samples.std(axis=0) / np.sqrt(len(samples)))  # the mean field is not it


def test_on_tokens_it_is_plain_softmax(rng):
    parameters, _ = system(rng)
    tokens = rng.standard_normal((7, D))
    found = FiniteSoftmaxAttention(**parameters, n=7).velocity(tokens[:2], tokens)
    wanted = [velocity_on_tokens(points=tokens, x=x, **parameters) for x in tokens[:2]]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("self_key", [True, False])
def test_the_linearisation_is_the_average_gradient_and_value(rng, rank, self_key):
    parameters, measure = system(rng, rank=rank)
    layer = FiniteSoftmaxAttention(**parameters, n=50, self_key=self_key)
    found = layer.at_gaussian(measure)
    assert not found.exact
    x = np.asarray(measure.mean + rng.standard_normal((400, rank)) @ measure.factor.T)
    step = 1e-4
    mean_at = jax.jit(lambda points: layer.conditional_mean(points, measure))
    shifts = [mean_at(np.concatenate([x + step * e, x - step * e])) for e in np.eye(D)]
    slopes = np.stack([(shift[:400] - shift[400:]) / (2 * step) for shift in map(np.asarray, shifts)], axis=2)
    values = np.asarray(mean_at(x))
    G = np.asarray(found.linear())
    for samples, average in ((slopes, G), (values, G @ measure.mean + np.asarray(found.offset))):
        spread = samples.std(axis=0) / np.sqrt(len(samples)) + 1e-6
        assert np.all(np.abs(samples.mean(axis=0) - average) < 4.5 * spread)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_a_rotated_identity_is_a_radial_integral(rng, dim, beta):
    n, rotation = 100, np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    measure = Gaussian(np.zeros(dim), np.eye(dim))
    layer = FiniteSoftmaxAttention(beta * rotation, 1.0, n, self_key=False)
    radial = lambda r: chi.pdf(r, dim) * r**2 * (1 - float(expected_collision(beta * r, n)))  # noqa: E731
    size = beta / dim * quad(radial, 0, 12, epsabs=1e-8, limit=200)[0]
    tolerance = 1e-5 if dim <= 2 else 2e-3
    np.testing.assert_allclose(layer.at_gaussian(measure).linear(), size * rotation, atol=tolerance * size)
    assert layer.linearisation_error(measure) < (1e-5 if dim <= 2 else 5e-3)


@pytest.mark.usefixtures("x64")
def test_many_tokens_are_the_mean_field(rng):
    parameters, measure = system(rng, size=0.4)
    wanted = SoftmaxAttention(**parameters).at_gaussian(measure)
    errors = []
    for n in (10**2, 10**4, 10**6):
        found = FiniteSoftmaxAttention(**parameters, n=n).at_gaussian(measure)
        errors.append(
            float(np.abs(found.linear() - wanted.linear()).max() + np.abs(found.offset - wanted.offset).max())
        )
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 2e-3


@pytest.mark.usefixtures("x64")
def test_huge_logits_pick_the_farthest_key(rng):
    parameters, measure = system(rng)
    layer = FiniteSoftmaxAttention(500 * parameters["B"], parameters["V"], 64, self_key=False)
    x = rng.standard_normal(D)
    xi = parameters["B"] @ x
    far = measure.cov @ xi / np.linalg.norm(measure.factor.T @ xi)
    wanted = parameters["V"] @ (measure.mean + float(expected_maximum(64)) * far)
    np.testing.assert_allclose(layer.conditional_mean(x[None], measure)[0], wanted, rtol=2e-2)


@pytest.mark.usefixtures("x64")
def test_a_lone_token_sees_itself(rng):
    parameters, measure = system(rng)
    found = FiniteSoftmaxAttention(**parameters, n=1).at_gaussian(measure)
    np.testing.assert_allclose(found.linear(), parameters["V"], atol=1e-10)
    np.testing.assert_allclose(found.offset, parameters["value_bias"], atol=1e-10)


@pytest.mark.usefixtures("x64")
def test_the_noise_is_what_sampled_tokens_scatter(rng):
    parameters, measure = system(rng)
    parameters |= {"V": np.eye(D), "value_bias": np.zeros(D)}
    n, total = 40, np.zeros((D, D))
    queries = measure.sample(200, key=jax.random.key(0))
    for x in np.asarray(queries):
        pull = measure.factor.T @ (parameters["B"] @ x + parameters["query_bias"])
        across = np.eye(D) - np.outer(pull, pull) / (pull @ pull)
        outside = measure.factor @ across @ np.linalg.inv(measure.factor)
        total += np.cov((outputs(rng, parameters, measure, x, n, 400, self_key=False) @ outside.T).T) / 200
    found = FiniteSoftmaxAttention(**parameters, n=n, self_key=False).noise(measure)
    np.testing.assert_allclose(found, total, atol=0.1 * np.abs(total).max())


@pytest.mark.usefixtures("x64")
def test_moments_scalars_and_low_rank_parameters_mean_the_same(rng):
    parameters, measure = system(rng)
    square = Gaussian(measure.mean, np.linalg.cholesky(measure.cov))
    left, right = rng.standard_normal((D, 1)), rng.standard_normal((1, D))
    dense = FiniteSoftmaxAttention(left @ right, left @ right, 30)
    thin = FiniteSoftmaxAttention(LowRank(left, right), LowRank(left, right), 30)
    wanted = dense.at_gaussian(square)
    for found in (thin.at_gaussian(square), dense.at_gaussian(Moments(square.mean, square.cov))):
        np.testing.assert_allclose(found.linear(), wanted.linear(), atol=1e-10)
        np.testing.assert_allclose(found.offset, wanted.offset, atol=1e-10)
    scalars = FiniteSoftmaxAttention(0.4, -1.0, 30).at_gaussian(square)
    matrices = FiniteSoftmaxAttention(0.4 * np.eye(D), -np.eye(D), 30).at_gaussian(square)
    np.testing.assert_allclose(scalars.linear(), matrices.linear(), atol=1e-12)


def test_the_table_is_double_even_when_it_is_first_needed_inside_jit(rng):
    parameters, measure = system(rng)
    layer = FiniteSoftmaxAttention(**parameters, n=77)
    single = jax.jit(lambda mean: layer.at_gaussian(Gaussian(mean, measure.factor)).linear())(measure.mean)
    with jax.enable_x64(True):
        wanted = layer.at_gaussian(measure).linear()
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, wanted, atol=2e-4)


@pytest.mark.usefixtures("x64")
def test_it_flows_beside_the_mean_field(rng):
    parameters, measure = system(rng, size=0.3)
    parameters |= {"V": -np.eye(D)}

    def end(layer):
        @jax.jit
        def field(state):
            affine = layer.at_gaussian(Gaussian(state[:, 0], state[:, 1:]))
            return (affine.linear() @ state).at[:, 0].add(affine.offset)

        begin = np.concatenate([measure.mean[:, None], measure.factor], axis=1)
        rhs = lambda _, y: np.asarray(field(y.reshape(begin.shape))).ravel()  # noqa: E731
        factor = solve_ivp(rhs, (0, 0.5), begin.ravel(), rtol=1e-6).y[:, -1].reshape(begin.shape)[:, 1:]
        return factor @ factor.T

    limit = end(SoftmaxAttention(**parameters))
    few, many = (end(FiniteSoftmaxAttention(**parameters, n=n)) - limit for n in (50, 10**6))
    assert np.linalg.norm(many) < 1e-3 * np.linalg.norm(limit) < np.linalg.norm(few) < 0.5 * np.linalg.norm(limit)


@pytest.mark.usefixtures("x64")
def test_gradients_of_the_linearisation_are_differences(rng):
    parameters, measure = system(rng)

    def size(scale):
        layer = FiniteSoftmaxAttention(scale * parameters["B"], parameters["V"], 200)
        return jnp.sum(jnp.sin(layer.at_gaussian(measure).linear()))

    slope, step = jax.grad(size)(jnp.asarray(1.0)), 1e-5
    assert slope == pytest.approx(float(size(1 + step) - size(1 - step)) / (2 * step), rel=1e-4)


def test_nodes_have_the_moments_of_a_standard_normal_vector():
    for rank in (1, 2, 6):
        for which in (0, 1):
            z, weights = normal_nodes(rank, which)
            np.testing.assert_allclose(weights @ z, 0, atol=1e-13)
            np.testing.assert_allclose(z.T @ (weights[:, None] * z), np.eye(rank), atol=1e-12)
    assert np.abs(normal_nodes(6, 0)[0] - normal_nodes(6, 1)[0]).max() > 1


@pytest.mark.parametrize("n", [0, -3, 2.5, np.nan])
def test_a_number_of_keys_that_is_none_is_named(n):
    with pytest.raises(BadInput, match="`n` must be"):
        FiniteSoftmaxAttention(1.0, 1.0, n)
