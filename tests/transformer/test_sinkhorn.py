from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from attnflow import BadInput, Gaussian, LowRank, SinkhornAttention
from attnflow.measures.gaussian import Moments
from attnflow.transformer.sinkhorn import shrinkage
from oracles.kinds import at_gaussian, draw, on_tokens, sinkhorn_steps

pytestmark = pytest.mark.usefixtures("x64")
D = 3


def test_the_velocity_on_tokens_is_that_of_the_scaled_kernel(rng):
    p, points = draw("sinkhorn", rng, D), rng.standard_normal((4, D))
    tokens = rng.standard_normal((6, D))
    layer = SinkhornAttention(**p, tolerance=1e-13)
    assert layer.converged(tokens)
    for x in (points, tokens):
        np.testing.assert_allclose(
            layer.velocity(x, tokens), on_tokens("sinkhorn", p, x, tokens), rtol=1e-12, atol=1e-12
        )


def test_the_tokens_get_all_their_mass_back(rng):
    """Columns of a doubly stochastic matrix sum to one: the mean of the moved keys is the mean of the keys."""
    p, tokens = draw("sinkhorn", rng, D), 2 * rng.standard_normal((30, D))
    layer = SinkhornAttention(p["B"], 1.0, p["epsilon"], tolerance=1e-13)
    np.testing.assert_allclose(layer.velocity(tokens, tokens).mean(axis=0), tokens.mean(axis=0), atol=1e-11)


@pytest.mark.parametrize(("which", "form"), [("B", "low rank"), ("B", "number"), ("V", "low rank")])
def test_a_number_or_a_low_rank_parameter_is_its_matrix(rng, which, form):
    p, tokens = draw("sinkhorn", rng, D), rng.standard_normal((5, D))
    left, right = 0.5 * rng.standard_normal((D, 2)), rng.standard_normal((2, D))
    slim, full = (-0.6, -0.6 * np.eye(D)) if form == "number" else (LowRank(left, right), left @ right)
    layer, q = SinkhornAttention(**(p | {which: slim}), tolerance=1e-13), p | {which: full}
    wanted = on_tokens("sinkhorn", q, tokens, tokens)
    np.testing.assert_allclose(layer.velocity(tokens, tokens), wanted, rtol=1e-11, atol=1e-11)
    mean, factor = tokens[0], 0.4 * tokens[1:3].T
    affine = layer.at_gaussian(Gaussian(mean, factor))
    wanted = at_gaussian("sinkhorn", q, tokens[:2], mean, factor, nodes=28)
    np.testing.assert_allclose(tokens[:2] @ affine.linear().T + affine.offset, wanted, rtol=1e-10, atol=1e-10)


def column_error(layer: SinkhornAttention, tokens) -> float:
    """The mean distance of the column sums from one, out of the velocities with V = 1 of n = d independent tokens."""
    sums = len(tokens) * np.linalg.solve(tokens.T, np.asarray(layer.velocity(tokens, tokens)).mean(axis=0))
    return float(np.abs(sums - 1).mean())


def test_the_tolerance_is_reached_and_the_error_is_not_flattered(rng):
    tolerance = 1e-5
    p, tokens = draw("sinkhorn", rng, 4, biases=False), 2 * rng.standard_normal((4, 4))
    layer = SinkhornAttention(p["B"], 1.0, p["epsilon"], tolerance=tolerance)
    assert layer.converged(tokens)
    assert column_error(layer, tokens) <= float(layer.marginal_error(tokens)) + 1e-13
    assert float(layer.marginal_error(tokens)) <= tolerance
    exact = on_tokens("sinkhorn", p | {"V": np.eye(4)}, tokens, tokens)
    assert np.abs(layer.velocity(tokens, tokens) - exact).max() < 100 * np.abs(tokens).max() * tolerance


@pytest.mark.parametrize("most", [1, 4])
def test_too_few_iterations_are_reported_with_their_error(rng, most):
    p, tokens = draw("sinkhorn", rng, 4, biases=False), 2 * rng.standard_normal((4, 4))
    layer = SinkhornAttention(p["B"], 1.0, p["epsilon"], max_iterations=most)
    assert not layer.converged(tokens)
    reported = float(layer.marginal_error(tokens))
    assert 1e-4 < column_error(layer, tokens) <= reported
    if most == 1:
        assert reported == pytest.approx(sinkhorn_steps(p, tokens, most=1)[1][0], rel=1e-12)


