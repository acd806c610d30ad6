"""What is measured on a cloud of tokens, against definitions and independent functions in float64."""

import numpy as np
import pytest
from scipy.stats import kstest

from attnflow.diagnostics.kernel_discrepancy import discrepancy_floor_squared
from attnflow.diagnostics.massive import MASSIVE, massive_channels
from attnflow.diagnostics.matched_noise import matched_noise
from attnflow.diagnostics.spread import spread_of
from attnflow.diagnostics.state import measure_state, token_cosine
from attnflow.measures.gaussian import Gaussian
from attnflow.measures.mmd import fitted_floor, mmd_squared
from attnflow.measures.normality import exact_null_mean, henze_zirkler_test
from attnflow.measures.sliced import sliced_squared, unit_directions


def cloud(rng, n, d):
    """Tokens with a mean, correlated, with heavier tails than a Gaussian."""
    mixing = rng.standard_normal((d, d)) @ np.diag(np.linspace(0.2, 2.0, d))
    radii = rng.choice([0.4, 1.8], size=(n, 1))
    return (radii * rng.standard_normal((n, d)) @ mixing.T + np.arange(d) / 3).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(400, 12), (30, 64), (64, 64)])
def test_a_state_holds_what_the_definitions_say(rng, n, d):
    x = cloud(rng, n, d)
    exact = x.astype(float)
    axes = unit_directions(d, 40, 3)
    state, fitted = measure_state(x, axes), Gaussian.from_tokens(exact)
    cov = np.cov(exact.T, bias=True)
    spectrum = np.linalg.eigvalsh(cov)[::-1]
    assert state.n == n
    assert state.mean_norm == pytest.approx(np.linalg.norm(exact.mean(axis=0)), rel=1e-6)
    assert state.cov_trace == pytest.approx(np.trace(cov), rel=1e-6)
    np.testing.assert_allclose(state.spectrum, spectrum, atol=1e-6 * spectrum[0])
    assert state.effective_rank == pytest.approx(np.trace(cov) ** 2 / np.linalg.norm(cov) ** 2, rel=1e-6)
    assert state.numerical_rank == min(d, n - 1)
    assert state.sliced_w2 == pytest.approx(np.sqrt(sliced_squared(exact, fitted, axes)), rel=1e-4)
    assert state.sliced_w2_scaled == pytest.approx(state.sliced_w2 / np.sqrt(np.trace(cov) / d), rel=1e-6)
    squared = mmd_squared(exact, fitted, bandwidth=np.sqrt(np.trace(cov)))
    assert state.mmd == pytest.approx(np.sqrt(squared), rel=2e-3)
    assert (state.normality_p is None) == (n < 4 * d)


def test_the_mean_cosine_is_the_mean_over_pairs(rng):
    x = cloud(rng, 17, 5)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(17) for j in range(17) if i != j]
    assert token_cosine(x) == pytest.approx(np.mean(pairs), rel=1e-5)
    assert token_cosine(x[:1]) is None


def test_collapsed_tokens_have_cosine_one_and_keep_their_rank(rng):
    away = rng.standard_normal((200, 6))
    state = measure_state((100 * np.ones(6) + away).astype(np.float32), unit_directions(6, 8, 0))
    assert state.token_cosine == pytest.approx(1.0, abs=2e-4)
    assert state.numerical_rank == 6
    assert state.effective_rank > 5


def test_the_eigenproblem_of_the_tokens_gives_the_axes_of_the_covariance(rng):
    x = cloud(rng, 20, 50)
    spread = spread_of(x)
    cov = np.cov(x.astype(float).T, bias=True)
    np.testing.assert_allclose(spread.factor @ spread.factor.T, cov, atol=1e-6 * np.trace(cov))
    np.testing.assert_allclose(spread.axes.T @ spread.axes, np.eye(19), atol=1e-6)


def test_one_point_is_its_own_gaussian():
    axes = unit_directions(4, 8, 0)
    for tokens in (np.ones((1, 4), np.float32), np.full((9, 4), 0.3, np.float32), np.zeros((5, 4), np.float32)):
        state = measure_state(tokens, axes)
        assert (state.cov_trace, state.numerical_rank, state.sliced_w2, state.mmd) == pytest.approx((0, 0, 0, 0))
        assert state.normality_p is None
        assert state.massive_channels == ()


@pytest.mark.parametrize("size", [1.0, 3e4])
def test_what_rounding_leaves_of_equal_tokens_has_no_massive_entries(rng, size):
    point = size * rng.standard_normal(64)
    x = np.tile(point.astype(np.float32), (300, 1))
    x[7, 5] = np.nextafter(x[7, 5], np.float32(np.inf))
    x[9:12, 8] = np.nextafter(x[9:12, 8], np.float32(-np.inf))
    state = measure_state(x, unit_directions(64, 8, 0))
    assert (state.massive_channels, state.massive_share) == ((), 0.0)
    spread = np.sqrt(x.astype(float).var(axis=0).mean())
    assert 0 < spread < np.finfo(np.float32).eps * state.mean_norm
    assert massive_channels(x, spread) == ((), 0.0)
    y = x + (1e-3 * size * rng.standard_normal(x.shape)).astype(np.float32)
    y[20, 30] += 0.02 * size
    assert [m.channel for m in measure_state(y, unit_directions(64, 8, 0)).massive_channels] == [30]


