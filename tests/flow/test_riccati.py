from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from attnflow import Affine, LowRank, MultiHeadAttention, SoftmaxAttention, Transformer
from attnflow.flow.riccati import (
    block_radius,
    block_values,
    covariance_factors,
    doubled,
    effective_head,
    power_growth,
    spectral_norm,
    taylor_block,
    taylor_pair,
)
from oracles import highprec

pytestmark = pytest.mark.usefixtures("x64")
D = 4


def van_loan(A, S, h) -> tuple[np.ndarray, np.ndarray]:
    """(e^{Ah}, N(h)) from one exponential of twice the size, by SciPy."""
    d = len(A)
    F = expm(h * np.block([[-A.T, S], [np.zeros_like(A), A]]))
    return F[d:, d:], F[d:, d:].T @ F[:d, d:]


def formula(A, S, factor, t) -> np.ndarray:
    """cov(t) by the theorem, for gentle times."""
    E, N = van_loan(A, S, t)
    moved = E @ factor
    return moved @ np.linalg.solve(np.eye(factor.shape[1]) - factor.T @ N @ factor, moved.T)


def draw(rng, d=D, sign=-1.0) -> tuple[np.ndarray, np.ndarray]:
    """A without structure, and S of both signs around sign."""
    A, B = rng.standard_normal((2, d, d)) / np.sqrt(d)
    B = sign * np.eye(d) + 0.5 * B
    return A, B + B.T


@pytest.mark.parametrize("module", [np, jnp], ids=["numpy", "jax"])
@pytest.mark.parametrize("size", [1e-9, 0.1, 1.0])
def test_the_taylor_pair_is_the_van_loan_exponential(rng, module, size):
    A, S = draw(rng)
    powers = (A @ A, A @ A @ A, A @ A @ A @ A)
    h = size * 0.35 / float(power_growth(powers))
    found = taylor_pair(module.asarray(A), module.asarray(S), h, tuple(module.asarray(p) for p in powers))
    for one, two in zip(found, van_loan(A, S, h), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-14 * np.abs(two).max())


def test_doubling_doubles_the_time(rng):
    A, S = draw(rng)
    for one, two in zip(doubled(*van_loan(A, S, 0.7)), van_loan(A, S, 1.4), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-13)


def test_the_growth_of_the_powers_bounds_the_spectral_radius_and_is_below_the_norm(rng):
    A, _ = draw(rng, 30)
    growth = float(power_growth((A @ A, A @ A @ A, A @ A @ A @ A)))
    assert np.abs(np.linalg.eigvals(A)).max() <= growth <= np.linalg.norm(A, 1)


@pytest.mark.parametrize("module", [np, jnp], ids=["numpy", "jax"])
@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("fraction", [1e-6, 0.5, 1.0])
def test_the_taylor_blocks_give_what_the_dense_matrices_give(rng, module, rank, fraction):
    A, S = draw(rng, 9)
    factor, scale = rng.standard_normal((9, rank)), 1.7
    blocks = taylor_block(module.asarray(A), module.asarray(factor), scale)
    x = fraction * float(block_radius(blocks))
    moved, gain = block_values(blocks, module.asarray(S), x, scale)
    E, N = van_loan(A, S, x / scale)
    np.testing.assert_allclose(moved, E @ factor, rtol=1e-12, atol=1e-13 * np.abs(E).max())
    np.testing.assert_allclose(gain, factor.T @ N @ factor, rtol=1e-12, atol=1e-13 * np.abs(N).max())
    np.testing.assert_array_equal(gain, gain.T)


def test_the_spectral_norm_is_right_to_a_few_per_cent(rng):
    for d in (1, 2, 30):
        A = rng.standard_normal((d, d)) + 0.1
        assert 0.9 <= float(spectral_norm(A)) / np.linalg.norm(A, 2) <= 1.06
    assert float(spectral_norm(np.zeros((3, 3)))) == 0


# cases: dense stepping for d = 4, r = 3; the block series for d = 9, r = 2; the smallest shapes
SHAPES = [(4, 3), (9, 2), (1, 1)]


def loss(A, S, factor, ts, on):
    """The weighted sum of the covariances at all times, with the factors beside it."""
    factors, reached = covariance_factors(A, S, factor, ts)
    return sum(jnp.sum(on * (c @ c.T)) for c in factors), (factors, reached)


@functools.cache
def compiled():
    """((loss, (factors, reached)), gradients): one program a shape for all tests, by a compiler that hurries."""
    derived = jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)
    return jax.jit(derived, compiler_options={"xla_backend_optimization_level": 0})


def factors_of(A, S, factor, ts):
    return compiled()(A, S, factor, ts, np.ones_like(A))[0][1]


@pytest.mark.parametrize(("d", "r"), SHAPES)
@pytest.mark.parametrize("speed", [0.3, 3.0, 12.0])
def test_the_factors_are_those_of_sixty_digits(rng, d, r, speed):
    """`speed` is the size of A: steps of one, several and many radii."""
    A, S = draw(rng, d)
    A, factor, ts = speed * A, 0.6 * rng.standard_normal((d, r)), np.array([0.2, 1.0, 1.7])
    factors, reached = factors_of(A, S, factor, ts)
    assert reached.all()
    assert factors.shape == (3, d, r)
    for t, found in zip(ts, factors, strict=True):
        wanted = highprec.closed_form_cov(A, 0.5 * S, 1.0, t, factor=factor)
        assert highprec.relative_error(found @ found.T, wanted) < 1e-12