def test_far_tokens_are_rescaled_too(rng):
    """Plain iterations take a thousand, and the answer is theirs."""
    p, tokens = draw("sinkhorn", rng, D), 2 * rng.standard_normal((7, D))
    layer = SinkhornAttention(**p, tolerance=1e-12)
    assert layer.converged(tokens)
    wanted = on_tokens("sinkhorn", p, tokens, tokens)
    np.testing.assert_allclose(layer.velocity(tokens, tokens), wanted, rtol=1e-9, atol=1e-9)


def test_a_tolerance_below_rounding_ends_at_rounding(rng):
    p, tokens = draw("sinkhorn", rng, D, biases=False), rng.standard_normal((6, D))
    layer = SinkhornAttention(p["B"], p["V"], p["epsilon"], tolerance=1e-30)
    assert layer.converged(tokens)
    single = jnp.asarray(tokens, jnp.float32)
    assert SinkhornAttention(*(jnp.asarray(p[name], jnp.float32) for name in ("B", "V", "epsilon"))).converged(single)


def test_the_gradient_is_that_of_the_converged_iteration(rng):
    p, points, tokens = draw("sinkhorn", rng, D), rng.standard_normal((4, D)), rng.standard_normal((6, D))
    weights = rng.standard_normal((4, D))

    def total(where):
        return jnp.sum(weights * SinkhornAttention(**where[0], tolerance=1e-13).velocity(*where[1:]))

    leaves, structure = jax.tree.flatten((p, points, tokens))
    slopes = jax.tree.leaves(jax.jit(jax.grad(total))(jax.tree.unflatten(structure, [jnp.asarray(x) for x in leaves])))
    for i, (leaf, slope) in enumerate(zip(leaves, slopes, strict=True)):
        change, sums = rng.standard_normal(np.shape(leaf)), []
        for step in (1e-5, -1e-5):
            moved = jax.tree.unflatten(structure, [*leaves[:i], leaf + step * change, *leaves[i + 1 :]])
            sums.append(np.sum(weights * on_tokens("sinkhorn", *moved)))
        np.testing.assert_allclose(np.sum(slope * change), (sums[0] - sums[1]) / 2e-5, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("measure", ["factor", "covariance"])
def test_the_affine_map_in_one_dimension_is_transport_between_nodes(measure):
    p = {"B": np.array([[-1.3]]), "V": np.array([[0.7]]), "epsilon": 0.6, "value_bias": np.array([0.2])}
    mean, factor = np.array([0.4]), np.array([[0.9]])
    gaussian = Gaussian(mean, factor) if measure == "factor" else Moments(mean, factor @ factor.T)
    points = np.array([[-1.0], [0.3], [2.0]])
    affine = SinkhornAttention(**p).at_gaussian(gaussian)
    assert affine.exact
    wanted = at_gaussian("sinkhorn", p, points, mean, factor, nodes=60)
    np.testing.assert_allclose(points @ affine.linear().T + affine.offset, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("B", [[[0.7, -0.3], [0.4, 0.5]], [[0.6, -0.3], [1.2, -0.6]], [[-0.5, 0.2], [0.1, -0.4]]])
@pytest.mark.parametrize("factor", [[[0.7, 0.0], [0.3, 0.5]], [[0.7], [-0.4]]])
def test_the_affine_map_in_two_dimensions_is_transport_between_nodes(B, factor):
    """Full, singular and negative B; full and singular covariance."""
    p = {"B": np.array(B), "V": np.array([[1.0, 0.5], [-0.3, 0.8]]), "epsilon": 0.8}
    mean, points = np.array([0.3, -0.4]), np.array([[0.5, -1.0], [-0.2, 0.9]])
    affine = SinkhornAttention(**p).at_gaussian(Gaussian(mean, np.array(factor)))
    wanted = at_gaussian("sinkhorn", p, points, mean, np.array(factor), nodes=22)
    np.testing.assert_allclose(points @ affine.linear().T + affine.offset, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("r", [0, 1, 2, 3])
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e4])
def test_the_linear_part_solves_the_equation_of_the_joint_covariance(rng, r, scale):
    """M = (cov - M cov M^T) B / epsilon in 60 digits: its residual is rounding, and cov - M cov M^T is nonnegative."""
    B, factor, epsilon = rng.standard_normal((D, D)), scale * rng.standard_normal((D, r)), 0.8
    affine = SinkhornAttention(B, 1.0, epsilon).at_gaussian(Gaussian(rng.standard_normal(D), factor))
    M = np.asarray(affine.linear())
    with mpmath.workdps(60):
        exact = mpmath.matrix(D, D) if r == 0 else mpmath.matrix(factor.tolist()) * mpmath.matrix(factor.T.tolist())
        found = mpmath.matrix(M.tolist())
        noise = exact - found * exact * found.T
        residual = noise * mpmath.matrix(B.tolist()) / mpmath.mpf(epsilon) - found
        size = max(abs(x) for x in exact) * max(abs(B.ravel())) / epsilon + 1
        assert max(abs(x) for x in residual) <= 1e-13 * size * max(1, *(abs(x) for x in found)) ** 2
        noise = np.array([[float(noise[i, j]) for j in range(D)] for i in range(D)])
    assert np.linalg.eigvalsh(0.5 * (noise + noise.T)).min() >= -1e-12 * scale**2


def test_the_mean_moves_as_under_its_own_average(rng):
    p = draw("sinkhorn", rng, D)
    mean, factor = rng.standard_normal(D), rng.standard_normal((D, 2))
    affine = SinkhornAttention(**p).at_gaussian(Gaussian(mean, factor))
    np.testing.assert_allclose(affine.linear() @ mean + affine.offset, p["V"] @ mean + p["value_bias"], rtol=1e-12)


def small(rng, singular) -> np.ndarray:
    """A matrix with these singular values."""
    n = len(singular)
    left, right = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    return left * np.array(singular) @ right


@pytest.mark.parametrize(
    "singular", [(0.9, 0.4, 0.1), (1.5, 1.5, 1.5), (2.0, 2.0, 0.0), (0.0, 0.0, 0.0), (30.0, 30.0, 1e-9)]
)
def test_the_derivative_of_the_shrinkage_has_no_poles(rng, singular):
    C, change = small(rng, singular), rng.standard_normal((3, 3))
    R, moved = jax.jvp(shrinkage, (C,), (change,))
    np.testing.assert_allclose(R @ C @ C.T @ R + R, np.eye(3), atol=1e-13)
    step = 1e-5
    wanted = (shrinkage(C + step * change) - shrinkage(C - step * change)) / (2 * step)
    np.testing.assert_allclose(moved, wanted, rtol=1e-6, atol=2e-9)
    pulled = jax.vjp(shrinkage, jnp.asarray(C))[1](jnp.asarray(change.T))[0]
    np.testing.assert_allclose(np.sum(pulled * change), np.sum(np.asarray(moved) * change.T), rtol=1e-10, atol=1e-13)


def test_the_map_at_a_gaussian_is_differentiable_where_singular_values_meet():
    """B = 1 and an isotropic covariance: all singular values are equal."""

    def total(B, factor):
        return jnp.sum(jnp.sin(SinkhornAttention(B, 1.0).at_gaussian(Gaussian(jnp.ones(D), factor)).linear()))

    where = jnp.eye(D), 0.7 * jnp.eye(D)
    change = [jnp.arange(9.0).reshape(3, 3) / 9 - 0.3, jnp.cos(jnp.arange(9.0)).reshape(3, 3)]
    slopes = jax.grad(total, argnums=(0, 1))(*where)
    step = 1e-5
    ahead, behind = (total(*(x + s * c for x, c in zip(where, change, strict=True))) for s in (step, -step))
    slope = sum(float(jnp.sum(s * c)) for s, c in zip(slopes, change, strict=True))
    assert slope == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"B": np.ones((2, 3))}, r"`B` must be square"),
        ({"V": np.ones((2, 2))}, r"`B` has d = 3, `V` has d = 2"),
        ({"epsilon": 0.0}, r"`epsilon` must be positive: 0 was found"),
        ({"epsilon": -0.5}, r"`epsilon` must be positive: -0\.5 was found"),
        ({"epsilon": np.nan}, r"`epsilon` must be finite"),
        ({"tolerance": 0.0}, r"`tolerance` must be positive"),
        ({"max_iterations": 0}, r"`max_iterations` must be positive"),
        ({"max_iterations": 0.5}, r"`max_iterations` must be a positive whole number"),
        ({"value_bias": np.ones(2)}, r"`value_bias` has d = 2"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(BadInput, match=message):
        SinkhornAttention(**({"B": np.ones((3, 3)), "V": 1.0} | arguments))
