"""The bounds of W_2 against the exact optimal assignment and a search over rotations; the extrapolated slope."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group

from attnflow import Gaussian
from attnflow.diagnostics.coupling import between, coupled, standard_noise
from attnflow.diagnostics.extrapolation import initial_slope
from attnflow.measures.sliced import unit_directions


@pytest.mark.parametrize("n", [40, 41])
def test_the_noise_has_exact_moments(n, rng):
    noise = standard_noise(n, 3, rng)
    assert noise.shape == (n, 3)
    assert noise.mean(axis=0) == pytest.approx(0.0, abs=1e-14)
    assert noise.T @ noise / n == pytest.approx(np.eye(3), abs=1e-12)


@pytest.fixture
def moved(rng):
    """Points that a nonlinear map made out of noise, the noise, and a Gaussian nearby that is turned by a rotation."""
    noise = standard_noise(300, 2, rng)
    factor = np.array([[1.0, 0.3], [-0.2, 0.8]])
    points = noise @ factor.T + 1.2 * np.maximum(noise @ np.array([[0.0, 1.0], [-1.0, 0.5]]), 0.0)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    return points, noise, Gaussian.from_factor([0.1, -0.05], 1.1 * factor @ turn)


def test_the_optimal_assignment_lies_between_the_bounds(moved):
    points, noise, gaussian = moved
    found = between(points, noise, gaussian, unit_directions(2, 64, 0))
    cost = cdist(points, coupled(points, noise, gaussian), "sqeuclidean")
    rows, columns = linear_sum_assignment(cost)
    exact = np.sqrt(cost[rows, columns].mean())
    assert found.lower < exact < found.upper
    assert found.sliced < exact * (1 + 0.05)  # sqrt(d) times the average over 64 directions, not over all
    assert found.upper < 2 * found.lower


def test_the_partner_is_a_sample_of_the_gaussian_and_no_rotation_is_nearer(moved, rng):
    points, noise, gaussian = moved
    partner = coupled(points, noise, gaussian)
    assert np.cov(partner.T, bias=True) == pytest.approx(gaussian.cov, rel=1e-12)
    assert partner.mean(axis=0) == pytest.approx(gaussian.mean, rel=1e-12)
    best = np.mean(np.sum(np.square(points - partner), axis=1))
    for turn in ortho_group.rvs(2, size=200, random_state=rng):
        other = gaussian.mean + noise @ turn.T @ gaussian.factor.T
        assert np.mean(np.sum(np.square(points - other), axis=1)) >= best * (1 - 1e-12)


def test_affine_maps_of_the_noise_have_distance_zero_to_their_gaussian(rng):
    noise = standard_noise(50, 2, rng)
    factor, turn = rng.normal(size=(3, 2)), ortho_group.rvs(2, random_state=rng)
    points = np.array([1.0, 2.0, -1.0]) + noise @ factor.T
    found = between(points, noise, Gaussian.from_factor([1.0, 2.0, -1.0], factor @ turn), unit_directions(3, 8, 0))
    assert max(found) < 1e-7


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_slope_of_a_polynomial_is_found_from_its_first_times(count):
    ts = np.array([0.0, 0.1, 0.25, 0.4, 0.5, 0.9])[: count + 1]
    coefficients = (2.0, *(-1.0, 3.0)[: count - 1])
    distances = sum(c * ts ** (k + 1) for k, c in enumerate(coefficients))
    assert initial_slope(ts, distances) == pytest.approx(2.0, rel=1e-12)


def test_without_a_positive_time_there_is_no_slope():
    assert initial_slope(np.array([0.0]), np.array([0.0])) is None