@pytest.mark.parametrize(("d", "r"), SHAPES)
def test_the_gradient_is_that_of_the_formula(rng, d, r):
    A, S = draw(rng, d)
    factor, ts, on = 0.6 * rng.standard_normal((d, r)), np.array([0.0, 1.0, 1.7]), rng.standard_normal((d, d))

    def wanted(A, S, factor, ts):
        return sum(np.sum(on * formula(A, 0.5 * (S + S.T), factor, t)) for t in ts)

    inputs = (A, S, factor, ts)
    (value, _), gradients = compiled()(*inputs, on)
    np.testing.assert_allclose(value, wanted(*inputs), rtol=1e-11)
    for i, x in enumerate(inputs):
        change = 1e-5 * rng.standard_normal(x.shape)
        if i == 1:
            change = change + change.T
        if i == 3:
            change[0] = 0.0  # time 0 has no before
        ahead, behind = (wanted(*(x + s * change if j == i else y for j, y in enumerate(inputs))) for s in (1, -1))
        np.testing.assert_allclose(np.sum(gradients[i] * change), (ahead - behind) / 2, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize(("d", "r"), SHAPES)
def test_from_the_blow_up_on_nothing_is_reached_and_nothing_is_lost(rng, d, r):
    A, S = draw(rng, d, sign=1.0)
    factor = rng.standard_normal((d, r))
    end = float(highprec.blow_up_time(A, 0.5 * S, 1.0, factor, dps=30, scan=64, horizon=8.0))
    ts = end * np.array([0.5, 0.999, 1.001])
    (_, (factors, reached)), gradients = compiled()(A, S, factor, ts, np.ones_like(A))
    assert reached.tolist() == [True, True, False]
    np.testing.assert_array_equal(factors[2], factors[1])
    wanted = highprec.closed_form_cov(A, 0.5 * S, 1.0, ts[0], factor=factor)
    assert highprec.relative_error(factors[0] @ factors[0].T, wanted) < 1e-12
    assert all(np.all(np.isfinite(g)) for g in gradients)


def test_a_factor_without_columns_stays_without(rng):
    A, S = draw(rng)
    factors, reached = covariance_factors(A, S, np.zeros((D, 0)), np.array([0.5, 9.0]))
    assert factors.shape == (2, D, 0)
    assert reached.all()


def test_a_field_that_is_at_rest_in_A_is_solved(rng):
    """A = 0: cov = L (I - t L^T S L)^{-1} L^T."""
    _, S = draw(rng)
    factor = rng.standard_normal((D, 3))
    factors, reached = factors_of(np.zeros((D, D)), S, factor, np.array([0.2, 1.0, 1.7]))
    assert reached.all()
    wanted = factor @ np.linalg.solve(np.eye(3) - 1.7 * factor.T @ S @ factor, factor.T)
    np.testing.assert_allclose(factors[2] @ factors[2].T, wanted, rtol=1e-12, atol=1e-14)


class TestEffectiveHead:
    def test_scalar_heads_add_their_forms(self, rng):
        A, B1, B2 = rng.standard_normal((3, D, D))
        model = Transformer([SoftmaxAttention(B=B1, V=-0.5), SoftmaxAttention(B=B2, V=2.0)], Affine(A=A))
        linear, bilinear = effective_head(model)
        np.testing.assert_array_equal(linear, A)
        np.testing.assert_allclose(bilinear, -0.5 * B1 + 2.0 * B2, rtol=1e-15)

    def test_low_rank_and_scalar_forms_add_to_a_matrix(self, rng):
        left, right = rng.standard_normal((D, 2)), rng.standard_normal((2, D))
        model = Transformer([SoftmaxAttention(B=LowRank(left, right), V=-0.5), SoftmaxAttention(B=3.0, V=2.0)])
        linear, bilinear = effective_head(model)
        assert linear is None
        np.testing.assert_allclose(bilinear, -0.5 * left @ right + 6.0 * np.eye(D), rtol=1e-14)

    def test_a_head_alone_is_a_layer(self, rng):
        B = rng.standard_normal((D, D))
        np.testing.assert_allclose(effective_head(SoftmaxAttention(B=B, V=-2.0))[1], -2.0 * B)

    def test_sums_inside_sums_are_taken_apart(self, rng):
        M, N, B = rng.standard_normal((3, D, D))
        inner = Transformer(MultiHeadAttention([SoftmaxAttention(B=B, V=-2.0)]), Affine(A=M))
        linear, bilinear = effective_head(Transformer([inner, SoftmaxAttention(B=1.5, V=3.0)], Affine(A=N)))
        np.testing.assert_allclose(linear, M + N)
        np.testing.assert_allclose(bilinear, -2.0 * B + 4.5 * np.eye(D))

    def test_a_matrix_value_or_no_head_has_none(self, rng):
        M = rng.standard_normal((D, D))
        head = SoftmaxAttention(B=M, V=-2.0)
        for layer in (
            SoftmaxAttention(B=M, V=M),
            SoftmaxAttention(B=M, V=LowRank(M[:, :1], M[:1])),
            Transformer([head, SoftmaxAttention(B=M, V=M)]),
            Transformer(feedforward=Affine(A=M)),
        ):
            assert effective_head(layer) is None