def test_massive_entries_are_counted_by_channel_and_by_token(rng):
    x = rng.standard_normal((1000, 40)).astype(np.float32)
    x[:30, 7] += 60
    x[20:60, 3] -= 40
    x[:, 11] += 500  # large in all tokens: part of the mean
    state = measure_state(x, unit_directions(40, 8, 0))
    centred = x.astype(float) - x.mean(axis=0, dtype=float)
    bound = MASSIVE * np.sqrt(np.mean(np.square(centred)))
    large = np.abs(x - np.median(x, axis=0)) >= bound
    assert [m.channel for m in state.massive_channels] == [3, 7]
    assert [m.share for m in state.massive_channels] == pytest.approx([large[:, 3].mean(), large[:, 7].mean()])
    assert state.massive_channels[0].share == pytest.approx(0.04)
    assert state.massive_share == pytest.approx(0.06)


def test_a_channel_in_which_many_tokens_are_massive_is_measured_from_its_median(rng):
    x = rng.standard_normal((1000, 40)).astype(np.float32)
    x[:300, 5] = 10 + 0.1 * rng.standard_normal(300)  # seven from the mean of the channel: the bound is 7.3
    state = measure_state(x, unit_directions(40, 8, 0))
    assert [m.channel for m in state.massive_channels] == [5]
    assert state.massive_share == pytest.approx(0.3)


def test_distances_of_gaussian_tokens_lie_at_their_floors(rng):
    x = (rng.standard_normal((1500, 60)) * np.linspace(0.3, 2, 60)).astype(np.float32)
    state = measure_state(x, unit_directions(60, 200, 1))
    assert state.sliced_w2_scaled == pytest.approx(state.sliced_w2_floor_scaled, rel=0.05)
    assert state.mmd == pytest.approx(state.mmd_floor, rel=0.02)


@pytest.mark.parametrize("n", [24, 120])
def test_the_floor_of_few_gaussian_tokens_is_their_mean_discrepancy(rng, n):
    values = np.linspace(0.2, 3.0, 23) ** 2
    h = float(np.sqrt(values.sum()))
    found = []
    for _ in range(30):
        x = matched_noise(n, 23, rng).astype(float) * np.sqrt(values)
        found.append(mmd_squared(x, Gaussian(np.zeros(23), np.diag(np.sqrt(values))), bandwidth=h))
    assert discrepancy_floor_squared(values, h, n) == pytest.approx(np.mean(found), rel=0.04)


def test_the_floor_of_many_tokens_is_the_known_closed_form():
    values = np.linspace(0.2, 3.0, 23)
    expected = fitted_floor(Gaussian(np.zeros(23), np.diag(np.sqrt(values))), bandwidth=2.5, n=500)
    assert discrepancy_floor_squared(values, 2.5, 500) == pytest.approx(expected, rel=1e-12)


def test_the_null_mean_is_exact_for_a_simplex():
    n, h = 9, 1.7  # rank n - 1: all distances are equal, T is a number and not random
    b = h**-2
    own, cross = (1 + 2 * b) ** -4, (1 + b) ** -4 * np.exp(-0.5 * b / (1 + b) * (n - 1))
    expected = n * ((1 + (n - 1) * np.exp(-b * n)) / n - 2 * cross + own)
    assert exact_null_mean(n, n - 1, h) == pytest.approx(expected, rel=1e-12)


def test_the_null_mean_is_that_of_small_gaussian_samples(rng):
    found = [henze_zirkler_test(rng.standard_normal((60, 15)), bandwidth=np.sqrt(15)).statistic for _ in range(300)]
    error = np.std(found) / np.sqrt(300)
    assert abs(np.mean(found) - exact_null_mean(60, 15, np.sqrt(15))) < 3.5 * error
    assert abs(np.mean(found) - henze_zirkler_test(rng.standard_normal((60, 15)), bandwidth=np.sqrt(15)).null_mean) > (
        10 * error
    )


def test_p_values_of_gaussian_tokens_are_spread_evenly(rng):
    axes = unit_directions(30, 2, 0)
    found = [measure_state(rng.standard_normal((150, 30)).astype(np.float32), axes).normality_p for _ in range(120)]
    assert kstest(found, "uniform").pvalue > 0.01
    assert measure_state(cloud(rng, 150, 30), axes).normality_p < 1e-6
