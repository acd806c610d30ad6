"""Gaussian noise with given moments, and the expected weights between the tables."""

import numpy as np
import pytest
from scipy.stats import beta, kstest

from attnflow.diagnostics.finite_weights import NODES, expected_weights
from attnflow.diagnostics.matched_noise import matched_noise, two_lengths, whitening
from attnflow.moments.finite_n import self_weight


@pytest.mark.parametrize(("n", "rank"), [(500, 7), (40, 39), (41, 39)])
def test_the_moments_are_exact(rng, n, rank):
    z = matched_noise(n, rank, rng).astype(float)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=2e-4)
    np.testing.assert_allclose(z.T @ z / n, np.eye(rank), atol=2e-3)


def test_squared_lengths_have_the_law_of_a_random_projection_of_a_simplex(rng):
    n, rank = 60, 13
    squares = np.concatenate([np.sum(matched_noise(n, rank, rng)[:2] ** 2, axis=1) for _ in range(150)])
    assert kstest(squares / (n - 1), beta(rank / 2, (n - 1 - rank) / 2).cdf).pvalue > 0.01


def test_the_control_has_the_covariance_and_another_kurtosis(rng):
    radii = two_lengths(200_000, rng)
    assert np.mean(radii**2) == pytest.approx(1.0, rel=0.02)
    assert 3 * np.mean(radii**4) == pytest.approx(10.68, rel=0.04)
    z, W = whitening(rng.standard_normal((20_000, 3)) * two_lengths(20_000, rng)[:, None])
    z = z @ W
    np.testing.assert_allclose(z.T @ z / 20_000, np.eye(3), atol=1e-9)
    assert np.mean(z**4) == pytest.approx(10.7, rel=0.15)


def test_expected_weights_are_those_of_the_integrals(rng):
    s2 = rng.gamma(1.0, 4.0, (2, 12))
    q = 2 * rng.standard_normal((2, 12)) * np.sqrt(s2)
    counts = np.repeat([1, 3, 64, 90], 3)
    own, pull = expected_weights(s2, q, counts)
    exact = self_weight(np.sqrt(s2), q - s2 / 2, counts.astype(float))
    apart = np.maximum(np.abs(own - exact.own), np.abs(pull - (1 - exact.own - exact.collision)))
    at_node = np.isin(counts, NODES)
    assert apart[:, at_node].max() < 3e-5
    assert apart[:, ~at_node].max() < 2e-3
