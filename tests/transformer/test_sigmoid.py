from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnflow import BadInput, Gaussian, LowRank, SigmoidAttention
from attnflow.measures.gaussian import Moments
from oracles.kinds import draw, on_tokens, sigmoid_expectations

pytestmark = pytest.mark.usefixtures("x64")
D = 3


@pytest.mark.parametrize("biases", [False, True])
def test_the_velocity_on_tokens_is_the_weighted_sum_written_out(rng, biases):
    p, points, tokens = draw("sigmoid", rng, D, biases=biases), rng.standard_normal((4, D)), rng.standard_normal((6, D))
    found = SigmoidAttention(**p).velocity(points, tokens)
    np.testing.assert_allclose(found, on_tokens("sigmoid", p, points, tokens), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("which", ["B", "V"])
@pytest.mark.parametrize("form", ["number", "low rank"])
def test_a_number_or_a_low_rank_parameter_is_its_matrix(rng, which, form):
    p, tokens = draw("sigmoid", rng, D), rng.standard_normal((5, D))
    left, right = 0.5 * rng.standard_normal((D, 2)), rng.standard_normal((2, D))
    slim, full = (-0.6, -0.6 * np.eye(D)) if form == "number" else (LowRank(left, right), left @ right)
    layer, q = SigmoidAttention(**(p | {which: slim})), p | {which: full}
    wanted = on_tokens("sigmoid", q, tokens, tokens)
    np.testing.assert_allclose(layer.velocity(tokens, tokens), wanted, rtol=1e-12, atol=1e-12)
    mean, factor = tokens[0], 0.5 * tokens[1:2].T
    value, slope = sigmoid_expectations(q, mean, factor)
    assert_map(layer.at_gaussian(Gaussian(mean, factor)), mean, value, slope)


def assert_map(affine, mean, value, slope, tolerance: float = 1e-9) -> None:
    assert not affine.exact
    size = max(np.abs(slope).max(), np.abs(value).max())
    np.testing.assert_allclose(affine.linear(), slope, rtol=tolerance, atol=tolerance * size)
    found = affine.linear() @ mean + affine.offset
    np.testing.assert_allclose(found, value, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("r", [1, 2])
def test_the_map_at_a_gaussian_is_the_mean_velocity_and_the_mean_slope(rng, r, biases):
    p = draw("sigmoid", rng, D, biases=biases)
    mean, factor = rng.standard_normal(D), 0.7 * rng.standard_normal((D, r))
    assert_map(SigmoidAttention(**p).at_gaussian(Gaussian(mean, factor)), mean, *sigmoid_expectations(p, mean, factor))


def test_moments_mean_the_same_as_a_factor(rng):
    p = draw("sigmoid", rng, 2)
    mean, factor = rng.standard_normal(2), 0.7 * rng.standard_normal((2, 2))
    affine = SigmoidAttention(**p).at_gaussian(Moments(mean, factor @ factor.T))
    assert_map(affine, mean, *sigmoid_expectations(p, mean, factor))


@pytest.mark.parametrize("bias", [-5.0, 0.0, 5.0])
def test_wide_logits_keep_their_digits(rng, bias):
    """A standard deviation of 5 of the logit, and a bias that closes or opens the gate."""
    mean, factor = np.array([0.5, -0.8]), np.array([[1.5], [0.9]])
    B = np.array([[1.0, 0.4], [-0.5, 0.7]])
    z = np.random.default_rng(5).standard_normal((100_000, 2))
    x, y = (mean + z[:, i : i + 1] @ factor.T for i in range(2))
    B *= 5.0 / np.std(np.einsum("ni,ij,nj->n", y, B, x))
    p = {"B": B, "V": np.array([[1.0, 0.5], [-0.3, 0.8]]), "bias": bias}
    value, slope = sigmoid_expectations(p, mean, factor, step=0.01, inner=0.005)
    assert_map(SigmoidAttention(**p).at_gaussian(Gaussian(mean, factor)), mean, value, slope)


def test_a_point_mass_has_the_velocity_and_the_slope_there(rng):
    p, mean = draw("sigmoid", rng, D), rng.standard_normal(D)
    layer = SigmoidAttention(**p)
    affine = layer.at_gaussian(Gaussian(mean, np.zeros((D, 0))))
    value = on_tokens("sigmoid", p, mean[None], mean[None])[0]
    ahead, behind = (on_tokens("sigmoid", p, mean + s * np.eye(D), mean[None]) for s in (1e-5, -1e-5))
    assert_map(affine, mean, value, (ahead - behind).T / 2e-5, tolerance=1e-8)


def test_it_is_differentiable_at_a_gaussian(rng):
    p, weights = draw("sigmoid", rng, D), rng.standard_normal((D, D + 1))

    def total(p, mean, factor):
        affine = SigmoidAttention(**p).at_gaussian(Gaussian(mean, factor))
        return jnp.sum(weights * jnp.concatenate([affine.linear(), affine.offset[:, None]], axis=1))

    where = jax.tree.map(jnp.asarray, (p, rng.standard_normal(D), 0.6 * rng.standard_normal((D, 2))))
    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(*where)
    change = jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape)), where)
    ahead, behind = (total(*jax.tree.map(lambda x, c, s=s: x + s * c, where, change)) for s in (1e-5, -1e-5))
    slope = sum(jax.tree.leaves(jax.tree.map(lambda s, c: jnp.sum(s * c), slopes, change)))
    assert slope == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-7)


def test_single_precision_reaches_the_map_at_a_gaussian(rng):
    """With the default bias, which is a number in double precision."""
    p = {name: jnp.asarray(value, jnp.float32) for name, value in draw("sigmoid", rng, D).items() if name != "bias"}
    gaussian = Gaussian(jnp.ones(D, jnp.float32), jnp.asarray(0.5 * rng.standard_normal((D, 2)), jnp.float32))
    affine = SigmoidAttention(**p).at_gaussian(gaussian)
    assert affine.offset.dtype == affine.linear().dtype == jnp.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"B": np.ones((2, 3))}, r"`B` must be square"),
        ({"V": np.ones((2, 2))}, r"`B` has d = 3, `V` has d = 2"),
        ({"bias": np.nan}, r"`bias` must be finite"),
        ({"bias": [1.0, 2.0, 3.0]}, r"`bias` must be a number"),
        ({"query_bias": np.ones(2)}, r"`query_bias` has d = 2"),
        ({"value_bias": np.ones((3, 1))}, r"`value_bias` must be a vector"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(BadInput, match=message):
        SigmoidAttention(**({"B": np.ones((3, 3)), "V": 1.0} | arguments))
