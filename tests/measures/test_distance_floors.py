"""What sampling alone costs, against quadrature, high precision, exact cases and simulation."""

from __future__ import annotations

import json

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import betaln, log_ndtr
from scipy.stats import norm

from attnflow import BadInput, Gaussian
from attnflow.doors import distances
from attnflow.measures.floors import fitted_floor, known_floor, two_sample_floor
from attnflow.measures.line import normal_order_means
from attnflow.measures.normality import henze_zirkler_bandwidth, null_moments
from golden import HERE

CASES = {case["name"]: case for case in json.loads((HERE / "distances.json").read_text())["cases"]}
SPREAD = Gaussian.from_moments([1.0, 0.0, -2.0], [[2.0, 0.3, 0.0], [0.3, 1.0, -0.4], [0.0, -0.4, 0.5]])


def order_mean(i: int, n: int) -> float:
    """E X_(i) by adaptive quadrature of its density."""

    def integrand(x: float) -> float:
        logs = (i - 1) * log_ndtr(x) + (n - i) * log_ndtr(-x) - 0.5 * x**2 - betaln(i, n - i + 1)
        return x * np.exp(logs) / np.sqrt(2 * np.pi)

    middle = norm.ppf(i / (n + 1))
    return quad(integrand, -12, middle, epsabs=1e-14)[0] + quad(integrand, middle, 12, epsabs=1e-14)[0]


def cells(n: int) -> np.ndarray:
    heights = norm.pdf(norm.ppf(np.arange(n + 1) / n))
    return heights[:-1] - heights[1:]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 33])
def test_the_floor_of_a_known_law_is_the_sum_over_order_statistics(n):
    wanted = 2 - 2 * sum(c * order_mean(i + 1, n) for i, c in enumerate(cells(n)))
    assert known_floor(n) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("n", [2, 3, 8, 33, 60])
def test_the_floor_of_a_fitted_law_is_the_sum_divided_by_the_mean_deviation(n):
    with mpmath.workdps(30):
        deviation = float(
            mpmath.sqrt(mpmath.mpf(2) / n) * mpmath.gamma(mpmath.mpf(n) / 2) / mpmath.gamma(mpmath.mpf(n - 1) / 2)
        )
    wanted = 2 - 2 * sum(c * order_mean(i + 1, n) for i, c in enumerate(cells(n))) / deviation
    assert fitted_floor(n) == pytest.approx(wanted, rel=1e-9)


def test_two_standardised_numbers_are_plus_and_minus_one():
    assert fitted_floor(2) == pytest.approx(2 - 4 * norm.pdf(0), rel=1e-12)


def test_the_floors_are_those_of_earlier_simulations():
    """n times the mean square, moments fitted and known; each uncertain by 0.03."""
    for n, fitted, known in ((256, 1.665, 3.14), (1024, 1.836, 3.33), (4096, 1.979, 3.46), (8192, 2.032, 3.58)):
        assert n * fitted_floor(n) == pytest.approx(fitted, abs=0.04)
        assert n * known_floor(n) == pytest.approx(known, abs=0.05)


def test_the_floors_of_a_million_tokens_are_smooth_continuations():
    """They grow like log log n."""
    known = [n * known_floor(n) for n in (10**4, 10**5, 10**6)]
    fitted = [n * fitted_floor(n) for n in (10**4, 10**5, 10**6)]
    for values in (known, fitted):
        assert 0.1 < values[2] - values[1] < values[1] - values[0] < 0.3
    np.testing.assert_allclose(np.subtract(known, fitted), 1.5, atol=1e-3)  # what mean (1) and deviation (1/2) absorb


@pytest.mark.parametrize(("i", "n"), [(1, 1), (2, 2), (5, 7), (7, 7), (300, 301), (260, 301)])
def test_the_means_of_order_statistics_are_their_quadrature(i, n):
    assert normal_order_means(n)[i - 1] == pytest.approx(order_mean(i, n), abs=1e-11)


