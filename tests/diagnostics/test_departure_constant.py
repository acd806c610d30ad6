"""E (s(z) - z)^2 against mpmath, to relative accuracy in the tails, and the constant of a whole layer."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from attnflow import Gaussian, LowRank
from attnflow.diagnostics.departure import defect_squares, departure_constant
from attnflow.moments.activation import Activation
from attnflow.moments.by_quadrature import SiLU, Tanh, TanhGELU
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU

FORMULAS = {
    GELU: lambda z: -z * mp.ncdf(-z),
    Erf: lambda z: mp.erf(z) - z,
    Tanh: lambda z: mp.tanh(z) - z,
    SiLU: lambda z: -z / (1 + mp.exp(z)),
    TanhGELU: lambda z: z * (mp.tanh(mp.sqrt(2 / mp.pi) * (z + mp.mpf("0.044715") * z**3)) - 1) / 2,
}


def squares(activation: Activation, mean: float, deviation: float) -> float:
    return float(defect_squares(activation, np.array([mean]), np.array([deviation**2]))[0])


def by_mpmath(defect, mean: float, deviation: float) -> float:
    m, s = mp.mpf(mean), mp.mpf(deviation)
    cuts = sorted({mp.mpf(k) for k in range(-14, 15, 2)} | {(mp.mpf(c) - m) / s for c in (-3, -1, 0, 1, 3)})
    inside = [c for c in cuts if abs(c) <= 14]
    return float(mp.quad(lambda x: defect(m + s * x) ** 2 * mp.npdf(x), inside))


@pytest.mark.parametrize("height", [-45.0, -12.0, -1.3, 0.0, 0.7, 3.49, 3.51, 5.0, 12.0, 25.0, 37.0])
def test_the_relu_defect_keeps_its_digits_in_both_tails(height):
    with mp.workdps(60):
        h = mp.mpf(height)
        expected = mp.mpf(4) * ((1 + h**2) * mp.ncdf(-h) - h * mp.npdf(h))
    assert squares(ReLU(), 2 * height, 2.0) == pytest.approx(float(expected), rel=3e-13)


@pytest.mark.parametrize("kind", FORMULAS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("mean", "deviation"), [(0.3, 1.1), (-2.0, 0.05), (1.5, 7.0), (-4.0, 40.0), (3.0, 0.6)])
def test_the_other_defects_agree_with_quadrature_in_high_precision(kind, mean, deviation):
    with mp.workdps(25):
        expected = by_mpmath(FORMULAS[kind], mean, deviation)
    assert squares(kind(), mean, deviation) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("kind", [ReLU, *FORMULAS], ids=lambda kind: kind.__name__)
def test_without_variance_it_is_the_defect_at_the_mean(kind):
    z = np.array([-1.7, 0.4])
    found = defect_squares(kind(), z, np.zeros(2))
    assert found == pytest.approx(np.square(np.asarray(kind()(z)) - z), rel=1e-13)


def test_a_wide_layer_is_computed_in_parts_with_the_same_numbers(rng):
    mean, var = rng.normal(size=700), rng.gamma(2.0, size=700)
    whole = np.asarray(defect_squares(GELU(), mean, var))
    assert whole[[3, 300, 699]] == pytest.approx(
        [squares(GELU(), mean[i], var[i] ** 0.5) for i in (3, 300, 699)], rel=1e-13
    )


def test_the_constant_of_a_layer_is_a_sum_over_its_coordinates_for_singular_and_low_rank_data(rng):
    left, right = rng.normal(size=(4, 2)), rng.normal(size=(2, 4))
    start = Gaussian.from_factor(rng.normal(size=4), rng.normal(size=(4, 2)))
    b = rng.normal(size=4)
    dense = left @ right
    deviations = np.sqrt(np.diag(dense @ start.cov @ dense.T))
    expected = np.sqrt(sum(squares(Tanh(), m, s) for m, s in zip(dense @ start.mean + b, deviations, strict=True)))
    for A in (dense, LowRank(left, right)):
        assert float(departure_constant(Tanh(), A, b, start)) == pytest.approx(expected, rel=1e-12)


def test_a_million_tokens_have_this_constant_up_to_their_noise(rng):
    A, b, factor = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(3, 3))
    start = Gaussian.from_factor(np.array([0.4, -1.0, 0.2]), factor)
    z = (start.mean + rng.standard_normal((1_000_000, 3)) @ factor.T) @ A.T + b
    squared = np.sum(np.square(np.maximum(-z, 0.0)), axis=1)
    noise = squared.std() / 1000
    assert float(departure_constant(ReLU(), A, b, start)) ** 2 == pytest.approx(squared.mean(), abs=5 * noise)


@pytest.mark.parametrize("kind", [ReLU, GELU], ids=lambda kind: kind.__name__)
def test_jit_vmap_and_grad_pass_through_it(kind, x64):
    means = jnp.array([-0.5, 0.1, 4.0])

    def total(mean, var):
        return defect_squares(kind(), mean, var).sum()

    found = jax.jit(jax.vmap(total))(means[:, None], jnp.array([[0.5], [1.0], [2.0]]))
    assert np.asarray(found) == pytest.approx(
        [squares(kind(), m, v**0.5) for m, v in [(-0.5, 0.5), (0.1, 1), (4, 2)]], rel=1e-12
    )
    by_mean, by_var = (float(x) for x in jax.grad(total, argnums=(0, 1))(jnp.array(0.3), jnp.array(0.8)))
    eps = 1e-5

    def number(mean, var):
        return float(total(jnp.array(mean), jnp.array(var)))

    assert by_mean == pytest.approx((number(0.3 + eps, 0.8) - number(0.3 - eps, 0.8)) / (2 * eps), rel=1e-7)
    assert by_var == pytest.approx((number(0.3, 0.8 + eps) - number(0.3, 0.8 - eps)) / (2 * eps), rel=1e-7)


def test_single_precision_stays_single(rng):
    found = defect_squares(ReLU(), jnp.asarray(rng.normal(size=3), jnp.float32), jnp.ones(3, jnp.float32))
    assert found.dtype == jnp.float32
