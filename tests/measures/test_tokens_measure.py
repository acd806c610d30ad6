from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from attnflow import BadInput, Gaussian, Tokens
from attnflow.measures.tokens import token_covariance


def test_the_moments_are_sums_over_the_tokens_divided_by_their_number(rng):
    points = rng.standard_normal((7, 3)) + 2.0
    tokens = Tokens(points)
    mean = [math.fsum(points[:, i]) / 7 for i in range(3)]
    cov = [[math.fsum((y[i] - mean[i]) * (y[j] - mean[j]) for y in points) / 7 for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(tokens.mean, mean, rtol=1e-14)
    np.testing.assert_allclose(tokens.cov, cov, rtol=1e-13)
    assert (tokens.size, tokens.dim) == (7, 3)


def test_the_moments_agree_with_those_of_the_gaussian_of_the_tokens(rng):
    points = rng.standard_normal((9, 3))
    gaussian = Gaussian.from_tokens(points)
    np.testing.assert_allclose(Tokens(points).mean, gaussian.mean, rtol=1e-13)
    np.testing.assert_allclose(Tokens(points).cov, gaussian.cov, rtol=1e-12, atol=1e-14)


def test_covariances_of_a_stack_are_those_of_its_parts(rng):
    stack = rng.standard_normal((4, 6, 2))
    np.testing.assert_allclose(token_covariance(stack), [np.cov(x.T, bias=True) for x in stack], rtol=1e-12, atol=1e-14)


def test_a_large_mean_does_not_spoil_the_covariance(rng):
    points = rng.standard_normal((50, 2))
    np.testing.assert_allclose(Tokens(points + 1e7).cov, np.cov(points.T, bias=True), rtol=1e-6)


def test_one_token_is_a_point_and_lists_are_taken():
    tokens = Tokens([[1.0, 2.0]])
    assert (tokens.size, tokens.dim) == (1, 2)
    np.testing.assert_array_equal(tokens.cov, np.zeros((2, 2)))
    assert tokens.points.dtype == np.float64


def test_jax_tokens_stay_what_they_are():
    points = jnp.ones((3, 2), jnp.float32)
    assert Tokens(points).points is points


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0.0, np.nan]], r"`points` must be finite: entry \(0, 1\) is nan; remove or replace it"),
        ([[0.0], [np.inf]], r"`points` must be finite: entry \(1, 0\) is inf"),
        (jnp.array([[0.0, np.nan]]), r"`points` must be finite"),
        (np.zeros((0, 3)), r"`points` must hold at least one token"),
        (np.zeros(3), r"`points` must be a matrix: an array of shape \(3,\) was found"),
        (np.zeros((2, 2, 2)), r"`points` must be a matrix"),
        ([[1.0], [1.0, 2.0]], r"`points` must be a rectangular array"),
        ([[1j]], r"`points` must be real"),
        ("cloud", r"`points` must be a rectangular array of numbers"),
    ],
)
def test_bad_input_is_named(points, message):
    with pytest.raises(BadInput, match=message):
        Tokens(points)
