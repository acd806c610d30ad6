"""`attnflow.doors.distances` against quadrature, assignment, linear programming and plain double sums."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist

import attnflow as af
from attnflow.doors import distances
from attnflow.measures import kernel_mean, sliced
from attnflow.measures.sliced import unit_directions
from golden import HERE

CASES = {case["name"]: case for case in json.loads((HERE / "distances.json").read_text())["cases"]}


def gaussian(rng, d, r):
    return af.Gaussian.from_factor(
        rng.standard_normal(d), rng.standard_normal((d, r)) * np.linspace(0.4, 1.5, d)[:, None]
    )


def skewed(rng, n, d):
    return rng.exponential(size=(n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


def kernel(one, two, h):
    return np.exp(-cdist(one, two, "sqeuclidean") / (2 * h**2))


def quadrature(measure: af.Gaussian, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of product Gauss-Hermite quadrature for the Gaussian."""
    if measure.rank > measure.dim:
        measure = af.Gaussian.from_moments(measure.mean, measure.cov)
    x, w = np.polynomial.hermite_e.hermegauss(order)
    grids = np.stack(np.meshgrid(*[x] * measure.rank, indexing="ij"), -1).reshape(-1, measure.rank)
    weights = np.prod(np.stack(np.meshgrid(*[w / w.sum()] * measure.rank, indexing="ij"), -1).reshape(grids.shape), -1)
    return measure.mean + grids @ measure.factor.T, weights


def test_the_golden_distance_on_the_line():
    case = CASES["w2sq_1d_empirical_vs_normal"]
    x, m, s = (np.array(case["inputs"][key]) for key in ("x", "m", "s"))
    found = distances.sliced_wasserstein_squared(x[:, None], af.Gaussian.from_moments([m], [[s**2]]))
    assert found == pytest.approx(case["expected"], rel=case["rtol"])


def test_the_golden_distance_of_singular_gaussians_and_its_square():
    case = CASES["bures2_singular_rank2_d3"]
    one, two = (af.Gaussian.from_factor(np.zeros(3), case["inputs"][key]) for key in ("L1", "L2"))
    assert distances.bures_wasserstein_squared(one, two) == pytest.approx(case["expected"], rel=case["rtol"])
    assert distances.bures_wasserstein(one, two) == pytest.approx(np.sqrt(case["expected"]), rel=case["rtol"])


def test_bures_wasserstein_is_the_formula_with_matrix_roots(rng):
    one, two = gaussian(rng, 4, 5), gaussian(rng, 4, 4)
    root = sqrtm(one.cov)
    trace = np.trace(one.cov + two.cov - 2 * np.real(sqrtm(root @ two.cov @ root)))
    wanted = np.sum(np.square(one.mean - two.mean)) + trace
    assert distances.bures_wasserstein_squared(one, two) == pytest.approx(wanted, rel=1e-11)


@pytest.mark.parametrize(("d", "r", "order"), [(2, 2, 40), (3, 1, 80), (2, 3, 40)])
@pytest.mark.parametrize("unbiased", [False, True])
def test_the_discrepancy_to_a_gaussian_is_that_of_its_quadrature(rng, d, r, order, unbiased):
    points, target, h = skewed(rng, 30, d), gaussian(rng, d, r), 1.7
    nodes, w = quadrature(target, order)
    own = w @ kernel(nodes, nodes, h) @ w
    pairs = kernel(points, points, h)
    mean = (pairs.sum() - 30) / (30 * 29) if unbiased else pairs.mean()
    wanted = mean - 2 * (kernel(points, nodes, h) @ w).mean() + own
    assert distances.mmd_squared(points, target, bandwidth=h, unbiased=unbiased) == pytest.approx(wanted, abs=1e-10)


def test_the_default_bandwidth_is_the_root_of_the_trace(rng):
    points, target = skewed(rng, 20, 3), gaussian(rng, 3, 2)
    h = float(np.sqrt(np.trace(target.cov)))
    assert distances.mmd_squared(points, target) == distances.mmd_squared(points, target, bandwidth=h)
    assert distances.spread(target) == pytest.approx(h / np.sqrt(3), rel=1e-14)


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_discrepancy_of_two_samples_is_a_double_sum(rng, unbiased):
    one, two = skewed(rng, 700, 3), rng.standard_normal((531, 3))
    together = np.concatenate([one, two])
    h = np.sqrt(together.var(axis=0).sum())
    inner = [
        (k.sum() - len(k)) / (len(k) * (len(k) - 1)) if unbiased else k.mean()
        for k in (kernel(x, x, h) for x in (one, two))
    ]
    wanted = sum(inner) - 2 * kernel(one, two, h).mean()
    assert distances.mmd_squared_between(one, two, unbiased=unbiased) == pytest.approx(wanted, rel=1e-11)


def test_the_distance_of_equally_many_numbers_is_the_best_assignment(rng):
    one, two = rng.exponential(size=40), rng.standard_normal(40)
    cost = np.square(one[:, None] - two)
    rows, columns = linear_sum_assignment(cost)
    assert distances.wasserstein_1d(one, two) ** 2 == pytest.approx(cost[rows, columns].mean(), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(5, 7), (6, 4), (1, 3), (9, 3)])
