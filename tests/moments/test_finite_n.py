"""Weights of n Gaussian keys against golden numbers, one-dimensional integrals for two keys, Monte Carlo and limits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from attnflow import BadInput, Gaussian
from attnflow.moments.finite_n import expected_collision, expected_maximum, freezing, self_weight
from attnflow.moments.finite_n_table import average_weights
from attnflow.moments.trust import Regime, trust

GOLDEN = [
    (1.0, 16, 0.13245221721959888),
    (1.0, 4096, 0.0006624177852910675),
    (3.0, 4096, 0.07862424165690599),
    (6.0, 4096, 0.4212211886336283),
    (12.0, 4096, 0.70015223161181),
]


def normal_mean(function) -> float:
    """E f(Z) by adaptive high-precision quadrature."""
    density = lambda z: mp.npdf(z) * function(z)  # noqa: E731
    return float(mp.quad(density, [-12, -6, -3, -1.5, -0.5, 0.5, 1.5, 3, 6, 12]))


@pytest.mark.parametrize(("s", "n", "wanted"), GOLDEN)
def test_the_collision_is_the_golden_number(s, n, wanted):
    assert expected_collision(s, n) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("s", [0.3, 1.4999, 1.5001, 4.0, 15.0])
def test_two_keys_collide_as_a_logistic_integral_says(s):
    root = mp.sqrt(2) * s
    wanted = normal_mean(lambda z: (1 + mp.tanh(root * z / 2) ** 2) / 2)
    assert expected_collision(s, 2) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("n", [1, 3, 4096, 10**6])
def test_equal_keys_collide_with_one_over_n(n):
    assert expected_collision(0.0, n) == pytest.approx(1 / n, rel=1e-12)


def test_small_deviations_give_the_exponential_of_the_variance_over_n():
    s = np.array([0.5, 1.0, 1.49, 1.51, 2.0])
    n = 1e9
    np.testing.assert_allclose(n * expected_collision(s, n), np.exp(s**2), rtol=1e-3)


def test_one_key_has_all_of_the_weight():
    np.testing.assert_allclose(expected_collision(np.array([0.0, 1.0, 30.0]), 1), 1.0, rtol=1e-12)
    own, collision = self_weight(np.array([0.5, 3.0]), -1.0, 1)
    np.testing.assert_allclose(own, 1.0, rtol=1e-12)
    np.testing.assert_array_equal(collision, 0.0)


@pytest.mark.parametrize(("s", "n"), [(0.7, 64), (2.5, 64), (4.0, 512), (30.0, 7)])
def test_the_collision_is_what_sampled_keys_give(rng, s, n):
    logits = s * rng.standard_normal((4000, n))
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    sums = np.sum((weights / weights.sum(axis=1, keepdims=True)) ** 2, axis=1)
    assert abs(sums.mean() - expected_collision(s, n)) < 4 * sums.std() / np.sqrt(len(sums))


@pytest.mark.parametrize("n", [64, 4096])
def test_beyond_freezing_the_pull_is_that_of_the_largest_key(n):
    s = np.array([200.0, 400.0])
    pull = s * (1 - expected_collision(s, n))
    extrapolated = 2 * pull[1] - pull[0]
    assert extrapolated == pytest.approx(float(expected_maximum(n)), rel=2e-4)
    assert expected_collision(freezing(n), n) < 0.35 < expected_collision(2 * freezing(n), n)


def test_expected_maxima():
    wanted = [0.0, 1 / np.sqrt(np.pi), 1.5 / np.sqrt(np.pi), 2.3437334650794397]
    np.testing.assert_allclose(expected_maximum(np.array([1, 2, 3, 64])), wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("s", [0.0, 0.8, 3.0, 20.0])
@pytest.mark.parametrize("y", [-1.3, 0.4, 2.2])
def test_the_query_and_one_other_key_share_as_a_logistic_integral_says(s, y):
    log_w0 = s * y - s * s / 2 + (y if s == 0 else 0)
    share = lambda z: 1 / (1 + mp.exp(s * z - s * s / 2 - log_w0))  # noqa: E731
    own, collision = self_weight(s, log_w0, 2)
    assert own == pytest.approx(normal_mean(share), abs=1e-10)
    assert collision == pytest.approx(normal_mean(lambda z: (1 - share(z)) ** 2), abs=1e-10)


@pytest.mark.parametrize(("s", "n"), [(0.5, 5), (2.0, 4096), (6.0, 300), (25.0, 12)])
def test_a_query_drawn_like_a_key_has_one_share_in_n(s, n):
    z = np.linspace(-9, 9, 501)
    density = np.exp(-(z**2) / 2) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
    own, collision = self_weight(s, s * z - s * s / 2, n)
    assert density @ own == pytest.approx(1 / n, rel=1e-8)
    assert density @ collision == pytest.approx((n - 1) / n * float(expected_collision(s, n)), rel=1e-8)


def test_the_own_weight_is_what_sampled_keys_give(rng):
    s, log_w0, n = 3.0, 2.0, 200
    others = np.exp(s * rng.standard_normal((20000, n - 1)) - s * s / 2)
    total = np.exp(log_w0) + others.sum(axis=1)
    found = self_weight(s, log_w0, n)
    for samples, value in (
        (np.exp(log_w0) / total, found.own),
        (np.sum(others**2, axis=1) / total**2, found.collision),
    ):
        assert abs(samples.mean() - value) < 4 * samples.std() / np.sqrt(len(samples))


def test_huge_own_logits_take_all_or_nothing():
    own, collision = self_weight(3.0, np.array([-1e6, 1e6]), 100)
    np.testing.assert_allclose(own, [0, 1], atol=1e-12)
    np.testing.assert_allclose(collision, [expected_collision(3.0, 99), 0], atol=1e-11)


SLOPE = jax.jit(jax.grad(lambda x: expected_collision(x, 300.0)))
SLOPES = jax.jit(jax.jacfwd(lambda x: jnp.stack(self_weight(x[0], x[1], 300.0))))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("s", [0.0, 0.9, 1.5, 5.0])
def test_gradients_are_differences(s):
    step = 1e-4
    found = SLOPE(jnp.asarray(s))
    wanted = (expected_collision(abs(s + step), 300) - expected_collision(abs(s - step), 300)) / (2 * step)
    assert found == pytest.approx(wanted, abs=1e-8)
    here = np.array([s + 1.0, 0.7])
    slopes = SLOPES(jnp.asarray(here))
    for k in range(2):
        shift = step * np.eye(2)[k]
        up, down = (np.stack(self_weight(*(here + sign * shift), 300)) for sign in (1, -1))
        np.testing.assert_allclose(slopes[:, k], (up - down) / (2 * step), atol=1e-8)


def test_numbers_stay_double_and_jax_arrays_stay_theirs():
    assert expected_collision(np.array([1.0, 2.0]), 16).dtype == np.float64
    single = jax.jit(jax.vmap(lambda s: expected_collision(s, 16)))(jnp.array([1.0, 3.0], jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, expected_collision(np.array([1.0, 3.0]), 16), rtol=2e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("n", [1, 2, 33, 4096])
def test_the_table_is_the_quadrature(rng, n):
    s = np.concatenate([[0.0, 150.0], rng.uniform(0, 1, 40), rng.uniform(0, 12, 80)])
    q = s * rng.standard_normal(s.size) + np.where(s < 1, 4 * rng.standard_normal(s.size), 0.0)
    s2, step = s**2 + 1e-3, 1e-3

    def exact(s2, q):
        return np.stack(self_weight(np.sqrt(s2), q - s2 / 2, n))

    found = average_weights(jnp.asarray(s2), jnp.asarray(q), n, self_key=True)
    np.testing.assert_allclose(np.stack([found.own, found.collision]), exact(s2, q), atol=2e-5)
    in_q = (exact(s2, q + step) - exact(s2, q - step)) / (2 * step)
    in_s2 = (exact(s2 + step, q) - exact(s2 - step, q)) / (2 * step)
    for own, pull, slope in ((found.own_q, found.pull_q, in_q), (found.own_s2, found.pull_s2, in_s2)):
        np.testing.assert_allclose(np.stack([own, pull]), np.stack([slope[0], -slope.sum(axis=0)]), atol=2e-4)
    apart = average_weights(jnp.asarray(s2), jnp.asarray(q), n, self_key=False)
    np.testing.assert_allclose(apart.collision, expected_collision(np.sqrt(s2), n), atol=1e-5)
    np.testing.assert_allclose(apart.own, 0.0, atol=1e-12)


def test_the_three_conditions_are_the_averages_that_they_name(rng):
    d, n = 3, 500
    B, V, mean, L, bias = (0.5 * rng.standard_normal(shape) for shape in ((d, d), (d, d), d, (d, d), d))
    found = trust(Gaussian(mean, L), B, V, n, query_bias=bias)
    x = mean + rng.standard_normal((400_000, d)) @ L.T
    xi = x @ B.T + bias
    s2 = np.sum((xi @ L) ** 2, axis=1)
    own = np.sum(xi * (x - mean), axis=1) - s2 / 2
    field = xi @ (V @ L @ L.T).T
    varied = np.sum((field - field.mean(axis=0)) ** 2, axis=1).mean()
    assert found.kappa == pytest.approx(s2.mean(), rel=0.02)
    assert found.self_weight.value == pytest.approx(own.mean(), abs=0.02)
    assert found.noise.value == pytest.approx(found.collision * np.sum((V @ L) ** 2) / varied, rel=0.02)
    assert found.collision == pytest.approx(float(expected_collision(np.sqrt(found.kappa), n)), rel=1e-12)


def test_the_regime_follows_the_size_of_the_logits_and_n():
    cov = np.array([[1.0, 0.2], [0.2, 0.6]])
    start, B = Gaussian.from_moments([0.3, -0.2], cov), np.array([[0.9, 0.2], [-0.3, 0.7]])
    assert trust(start, B, 1.0, 10**6).regime == Regime.MEAN_FIELD
    assert trust(start, B, 1.0, 8).regime == Regime.FINITE_N
    assert trust(start, 10 * B, 1.0, 1000).regime == "frozen"
    attentive = trust(start, 4 * np.eye(2), 1.0, 10**6)  # every query prefers itself
    assert attentive.regime == Regime.FINITE_N


def test_fields_without_variation_are_compared_with_their_own_size():
    start = Gaussian.from_moments([1.0, 0.0], np.diag([0.5, 0.25]))
    assert trust(start, 0.0, 1.0, 100).noise.value == pytest.approx(0.75 / 100)
    assert trust(start, 0.0, 1.0, 100).shared == pytest.approx(1.0)
    assert trust(start, 0.5, 0.0, 100).noise == (0.0, 0.1)
    assert trust(Gaussian.from_moments([0.0, 0.0], np.eye(2)), 0.0, 1.0, 100).noise.value == np.inf
    assert trust(Gaussian(np.ones(2), np.zeros((2, 0))), 0.5, 1.0, 100).regime == Regime.MEAN_FIELD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "`n` must be positive"),
        ({"n": 0.5}, "`n` must be at least 1"),
        ({"B": np.ones((3, 3))}, "`B` must have shape"),
        ({"margin": 0.0}, "`margin` must be positive"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"B": np.eye(2), "V": 1.0, "n": 10, "margin": 0.1} | change
    margin = arguments.pop("margin")
    with pytest.raises(BadInput, match=message):
        trust(Gaussian(np.zeros(2), np.eye(2)), **arguments, margin=margin)
