"""The two-layer feed-forward as a velocity: on tokens, at a Gaussian, along the flow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import attnflow as af
from attnflow.measures.gaussian import Moments
from attnflow.moments.by_quadrature import Tanh
from attnflow.moments.error_function import GELU
from attnflow.transformer.mlp import MLP

D, HIDDEN = 2, 5


def network(rng) -> dict:
    draw = rng.standard_normal
    return {"W1": draw((HIDDEN, D)), "b1": draw(HIDDEN), "W2": draw((D, HIDDEN)) / 3, "b2": draw(D)}


def tanh_network(p: dict, x: np.ndarray) -> np.ndarray:
    return np.tanh(x @ p["W1"].T + p["b1"]) @ p["W2"].T + p["b2"]


def averages(function, mean, factor, nodes: int = 401):
    """E f and Cov(f, x) by the trapezoidal rule in the range of a factor with two columns."""
    t = np.linspace(-9.0, 9.0, nodes)
    w = np.exp(-0.5 * t**2) / np.exp(-0.5 * t**2).sum()
    z, w = np.stack(np.meshgrid(t, t, indexing="ij"), -1).reshape(-1, 2), np.outer(w, w).ravel()
    x = mean + z @ factor.T
    y = function(x)
    return w @ y, ((y - w @ y).T * w) @ (x - mean)


def test_on_tokens_it_is_the_network(rng, x64):
    p, points = network(rng), rng.standard_normal((6, D))
    found = MLP(activation=Tanh(), **p).velocity(points, points[:1])
    np.testing.assert_allclose(found, tanh_network(p, points), rtol=1e-13)


def test_without_biases_they_are_zero(rng, x64):
    p, points = network(rng) | {"b1": np.zeros(HIDDEN), "b2": np.zeros(D)}, rng.standard_normal((6, D))
    layer = MLP(p["W1"], p["W2"], Tanh())
    np.testing.assert_allclose(layer.velocity(points, points), tanh_network(p, points), rtol=1e-13)
    start = af.Gaussian(points[0], np.eye(D))
    one, two = layer.at_gaussian(start), MLP(activation=Tanh(), **p).at_gaussian(start)
    np.testing.assert_allclose(one.offset, two.offset, rtol=1e-14)


def test_at_a_gaussian_it_has_the_mean_and_the_correlation_of_the_velocity(rng, x64):
    p, mean, factor = network(rng), rng.standard_normal(D), rng.standard_normal((D, 2))
    layer = MLP(activation=Tanh(), **p)
    value, cross = averages(lambda x: tanh_network(p, x), mean, factor)
    for measure in (af.Gaussian(mean, factor), Moments(mean, factor @ factor.T)):
        affine = layer.at_gaussian(measure)
        assert not affine.exact
        np.testing.assert_allclose(affine.linear() @ mean + affine.offset, value, rtol=1e-11)
        np.testing.assert_allclose(affine.linear() @ factor @ factor.T, cross, rtol=1e-9, atol=1e-11)


def test_the_closure_is_the_rate_of_the_moments_along_the_flow(rng):
    """SciPy integrates mean' = E v, cov' = Cov(v, x) + transpose, both by sums over the network itself."""
    p = network(rng)
    mean, factor = np.array([0.4, -0.2]), np.array([[0.7, 0.0], [0.2, 0.5]])

    def rate(_, state):
        cov = state[2:].reshape(2, 2)
        value, cross = averages(lambda x: tanh_network(p, x), state[:2], np.linalg.cholesky(cov), nodes=61)
        return np.concatenate([value, (cross + cross.T).ravel()])

    start = np.concatenate([mean, (factor @ factor.T).ravel()])
    wanted = solve_ivp(rate, (0, 0.8), start, method="DOP853", rtol=1e-9, atol=1e-11).y[:, -1]
    run = af.simulate(MLP(activation=Tanh(), **p), af.Gaussian.from_factor(mean, factor), [0.8], rtol=1e-10)
    np.testing.assert_allclose(np.concatenate([run.mean[0], run.cov[0].ravel()]), wanted, rtol=1e-7)
    assert not run.exact


def test_its_slope_is_the_covariance_of_output_and_input(rng, x64):
    """G cov is what `attnflow.moments.mlp` calls `cross`, and E v its mean."""
    p = network(rng)
    start = af.Gaussian.from_factor(rng.standard_normal(D), rng.standard_normal((D, 1)))
    affine, moments = MLP(activation=GELU(), **p).at_gaussian(start), af.moments.mlp(start, activation=GELU(), **p)
    np.testing.assert_allclose(affine.linear() @ start.cov, moments.cross, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(affine.linear() @ start.mean + affine.offset, moments.mean, rtol=1e-12)


def test_it_joins_attention_and_runs_compiled_from_a_singular_start(rng, x64):
    p = jax.tree.map(jnp.asarray, network(rng))

    @jax.jit
    def mean_at_end(p, factor):
        model = af.Transformer(af.SoftmaxAttention(jnp.eye(D), -0.5), MLP(activation=GELU(), **p))
        return af.evolve(model, af.Gaussian(jnp.zeros(D), factor), [0.4], rtol=1e-10).mean[0]

    factor = jnp.array([[0.5], [0.2]])
    model = af.Transformer(af.SoftmaxAttention(np.eye(D), -0.5), MLP(activation=GELU(), **p))
    run = af.simulate(model, af.Gaussian.from_factor(np.zeros(D), factor), [0.4], rtol=1e-10)
    np.testing.assert_allclose(mean_at_end(p, factor), run.mean[0], rtol=1e-8)
    assert run.rank == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W2": np.ones((3, 5))}, r"`W2` must have shape \(2, 5\) to lead back from the hidden numbers of `W1`"),
        ({"b1": np.ones(2)}, r"`b1` must have shape \(5,\) to agree with `W1`"),
        ({"b2": np.ones(5)}, r"`b2` must have shape \(2,\) to agree with `W2`"),
        ({"W1": np.ones(5)}, "`W1` must be a matrix"),
        ({"activation": np.sin}, "`activation` must be an activation with a known Gaussian form: sin was found"),
    ],
)
def test_bad_input_is_named(change, message, rng):
    with pytest.raises(af.BadInput, match=message):
        MLP(**({"activation": GELU()} | network(rng) | change))


def test_a_dimension_that_differs_from_the_start_is_named(rng):
    with pytest.raises(af.BadInput, match="one dimension d: 2 and 3"):
        af.simulate(MLP(activation=GELU(), **network(rng)), af.Gaussian.from_factor(np.zeros(3), np.eye(3)), [1.0])
