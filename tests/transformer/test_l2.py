from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnflow import BadInput, Gaussian, L2Attention, LowRank
from attnflow.measures.gaussian import Moments
from oracles.kinds import at_gaussian, draw, on_tokens

pytestmark = pytest.mark.usefixtures("x64")
D = 3


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("biases", [False, True])
def test_the_velocity_on_tokens_is_the_weighted_sum_written_out(rng, k, biases):
    p, points, tokens = draw("l2", rng, D, k=k, biases=biases), rng.standard_normal((3, D)), rng.standard_normal((5, D))
    found = L2Attention(**p).velocity(points, tokens)
    np.testing.assert_allclose(found, on_tokens("l2", p, points, tokens), rtol=1e-12, atol=1e-13)


def test_the_temperature_is_one_unless_given(rng):
    p, tokens = draw("l2", rng, D), rng.standard_normal((5, D))
    del p["temperature"]
    np.testing.assert_allclose(
        L2Attention(**p).velocity(tokens, tokens), on_tokens("l2", p, tokens, tokens), rtol=1e-12
    )


@pytest.mark.parametrize("form", ["number", "low rank"])
def test_the_values_may_be_a_number_or_low_rank(rng, form):
    p, tokens = draw("l2", rng, D), rng.standard_normal((5, D))
    left, right = rng.standard_normal((D, 1)), rng.standard_normal((1, D))
    slim, full = (-0.6, -0.6 * np.eye(D)) if form == "number" else (LowRank(left, right), left @ right)
    gaussian, layer = Gaussian(tokens[0], 0.5 * tokens[1:4].T), L2Attention(**(p | {"V": slim}))
    np.testing.assert_allclose(
        layer.velocity(tokens, tokens), on_tokens("l2", p | {"V": full}, tokens, tokens), rtol=1e-12, atol=1e-13
    )
    affine, points = layer.at_gaussian(gaussian), tokens[:2]
    wanted = at_gaussian("l2", p | {"V": full}, points, gaussian.mean, gaussian.factor)
    np.testing.assert_allclose(points @ affine.linear().T + affine.offset, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("measure", ["factor", "covariance"])
@pytest.mark.parametrize(("k", "r"), [(1, 3), (2, 1), (2, 3), (3, 3), (4, 2), (4, 3), (2, 0)])
def test_the_affine_map_at_a_gaussian_is_the_average_over_it(rng, measure, k, r):
    """The gain is solved for in the inner dimension or in the rank: both, and the covariance form."""
    p, points = draw("l2", rng, D, k=k), rng.standard_normal((3, D))
    mean, factor = rng.standard_normal(D), 0.6 * rng.standard_normal((D, r))
    gaussian = Gaussian(mean, factor) if measure == "factor" else Moments(mean, factor @ factor.T)
    affine = L2Attention(**p).at_gaussian(gaussian)
    assert affine.exact
    wanted = at_gaussian("l2", p, points, mean, factor)
    np.testing.assert_allclose(points @ affine.linear().T + affine.offset, wanted, rtol=1e-10, atol=1e-10)
    block = rng.standard_normal((D, 5))
    np.testing.assert_allclose(affine.apply(block), affine.linear() @ block, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("temperature", [0.3, 5.0])
def test_the_temperature_is_that_of_the_kernel(rng, temperature):
    p, points = draw("l2", rng, D) | {"temperature": temperature}, rng.standard_normal((3, D))
    mean, factor = rng.standard_normal(D), 0.4 * rng.standard_normal((D, 2))
    affine = L2Attention(**p).at_gaussian(Gaussian(mean, factor))
    wanted = at_gaussian("l2", p, points, mean, factor, nodes=90)
    np.testing.assert_allclose(points @ affine.linear().T + affine.offset, wanted, rtol=1e-10, atol=1e-10)


def test_it_is_differentiable_in_all_parameters_at_a_gaussian(rng):
    p, weights = draw("l2", rng, D), rng.standard_normal((D, D + 1))

    def total(p, mean, factor):
        affine = L2Attention(**p).at_gaussian(Gaussian(mean, factor))
        return jnp.sum(weights * jnp.concatenate([affine.linear(), affine.offset[:, None]], axis=1))

    where = jax.tree.map(jnp.asarray, (p, rng.standard_normal(D), 0.6 * rng.standard_normal((D, D))))
    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(*where)
    change = jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape)), where)
    ahead, behind = (total(*jax.tree.map(lambda x, c, s=s: x + s * c, where, change)) for s in (1e-5, -1e-5))
    slope = sum(jax.tree.leaves(jax.tree.map(lambda s, c: jnp.sum(s * c), slopes, change)))
    assert slope == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"K": np.ones((3, 3))}, r"`K` must have shape \(2, 3\) to agree with `Q`: shape \(3, 3\)"),
        ({"Q": np.ones(3)}, r"`Q` must be a matrix"),
        ({"Q": np.full((2, 3), np.nan)}, r"`Q` must be finite"),
        ({"V": np.ones((2, 2))}, r"`K` has d = 3, `V` has d = 2"),
        ({"V": np.ones((2, 3))}, r"`V` must be square"),
        ({"temperature": 0.0}, r"`temperature` must be positive: 0 was found"),
        ({"temperature": -1.0}, r"`temperature` must be positive: -1 was found"),
        ({"temperature": jnp.asarray(-2.0)}, r"`temperature` must be positive: -2 was found"),
        ({"temperature": np.inf}, r"`temperature` must be finite"),
        ({"temperature": np.nan}, r"`temperature` must be finite"),
        ({"temperature": [1.0, 2.0]}, r"`temperature` must be a number"),
        ({"query_bias": np.ones(3)}, r"`query_bias` must have shape \(2,\) to agree with `Q` and `K`"),
        ({"key_bias": np.ones(3)}, r"`key_bias` must have shape \(2,\)"),
        ({"value_bias": np.ones(2)}, r"`value_bias` has d = 2"),
        ({"key_bias": [np.nan, 0.0]}, r"`key_bias` must be finite"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(BadInput, match=message):
        L2Attention(**({"Q": np.ones((2, 3)), "K": np.ones((2, 3)), "V": 1.0} | arguments))
