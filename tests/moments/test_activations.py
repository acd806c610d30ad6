"""Expectations of activations under a Gaussian against high-precision quadrature of their definitions."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.moments.activation import Normal, require_activation
from attnflow.moments.by_quadrature import SiLU, Tanh, TanhGELU
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU
from golden import HERE

CASES = {case["name"]: case for case in json.loads((HERE / "activations.json").read_text())["cases"]}
DEFINITIONS = {
    ReLU: lambda z: max(z, mpmath.mpf(0)),
    GELU: lambda z: z * mpmath.ncdf(z),
    Erf: mpmath.erf,
    Tanh: mpmath.tanh,
    SiLU: lambda z: z / (1 + mpmath.exp(-z)),
    TanhGELU: lambda z: z / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3))),
}
ALL = list(DEFINITIONS)
CLOSED = {ReLU, GELU, Erf}
PLACES = [(0.4, 0.7), (-2.3, 1e-4), (1.7, 4.0), (-0.6, 900.0), (9.0, 0.3), (-25.0, 64.0)]


def average(function, mean, deviation):
    """E function(z, Z) with z = mean + deviation Z, cut where the function turns."""
    turns = [(edge - mean) / deviation for edge in (-20, -8, -3, 0, 3, 8, 20)]
    edges = sorted({max(min(turn, mpmath.mpf(12)), mpmath.mpf(-12)) for turn in [*turns, -12, 0, 12]})
    return mpmath.quad(lambda Z: function(mean + deviation * Z, Z) * mpmath.npdf(Z), edges)


def reference(activation, mean: float, var: float) -> tuple[float, float]:
    """E s and E s' by their definitions; the slope by the integration by parts E s' = E[s Z] / deviation."""
    s = DEFINITIONS[activation]
    m, deviation = mpmath.mpf(mean), mpmath.sqrt(mpmath.mpf(var))
    slope = average(lambda z, Z: s(z) * Z, m, deviation) / deviation
    return float(average(lambda z, Z: s(z), m, deviation)), float(slope)


@pytest.mark.parametrize("activation", ALL)
def test_value_and_slope_are_expected_as_by_quadrature(activation):
    means, variances = np.array(PLACES).T
    found = activation().expectations(means, variances)
    wanted = np.array([reference(activation, *place) for place in PLACES]).T
    assert isinstance(found.mean, np.ndarray)
    np.testing.assert_allclose(found.mean, wanted[0], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(found.slope, wanted[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", ALL)
def test_the_function_itself_is_its_definition(activation, x64):
    x = np.array([-40.0, -3.1, -0.2, 0.0, 0.7, 5.5, 200.0])
    wanted = [float(DEFINITIONS[activation](mpmath.mpf(v))) for v in x]
    np.testing.assert_allclose(activation()(x), wanted, rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(activation()(jnp.asarray(x)), wanted, rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("activation", ALL)
def test_no_variance_gives_the_function_and_its_slope(activation):
    x, h = np.array([-1.3, 0.4, 6.0]), 1e-6
    found = activation().expectations(x, np.zeros(3))
    np.testing.assert_allclose(found.mean, activation()(x), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(found.slope, (activation()(x + h) - activation()(x - h)) / (2 * h), atol=1e-9)


def test_relu_at_its_kink_without_variance_has_half_the_slope():
    found = ReLU().expectations(np.zeros(1), np.zeros(1))
    assert (found.mean[0], found.slope[0]) == (0.0, 0.5)


@pytest.mark.parametrize("activation", ALL)
def test_far_from_the_origin_nothing_overflows(activation):
    means, variances = np.array([1e150, -1e150, 3.0, 1e4]), np.array([1.0, 0.0, 1e300, 1e-300])
    found = activation().expectations(means, variances)
    assert np.isfinite(found.mean).all()
    assert ((found.slope >= 0) & (found.slope <= 1.2)).all()


@pytest.mark.parametrize("name", [name for name in CASES if "_moments_m" in name])
def test_the_golden_expectations(name):
    case = CASES[name]
    activation = {"relu": ReLU, "gelu": GELU, "erf": Erf, "tanh": Tanh}[name.partition("_")[0]]()
    found = activation.expectations(np.array(case["inputs"]["m"]), np.array(case["inputs"]["v"]))
    np.testing.assert_allclose(np.array(found), case["expected"], rtol=case["rtol"])


@pytest.mark.parametrize(("name", "activation"), [("gelu", GELU), ("relu", ReLU)])
def test_the_golden_expectations_of_higher_derivatives(name, activation):
    case = CASES[f"{name}_derivative_moments_d0..d6"]
    deviation = np.sqrt(case["inputs"]["v"])
    found = activation().coefficients(np.array([case["inputs"]["m"]]), np.array([deviation]), 6)[:, 0]
    factorials = np.array([float(mpmath.factorial(k)) for k in range(7)])
    np.testing.assert_allclose(found * np.sqrt(factorials) / deviation ** np.arange(7), case["expected"], rtol=1e-11)


@pytest.mark.parametrize(("name", "activation"), [("pair_gelu", GELU), ("pair_erf", Erf)])
def test_the_golden_pairs(name, activation):
    case = CASES[name]
    i = {key: np.array([value]) for key, value in case["inputs"].items()}
    one, two = Normal(i["m1"], np.sqrt(i["v1"])), Normal(i["m2"], np.sqrt(i["v2"]))
    means = [activation().expectations(x.mean, x.var).mean for x in (one, two)]
    found = activation().covariance(one, two, i["c"] / (one.deviation * two.deviation)) + means[0] * means[1]
    np.testing.assert_allclose(found, case["expected"], rtol=case["rtol"])


@pytest.mark.parametrize("activation", ALL)
def test_coefficients_are_products_with_hermite_polynomials(activation):
    found = activation().coefficients(np.array([0.6, -1.1]), np.array([0.8, 2.5]), 9)
    for i, (mean, deviation) in enumerate([(0.6, 0.8), (-1.1, 2.5)]):
        for k in (1, 2, 9):

            def weigh(z, Z, k=k):
                return DEFINITIONS[activation](z) * mpmath.hermite(k, Z / mpmath.sqrt(2)) * 2 ** (-k / 2)

            wanted = average(weigh, mpmath.mpf(mean), mpmath.mpf(deviation)) / mpmath.sqrt(mpmath.factorial(k))
            assert found[k, i] == pytest.approx(float(wanted), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("activation", ALL)
def test_variances_are_those_of_the_definition(activation):
    means, deviations = np.array([0.4, -3.0, 7.0]), np.array([1.2, 2.0, 5.0])
    found = activation().variance(means, deviations)
    s = DEFINITIONS[activation]
    for mean, deviation, value in zip(means, deviations, found, strict=True):
        m, d = mpmath.mpf(mean), mpmath.mpf(deviation)
        center = average(lambda z, Z: s(z), m, d)
        wanted = average(lambda z, Z, center=center: (s(z) - center) ** 2, m, d)
        assert value == pytest.approx(float(wanted), rel=1e-11)


@pytest.mark.parametrize("activation", ALL)
@pytest.mark.parametrize("correlation", [-1.0, -0.97, 0.3, 0.9999, 1.0])
def test_covariances_of_pairs_are_those_of_the_plane(activation, correlation):
    """An outer sum over one number, an inner over the other one given it, and a pair of large positive means."""
    one, two = Normal(np.array([0.8, 6.0]), np.array([1.5, 1.1])), Normal(np.array([-0.5, 4.0]), np.array([2.0, 0.7]))
    found = activation().covariance(one, two, np.full(2, correlation))
    for i in range(2):
        (m1, m2), (s1, s2) = (one.mean[i], two.mean[i]), (one.deviation[i], two.deviation[i])
        x = np.linspace(-9, 9, 6001)
        w = np.exp(-(x**2) / 2) / np.exp(-(x**2) / 2).sum()
        y = x[::20]
        v = np.exp(-(y**2) / 2) / np.exp(-(y**2) / 2).sum()
        first = activation()(m1 + s1 * x)
        rest = np.sqrt((1 - correlation) * (1 + correlation))
        second = activation()(m2 + s2 * (correlation * x[:, None] + rest * y)) @ v
        wanted = w @ ((first - w @ first) * (second - w @ second))
        assert found[i] == pytest.approx(wanted, rel=1e-9 if activation is not ReLU else 1e-5)


@pytest.mark.parametrize("activation", [ReLU, GELU, SiLU])
def test_gradients_are_finite_differences_with_and_without_variance(activation, x64):
    means, variances = jnp.array([0.3, -1.4, 0.8]), jnp.array([0.5, 3.0, 1e-3])

    @jax.jit
    def total(m, v):
        found = activation().expectations(m, v)
        return jnp.sum(jnp.sin(found.mean) + found.slope**2)

    slopes = jax.jit(jax.grad(total, argnums=(0, 1)))(means, variances)
    for i, slope in enumerate(slopes):
        for j in range(3):
            step = 1e-6 * jnp.eye(3)[j] * (1.0 if i == 0 else variances[j])
            ahead, behind = ([a + sign * step * (k == i) for k, a in enumerate((means, variances))] for sign in (1, -1))
            wanted = (total(*ahead) - total(*behind)) / (2 * step[j])
            assert slope[j] == pytest.approx(float(wanted), rel=2e-5, abs=1e-7)
    assert np.isfinite(jax.grad(total, argnums=1)(means, jnp.zeros(3))).all()


@pytest.mark.parametrize("activation", [ReLU, Erf, Tanh])
def test_single_precision_stays_single(activation):
    found = jax.vmap(activation().expectations)(jnp.ones((2, 3), jnp.float32), jnp.ones((2, 3), jnp.float32))
    assert found.mean.dtype == found.slope.dtype == jnp.float32
    wanted = activation().expectations(np.ones(1), np.ones(1))
    np.testing.assert_allclose(found.mean, np.full((2, 3), wanted.mean), rtol=3e-6)


@pytest.mark.parametrize(
    ("value", "found"), [(np.tanh, "tanh"), ("relu", "str"), (GELU, r"GELU was found; write GELU\(\)")]
)
def test_a_function_without_a_gaussian_form_is_refused(value, found):
    with pytest.raises(BadInput, match=f"`activation` must be an activation with a known Gaussian form: {found}"):
        require_activation(value)
