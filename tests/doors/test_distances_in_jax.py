"""`attnflow.doors.distances` inside jit, vmap and grad, against the same on the host, loops and finite differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.doors import distances

POINTS = np.random.default_rng(5).exponential(size=(23, 3)) - 0.7
OTHER = np.random.default_rng(6).standard_normal((17, 3))
STEP = 1e-5

TO_GAUSSIAN = {
    "sliced_wasserstein": lambda x, g: distances.sliced_wasserstein(x, g, projections=20),
    "sliced_wasserstein_squared": lambda x, g: distances.sliced_wasserstein_squared(x, g, projections=20, key=2),
    "mmd_squared": distances.mmd_squared,
    "mmd_squared, unbiased": lambda x, g: distances.mmd_squared(x, g, bandwidth=0.9, unbiased=True),
}
BETWEEN = {
    "sliced_wasserstein_between": lambda x: distances.sliced_wasserstein_between(x, OTHER, projections=20),
    "mmd_squared_between": lambda x: distances.mmd_squared_between(x, OTHER),
    "wasserstein_1d": lambda x: distances.wasserstein_1d(x[:, 0], OTHER[:, 1]),
}


def target(columns: int) -> af.Gaussian:
    rng = np.random.default_rng(7)
    return af.Gaussian.from_factor(rng.standard_normal(3), rng.standard_normal((3, columns)))


def assert_like_host(function, *places: np.ndarray, rel: float = 1e-6) -> None:
    """Inside of jit, the value is that of the host, and the gradients by all arguments its central differences."""
    value, gradients = jax.jit(jax.value_and_grad(function, argnums=tuple(range(len(places)))))(*places)
    assert float(value) == pytest.approx(float(function(*places)), rel=1e-12)
    for i, gradient in enumerate(gradients):
        along = np.random.default_rng(8).standard_normal(np.shape(places[i]))
        moved = ([*places[:i], places[i] + s * STEP * along, *places[i + 1 :]] for s in (1, -1))
        ahead, behind = (float(function(*each)) for each in moved)
        found = np.sum(np.asarray(gradient) * along)
        assert found == pytest.approx((ahead - behind) / (2 * STEP), rel=rel, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("sliced_wasserstein", 0),
        ("sliced_wasserstein", 3),
        ("sliced_wasserstein_squared", 2),
        ("mmd_squared", 2),
        ("mmd_squared", 3),
        ("mmd_squared, unbiased", 4),
    ],
)
def test_values_and_gradients_to_a_gaussian_are_those_of_the_host(name, columns, x64):
    start = target(columns)
    assert_like_host(lambda x, m, L: TO_GAUSSIAN[name](x, af.Gaussian(m, L)), POINTS, start.mean, start.factor)


@pytest.mark.parametrize("name", BETWEEN)
def test_values_and_gradients_between_samples_are_those_of_the_host(name, x64):
    assert_like_host(BETWEEN[name], POINTS)


@pytest.mark.parametrize("name", ["sliced_wasserstein", "mmd_squared", *BETWEEN])
def test_single_precision_inside_of_jit_is_single_precision(name):
    """Without double precision switched on, as users have it."""
    function = BETWEEN.get(name) or (lambda x: TO_GAUSSIAN[name](x, target(2)))
    found = jax.jit(function)(POINTS.astype(np.float32))
    assert found.dtype == jnp.float32
    assert float(found) == pytest.approx(float(function(POINTS)), rel=2e-5)


def test_the_gradient_by_the_bandwidth_is_a_finite_difference(x64):
    assert_like_host(lambda h: distances.mmd_squared(POINTS, target(2), bandwidth=h), np.array(0.8))


def test_vmap_is_a_loop(x64):
    stack = np.random.default_rng(9).standard_normal((4, 11, 3))
    factors = np.random.default_rng(10).standard_normal((4, 3, 2))
    means = np.random.default_rng(11).standard_normal((4, 3))
    gaussians = [af.Gaussian(m, L) for m, L in zip(means, factors, strict=True)]
    for name in ("sliced_wasserstein", "mmd_squared"):
        function = TO_GAUSSIAN[name]
        found = jax.jit(jax.vmap(function))(stack, af.Gaussian(jnp.asarray(means), jnp.asarray(factors)))
        np.testing.assert_allclose(found, [function(x, g) for x, g in zip(stack, gaussians, strict=True)], rtol=1e-11)
    one = target(3)
    found = jax.vmap(lambda m, L: distances.bures_wasserstein(af.Gaussian(m, L), one))(means, factors)
    np.testing.assert_allclose(found, [distances.bures_wasserstein(g, one) for g in gaussians], rtol=1e-12)


def test_a_jax_key_draws_other_directions_and_passes_through_jit(x64):
    measure = target(3)
    keys = jax.random.split(jax.random.key(1), 3)
    found = jax.vmap(lambda key: distances.sliced_wasserstein(POINTS, measure, key=key, projections=2000))(keys)
    assert len(set(found.tolist())) == 3
    np.testing.assert_allclose(found, distances.sliced_wasserstein(POINTS, measure, projections=2000), rtol=0.05)
    assert isinstance(distances.sliced_wasserstein(POINTS, measure, key=keys[0]), np.float64)


FACTORS = {
    "full rank": (np.random.default_rng(1).standard_normal((3, 3)), np.random.default_rng(2).standard_normal((3, 3))),
    "unequal ranks": (
        np.random.default_rng(1).standard_normal((3, 1)),
        np.random.default_rng(2).standard_normal((3, 2)),
    ),
    "equal singular values": (np.diag([1.0, 2.0, 2.0]), np.diag([3.0, 1.5, 1.5])[:, [1, 2, 0]]),
}


@pytest.mark.parametrize("name", FACTORS)
def test_gradients_of_bures_wasserstein_are_finite_differences(name, x64):
    one, two = FACTORS[name]
    fixed = af.Gaussian.from_factor([0.1, 0.2, -0.3], two)
    for distance in (distances.bures_wasserstein, distances.bures_wasserstein_squared):
        assert_like_host(lambda m, L, f=distance: f(af.Gaussian(m, L), fixed), np.array([1.0, 0.0, 2.0]), one)
        assert_like_host(lambda L, f=distance: f(fixed, af.Gaussian(np.array([1.0, 0.0, 2.0]), L)), one)


def test_second_derivatives_of_bures_wasserstein_are_finite_differences_of_first_ones(x64):
    one, two = FACTORS["full rank"]
    fixed = af.Gaussian.from_factor(np.zeros(3), two)
    gradient = jax.jit(jax.grad(lambda L: distances.bures_wasserstein_squared(af.Gaussian(jnp.zeros(3), L), fixed)))
    along = np.random.default_rng(3).standard_normal((3, 3))
    found = jax.jvp(gradient, (jnp.asarray(one),), (jnp.asarray(along),))[1]
    wanted = (gradient(jnp.asarray(one + STEP * along)) - gradient(jnp.asarray(one - STEP * along))) / (2 * STEP)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)


def test_the_gradient_of_a_distance_at_zero_is_zero_and_not_nan(x64):
    one = target(3)
    distance = {
        "bures": lambda L: distances.bures_wasserstein(af.Gaussian(jnp.asarray(one.mean), L), one),
        "line": lambda x: distances.wasserstein_1d(x, np.array([1.0, 2.0])),
        "dirac": lambda L: distances.sliced_wasserstein(POINTS, af.Gaussian(jnp.zeros(3), L)),
    }
    places = {"bures": one.factor, "line": np.array([1.0, 2.0]), "dirac": np.zeros((3, 1))}
    found = {name: jax.jit(jax.grad(distance[name]))(place) for name, place in places.items()}
    assert all(np.isfinite(gradient).all() for gradient in found.values())
    np.testing.assert_array_equal(found["line"], 0.0)
    assert np.abs(found["bures"]).max() < 2.0  # at rounding from zero it is a unit vector at most