def test_the_distance_of_unequally_many_numbers_is_the_best_plan(rng, n, m):
    one, two = rng.exponential(size=n), rng.standard_normal(m)
    marginals = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    masses = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    plan = linprog(np.square(one[:, None] - two).ravel(), A_eq=marginals, b_eq=masses)
    assert distances.wasserstein_1d(one, two) ** 2 == pytest.approx(plan.fun, rel=1e-9)


@pytest.mark.parametrize("m", [20, 13])
def test_the_sliced_distance_of_two_samples_is_a_mean_of_plans(rng, m):
    one, two = skewed(rng, 20, 3), rng.standard_normal((m, 3))
    repeated = [np.repeat(one, m, axis=0), np.repeat(two, 20, axis=0)]  # equal sizes, the same measures
    axes = unit_directions(3, 5, 4)
    squares = []
    for axis in axes:
        cost = np.square((repeated[0] @ axis)[:, None] - repeated[1] @ axis)
        squares.append(cost[linear_sum_assignment(cost)].mean())
    found = distances.sliced_wasserstein_between(one, two, projections=5, key=4)
    assert found == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-10)


def test_the_distance_on_the_sphere_of_directions_is_the_mean_square_of_the_shift(rng):
    points = rng.standard_normal((200, 4))
    shift = np.array([3.0, -1.0, 2.0, 0.5])
    found = distances.sliced_wasserstein_between(points, points + shift, projections=40_000)
    assert found**2 == pytest.approx(shift @ shift / 4, rel=0.02)


def test_tokens_in_single_precision_keep_their_distances(rng):
    target = af.Gaussian.from_factor(np.zeros(40), rng.standard_normal((40, 40)))
    points = (rng.standard_normal((1500, 40)) @ target.factor.T).astype(np.float32)
    other = rng.standard_normal((900, 40)).astype(np.float32)
    double, more = points.astype(np.float64), other.astype(np.float64)
    for found, exact, rel in (
        (distances.mmd_squared(points, target), distances.mmd_squared(double, target), 1e-3),
        (distances.sliced_wasserstein(points, target), distances.sliced_wasserstein(double, target), 1e-6),
        (distances.mmd_squared_between(points, other), distances.mmd_squared_between(double, more), 1e-5),
        (distances.sliced_wasserstein_between(points, other), distances.sliced_wasserstein_between(double, more), 1e-6),
    ):
        assert isinstance(found, np.float64)
        assert found == pytest.approx(exact, rel=rel)


@pytest.mark.parametrize("place", [0.0, 3e4 + 0.1234])
def test_a_mean_far_from_the_origin_costs_single_precision_only_what_the_tokens_lost(rng, place):
    """The tokens are rounded to float32 first, so that both sides see the same numbers."""
    mean = np.full(6, place)
    target = af.Gaussian.from_factor(mean, np.diag(np.linspace(0.5, 2, 6)))
    points = (mean + rng.standard_normal((800, 6)) @ target.factor.T).astype(np.float32)
    double = points.astype(np.float64)
    assert distances.sliced_wasserstein(points, target) == pytest.approx(
        distances.sliced_wasserstein(double, target), rel=1e-5
    )
    assert distances.mmd_squared(points, target) == pytest.approx(distances.mmd_squared(double, target), rel=1e-4)


def test_blocks_change_nothing(rng, monkeypatch):
    points, other, target = skewed(rng, 90, 4), skewed(rng, 70, 4), gaussian(rng, 4, 3)

    def found():
        return [
            distances.sliced_wasserstein(points, target),
            distances.sliced_wasserstein_between(points, other),
            distances.mmd_squared(points, target),
            distances.mmd_squared_between(points, other),
        ]

    whole = found()
    monkeypatch.setattr(sliced, "BLOCK", 500)
    monkeypatch.setattr(kernel_mean, "BLOCK", 32)
    np.testing.assert_allclose(found(), whole, rtol=1e-12)


def test_far_outliers_are_compared_in_double_precision():
    """In float32 the exponent of two near points at 1e4 bandwidths from the origin would be noise."""
    points = np.array([[1e4, 0.0], [1e4 + 1.0, 0.0], [0.0, 0.5], [-3.0, 0.0]], dtype=np.float32)
    double = points.astype(np.float64)
    assert kernel_mean.kernel_mean(points) == pytest.approx(kernel(double, double, 1.0).mean(), rel=1e-9)


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_units_matter_as_the_names_say(rng, factor):
    points, target = skewed(rng, 60, 3), gaussian(rng, 3, 3)
    scaled = af.Gaussian.from_factor(factor * target.mean, factor * target.factor)
    assert distances.mmd_squared(factor * points, scaled) == pytest.approx(
        distances.mmd_squared(points, target), rel=1e-9
    )
    read = [
        distances.sliced_wasserstein(p, g) / distances.spread(g)
        for p, g in ((points, target), (factor * points, scaled))
    ]
    assert read[1] == pytest.approx(read[0], rel=1e-12)


def test_the_order_of_tokens_and_the_choice_of_the_factor_do_not_matter(rng):
    points, target = skewed(rng, 50, 3), gaussian(rng, 3, 3)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    same = af.Gaussian.from_factor(target.mean, target.factor @ turn)
    shuffled = rng.permutation(points)
    for distance in (distances.sliced_wasserstein, distances.mmd_squared):
        assert distance(shuffled, same) == pytest.approx(distance(points, target), rel=1e-11)
    assert distances.bures_wasserstein(target, same) == pytest.approx(0.0, abs=1e-14)