def test_the_golden_mean_of_the_largest_of_64():
    case = CASES["hardmax_Emax_n64"]
    assert normal_order_means(64)[-1] == pytest.approx(case["expected"], rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 4), (3, 5)])
def test_the_floor_of_two_samples_is_the_sum_over_both_orders(n, m):
    one, two = (np.array([order_mean(i + 1, k) for i in range(k)]) for k in (n, m))
    grid = np.arange(n * m)
    wanted = 2 - 2 * np.mean(one[grid // m] * two[grid // n])
    assert two_sample_floor(n, m) == pytest.approx(wanted, rel=1e-11)


def draws(rng, n: int, rounds: int) -> np.ndarray:
    return SPREAD.mean + rng.standard_normal((rounds, n, 3)) @ SPREAD.factor.T


def assert_mean(values: list[float], wanted: float, *, bias: float = 0.0) -> None:
    """Within four standard errors, and `bias` more, relative."""
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - wanted) <= 4 * error + bias * wanted
    assert error < 0.1 * wanted  # the simulation is sharp enough to say something


@pytest.mark.parametrize("fitted", [False, True])
def test_tokens_of_the_gaussian_lie_at_the_floors(rng, fitted):
    n, h = 200, 1.3
    squares, discrepancies = [], []
    for i, points in enumerate(draws(rng, n, 250)):
        target = Gaussian.from_tokens(points) if fitted else SPREAD
        unit = (distances.spread(target) / distances.spread(SPREAD)) ** 2 if fitted else 1.0
        squares.append(distances.sliced_wasserstein_squared(points, target, projections=40, key=i) / unit)
        discrepancies.append(distances.mmd_squared(points, target, bandwidth=h))
    assert_mean(squares, distances.sliced_wasserstein_floor(n, SPREAD, fitted=fitted) ** 2)
    wanted = distances.mmd_squared_floor(n, SPREAD, bandwidth=h, fitted=fitted)
    assert_mean(discrepancies, wanted, bias=3 / n if fitted else 0.0)


def test_two_samples_of_the_gaussian_lie_at_the_floors(rng):
    n, m, h = 120, 70, 1.3
    pairs = list(zip(draws(rng, n, 200), draws(rng, m, 200), strict=True))
    squares = [distances.sliced_wasserstein_between(x, y, projections=40, key=i) ** 2 for i, (x, y) in enumerate(pairs)]
    assert_mean(squares, distances.sliced_wasserstein_floor_between(n, m, SPREAD) ** 2)
    discrepancies = [distances.mmd_squared_between(x, y, bandwidth=h) for x, y in pairs]
    assert_mean(discrepancies, distances.mmd_squared_floor_between(n, m, SPREAD, bandwidth=h))


def test_the_floor_of_the_discrepancy_is_the_null_mean_of_henze_and_zirkler():
    n, d = 400, 5
    h = henze_zirkler_bandwidth(n, d)
    normal = Gaussian.from_moments(np.zeros(d), np.eye(d))
    floor = distances.mmd_squared_floor(n, normal, bandwidth=h, fitted=True)
    assert n * floor == pytest.approx(null_moments(d, h)[0], rel=1e-12)


def test_wide_kernels_keep_the_digits_of_the_floor():
    """For a = 1 / h^2 small, with known moments: 1 - (1 + 2 a)^{-1/2} = a + O(a^2)."""
    line = Gaussian.from_moments([0.0], [[1.0]])
    assert distances.mmd_squared_floor(10, line, bandwidth=1e7) == pytest.approx(1e-15, rel=1e-12)


def test_bad_numbers_of_tokens_are_refused():
    with pytest.raises(BadInput, match="`n` must be a whole number of at least 2"):
        distances.sliced_wasserstein_floor(1, SPREAD, fitted=True)
    with pytest.raises(BadInput, match="`n` must be a whole number of at least 1"):
        distances.mmd_squared_floor(0, SPREAD)
    with pytest.raises(BadInput, match="`m` must be a whole number of at least 1"):
        distances.sliced_wasserstein_floor_between(4, 2.5, SPREAD)
