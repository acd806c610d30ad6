"""Wasserstein distances to a Gaussian, against quadrature, high precision and exact cases."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from attnflow import BadInput, Gaussian
from attnflow.measures.distances import bures_wasserstein, normal_cells, sampling_floor, sliced_wasserstein


def gaussian(rng, d, r):
    return Gaussian.from_factor(rng.standard_normal(d), rng.standard_normal((d, r)))


def test_the_distance_on_the_line_is_the_integral_over_quantiles(rng):
    points, mean, sigma = np.sort(rng.exponential(size=7)), 0.3, 1.4
    square = sum(
        quad(lambda u, x=x: (x - norm.ppf(u, mean, sigma)) ** 2, i / 7, (i + 1) / 7, epsabs=1e-13, limit=400)[0]
        for i, x in enumerate(points)
    )
    found = sliced_wasserstein(points[:, None], Gaussian.from_moments([mean], [[sigma**2]]))
    assert found**2 == pytest.approx(square, rel=1e-9)


def test_a_golden_case_on_the_line():
    points = np.array([-1.3, -0.4, -0.1, 0.2, 0.6, 1.1, 2.4])
    found = sliced_wasserstein(points[:, None], Gaussian.from_moments([0.2], [[1.1**2]]))
    assert found**2 == pytest.approx(0.130861223794376, rel=1e-12)


def test_the_distance_to_a_dirac_mass_is_exact_up_to_the_directions(rng):
    points = rng.standard_normal((50, 3))
    dirac = Gaussian.from_factor([1.0, 0.0, 0.0], np.zeros((3, 0)))
    square = np.mean(np.sum(np.square(points - dirac.mean), axis=1)) / 3
    assert sliced_wasserstein(points, dirac, directions=20_000) ** 2 == pytest.approx(square, rel=0.03)


def test_a_shift_adds_to_the_square_exactly(rng):
    points, base = rng.standard_normal((40, 2)), gaussian(rng, 2, 2)
    found = [sliced_wasserstein(points + s, base, directions=64, seed=3) ** 2 for s in (0.0, 0.5, 1.0)]
    assert found[2] - 2 * found[1] + found[0] == pytest.approx(2 * 0.25 * _mean_square_sum(64, 3), rel=1e-9)


def _mean_square_sum(directions, seed):
    """The mean over the directions of (theta . (1, 1))^2."""
    axes = np.random.default_rng(seed).standard_normal((2, directions))
    return np.mean(np.square((axes / np.linalg.norm(axes, axis=0)).sum(axis=0)))


def test_a_sample_of_the_gaussian_lies_at_the_floor(rng):
    base = gaussian(rng, 4, 4)
    found = [
        sliced_wasserstein(base.mean + rng.standard_normal((400, 4)) @ base.factor.T, base, seed=i) for i in range(12)
    ]
    floor = sampling_floor(400) * np.sqrt(np.trace(base.cov) / 4)
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(floor, rel=0.15)


def test_the_floor_is_that_of_the_literature():
    """n E W2^2 for known parameters, from independent simulations."""
    assert 256 * sampling_floor(256) ** 2 == pytest.approx(3.14, rel=0.04)
    assert 1024 * sampling_floor(1024) ** 2 == pytest.approx(3.33, rel=0.05)


def test_the_cells_have_the_mass_and_the_moments_of_the_normal_law():
    means, rest = normal_cells(9)
    edges = norm.ppf(np.arange(10) / 9)
    wanted = [9 * quad(lambda x: x * norm.pdf(x), a, b)[0] for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(means, wanted, atol=1e-12)
    assert rest + np.mean(np.square(means)) == pytest.approx(1.0)


@pytest.mark.parametrize("ranks", [(3, 3), (2, 3), (1, 2), (0, 2)])
def test_bures_wasserstein_is_the_textbook_formula_in_high_precision(rng, ranks):
    one, two = (gaussian(rng, 3, r) for r in ranks)
    with mpmath.workdps(60):
        first, second = (mpmath.matrix(np.asarray(g.factor).tolist()) if g.rank else None for g in (one, two))
        cross = mpmath.mpf(0)
        if first is not None and second is not None:
            inner = first.T * second
            values, _ = mpmath.eigsy(inner * inner.T)
            cross = sum(mpmath.sqrt(abs(v)) for v in values)
        traces = sum(mpmath.mpf(x) ** 2 for g in (one, two) for x in np.asarray(g.factor).ravel().tolist())
        shift = sum(mpmath.mpf(x) ** 2 for x in (np.asarray(one.mean) - np.asarray(two.mean)).tolist())
        wanted = float(mpmath.sqrt(shift + traces - 2 * cross))
    assert bures_wasserstein(one, two) == pytest.approx(wanted, rel=1e-12)


def test_nearly_equal_covariances_keep_their_relative_accuracy():
    """For commuting covariances the distance is that of the roots."""
    scale = np.array([1.0, 2.0, 0.5])
    other = scale * (1 + 1e-9 * np.array([1.0, -2.0, 3.0]))
    one, two = (Gaussian.from_factor(np.zeros(3), np.diag(s)) for s in (scale, other))
    assert bures_wasserstein(one, two) == pytest.approx(np.linalg.norm(scale - other), rel=1e-6)


def test_different_dimensions_are_refused(rng):
    with pytest.raises(BadInput, match="`one` and `two` must share one dimension"):
        bures_wasserstein(gaussian(rng, 2, 1), gaussian(rng, 3, 1))
    with pytest.raises(BadInput, match="`points` and `gaussian` must share one dimension"):
        sliced_wasserstein(np.zeros((4, 2)), gaussian(rng, 3, 1))
