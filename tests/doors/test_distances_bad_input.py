"""What `attnflow.doors.distances` refuses, and in which words."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow import BadInput
from attnflow.doors import distances

POINTS = np.random.default_rng(0).standard_normal((6, 3))
GAUSSIAN = af.Gaussian.from_moments(np.zeros(3), np.diag([1.0, 2.0, 0.0]))
LINE = af.Gaussian.from_moments([0.0], [[1.0]])
HOLED = np.where(np.arange(18).reshape(6, 3) == 7, np.nan, POINTS)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: distances.sliced_wasserstein(POINTS, LINE),
            "`tokens` and `gaussian` must share one dimension d: 3 and 1",
        ),
        (lambda: distances.mmd_squared(POINTS, LINE), "`tokens` and `gaussian` must share one dimension d: 3 and 1"),
        (lambda: distances.bures_wasserstein(GAUSSIAN, LINE), "`g1` and `g2` must share one dimension d: 3 and 1"),
        (lambda: distances.mmd_squared_between(POINTS, POINTS[:, :2]), "`one` and `two` must share one dimension"),
        (lambda: distances.bures_wasserstein(POINTS, GAUSSIAN), "`g1` must be a Gaussian: ndarray was found"),
        (lambda: distances.sliced_wasserstein(POINTS, POINTS), "`gaussian` must be a Gaussian: ndarray was found"),
        (lambda: distances.sliced_wasserstein(POINTS[0], GAUSSIAN), "`tokens` must be a matrix"),
        (lambda: distances.mmd_squared(POINTS[:0], GAUSSIAN), "`tokens` must hold at least one token"),
        (lambda: distances.mmd_squared(HOLED, GAUSSIAN), r"`tokens` must be finite: entry \(2, 1\) is nan"),
        (lambda: distances.mmd_squared(HOLED.astype(np.float32), GAUSSIAN), r"`tokens` must be finite: entry \(2, 1\)"),
        (lambda: distances.sliced_wasserstein_between(POINTS, HOLED), "`two` must be finite"),
        (lambda: distances.mmd_squared(POINTS, GAUSSIAN, bandwidth=0.0), "`bandwidth` must be positive: 0 was found"),
        (
            lambda: distances.mmd_squared_between(POINTS, POINTS, bandwidth=-1),
            "`bandwidth` must be positive: -1 was found",
        ),
        (
            lambda: distances.mmd_squared(POINTS, af.Gaussian.from_factor([0, 0, 0], np.zeros((3, 1)))),
            "must be given when",
        ),
        (
            lambda: distances.mmd_squared_between(np.ones((3, 2)), np.ones((2, 2))),
            "must be given when all tokens are equal",
        ),
        (lambda: distances.mmd_squared(POINTS[:1], GAUSSIAN, unbiased=True), "`tokens` must hold at least two tokens"),
        (
            lambda: distances.mmd_squared_between(POINTS, POINTS[:1], unbiased=True),
            "`two` must hold at least two tokens",
        ),
        (lambda: distances.sliced_wasserstein(POINTS, GAUSSIAN, projections=0), "`projections` must be a whole number"),
        (
            lambda: distances.sliced_wasserstein(POINTS, GAUSSIAN, projections=2.5),
            "`projections` must be a whole number",
        ),
        (lambda: distances.wasserstein_1d([], [1.0]), "`one` must hold at least one number"),
        (lambda: distances.wasserstein_1d([1.0], POINTS), "`two` must be a vector"),
        (lambda: distances.wasserstein_1d([np.inf], [1.0]), "`one` must be finite"),
        (lambda: distances.spread(POINTS), "`gaussian` must be a Gaussian"),
    ],
)
def test_what_breaks_a_rule_is_named(call, words):
    with pytest.raises(BadInput, match=words):
        call()


@pytest.mark.parametrize(
    "tokens",
    [
        af.Tokens(POINTS),
        POINTS.tolist(),
        jnp.asarray(POINTS),
        POINTS.astype(np.float16),
        jnp.asarray(POINTS, jnp.bfloat16),
    ],
    ids=["Tokens", "lists", "jax", "half", "bfloat16"],
)
def test_tokens_may_come_in_many_ways(tokens):
    raw = tokens.points if isinstance(tokens, af.Tokens) else tokens
    double = np.asarray(raw).astype(np.float64)
    for distance in (distances.sliced_wasserstein, distances.mmd_squared):
        found = distance(tokens, GAUSSIAN)
        assert isinstance(found, np.float64)
        assert found == pytest.approx(distance(double, GAUSSIAN), rel=1e-5)
    assert distances.henze_zirkler(tokens).rank == 3


def test_large_numbers_in_single_precision_are_no_infinities():
    """Their squares overflow float32."""
    points = (1e25 * POINTS).astype(np.float32)
    target = af.Gaussian.from_factor(np.zeros(3), 1e25 * np.eye(3))
    small = af.Gaussian.from_factor(np.zeros(3), np.eye(3))
    assert distances.mmd_squared(points, target) == pytest.approx(distances.mmd_squared(POINTS, small), rel=1e-4)


@pytest.mark.parametrize("width", [1e-9, 1e-50])
def test_a_bandwidth_below_rounding_is_refused(width):
    points = np.random.default_rng(0).normal(size=(30, 3))
    gaussian = af.Gaussian.from_moments(np.zeros(3), np.eye(3))
    for call in (
        lambda: distances.mmd_squared(points, gaussian, bandwidth=width),
        lambda: distances.mmd_squared_between(points, points[:9], bandwidth=width),
        lambda: distances.henze_zirkler(points, bandwidth=width),
    ):
        with pytest.raises(BadInput, match="`bandwidth` must be at least"):
            call()
    far = points + 1e9  # the place of the tokens does not count
    assert 0 < distances.mmd_squared_between(far, far[:9] + 1.0) < 2
