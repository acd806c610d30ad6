from __future__ import annotations

import jax
import numpy as np
import pytest

import attnflow as af
from attnflow import BadInput, Gaussian


def spectrum_cov(rng, eigenvalues) -> np.ndarray:
    """A covariance with these eigenvalues and random axes."""
    axes, _ = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues))))
    return (axes * np.asarray(eigenvalues)) @ axes.T


def test_a_covariance_of_full_rank_comes_back_from_its_factor(rng):
    cov = spectrum_cov(rng, [0.3, 2.0, 5.0])
    start = Gaussian.from_moments([1.0, -2.0, 0.5], cov)
    assert (start.dim, start.rank) == (3, 3)
    np.testing.assert_allclose(start.cov, cov, rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(start.mean, [1.0, -2.0, 0.5])


@pytest.mark.parametrize(
    ("eigenvalues", "rank"),
    [([4.0, 1e-3, 0.0, 0.0], 2), ([7.0, 0.0, 0.0, 0.0], 1), ([0.0] * 4, 0), ([1e-200, 3e-200, 0.0, 0.0], 2)],
)
def test_a_singular_covariance_keeps_its_rank(rng, eigenvalues, rank):
    cov = spectrum_cov(rng, eigenvalues)
    start = Gaussian.from_moments(np.zeros(4), 0.5 * (cov + cov.T))
    assert start.rank == rank
    np.testing.assert_allclose(start.cov, cov, rtol=0, atol=1e-14 * max(eigenvalues))


def test_an_eigenvalue_below_zero_by_rounding_is_clipped_with_a_warning(rng):
    cov = spectrum_cov(rng, [1.0, 2.0, -1e-10])
    with pytest.warns(UserWarning, match=r"negative eigenvalues of `cov` down to -1\.0e-10 were clipped.*rank is 2"):
        start = Gaussian.from_moments(np.zeros(3), 0.5 * (cov + cov.T))
    assert np.linalg.eigvalsh(start.cov).min() > -1e-15


def test_asymmetry_by_rounding_at_any_scale_is_forgiven_and_removed(rng):
    cov = 1e8 * spectrum_cov(rng, [1.0, 2.0, 3.0])
    cov[0, 1] *= 1 + 1e-12
    start = Gaussian.from_moments(np.zeros(3), cov)
    np.testing.assert_array_equal(start.cov, start.cov.T)


def test_the_columns_of_a_factor_are_kept_even_when_they_are_dependent(rng):
    column = rng.standard_normal((3, 1))
    start = Gaussian.from_factor(rng.standard_normal(3), np.hstack([column, 2 * column]))
    assert start.rank == 2
    np.testing.assert_allclose(start.cov, 5 * column @ column.T)


def test_a_vector_is_a_factor_with_one_column(rng):
    column = rng.standard_normal(3)
    start = Gaussian.from_factor(np.zeros(3), column)
    assert start.rank == 1
    np.testing.assert_allclose(start.cov, np.outer(column, column))


def test_tokens_give_their_mean_and_the_covariance_that_divides_by_n(rng):
    tokens = rng.standard_normal((7, 3)) @ rng.standard_normal((3, 3)) + [5.0, -3.0, 1.0]
    start = Gaussian.from_tokens(tokens)
    np.testing.assert_allclose(start.mean, tokens.sum(axis=0) / 7, rtol=1e-14)
    np.testing.assert_allclose(start.cov, np.cov(tokens.T, ddof=0), rtol=1e-13)
    assert start.rank == 3


@pytest.mark.parametrize(("n", "rank"), [(1, 0), (2, 1), (3, 2), (5, 4)])
def test_few_tokens_give_a_low_rank(rng, n, rank):
    start = Gaussian.from_tokens(rng.standard_normal((n, 4)))
    assert start.rank == rank


def test_tokens_far_from_the_origin_lose_no_digits(rng):
    tokens = rng.standard_normal((50, 2)) + 1e7
    start = Gaussian.from_tokens(tokens)
    np.testing.assert_allclose(start.cov, np.cov((tokens - 1e7).T, ddof=0), rtol=1e-7)


def test_a_sample_has_the_moments_of_the_gaussian_and_stays_in_its_support(rng, x64):
    factor = rng.standard_normal((3, 2))
    start = Gaussian.from_factor([1.0, 2.0, -1.0], factor)
    points = np.asarray(start.sample(200_000, key=jax.random.key(3)))
    np.testing.assert_allclose(points.mean(axis=0), start.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(points.T), start.cov, atol=0.05)
    normal = np.cross(factor[:, 0], factor[:, 1])
    np.testing.assert_allclose((points - start.mean) @ normal, 0, atol=1e-13)


def test_the_key_decides_the_sample(rng):
    start = Gaussian.from_factor(np.zeros(3), rng.standard_normal((3, 2)))
    one, again, other = (np.asarray(start.sample(4, key=jax.random.key(k))) for k in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).min() > 0


def test_a_dirac_mass_samples_its_mean(rng):
    start = Gaussian.from_moments([1.0, 2.0], np.zeros((2, 2)))
    np.testing.assert_array_equal(start.sample(3, key=jax.random.key(0)), np.tile([1.0, 2.0], (3, 1)))


def test_numpy_input_stays_float64_and_jax_input_stays_as_it_is(rng):
    kept = Gaussian.from_factor(np.array([0.1, 0.2]), rng.standard_normal((2, 1)))
    assert kept.mean.dtype == kept.factor.dtype == np.float64
    single = jax.numpy.ones((2, 1), "float32")
    assert Gaussian.from_factor(jax.numpy.zeros(2, "float32"), single).factor.dtype == np.float32


def test_the_input_arrays_are_not_shared(rng):
    mean, factor = rng.standard_normal(3), rng.standard_normal((3, 2))
    start = Gaussian.from_factor(mean, factor)
    before = start.cov.copy()
    mean[:], factor[:] = 0, 0
    np.testing.assert_array_equal(start.cov, before)
    assert start.mean.any()


def test_a_gaussian_can_be_made_inside_jit(rng):
    factor = rng.standard_normal((3, 2))
    cov = jax.jit(lambda L: Gaussian.from_factor(jax.numpy.zeros(3), L).cov)(factor)
    np.testing.assert_allclose(cov, factor @ factor.T, rtol=1e-5, atol=1e-6)


INDEFINITE = np.array([[1.0, 2.0], [2.0, 1.0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian.from_moments([0.0, 0.0], INDEFINITE), r"`cov` must be positive semidefinite.*-1\.0e\+00"),
        (lambda: Gaussian.from_moments([0.0, 0.0], [[1.0, 0.5], [0.2, 1.0]]), r"`cov` must be symmetric.*3\.0e-01"),
        (lambda: Gaussian.from_moments([0.0, 0.0], np.ones((2, 3))), r"`cov` must be square: shape \(2, 3\)"),
        (lambda: Gaussian.from_moments([0.0] * 3, np.eye(2)), r"`cov` must have shape \(3, 3\) to agree with `mean`"),
        (lambda: Gaussian.from_moments([0.0, np.nan], np.eye(2)), r"`mean` must be finite: entry \(1,\) is nan"),
        (lambda: Gaussian.from_moments([0.0, 1j], np.eye(2)), r"`mean` must be real"),
        (lambda: Gaussian.from_moments([0.0, "one"], np.eye(2)), r"`mean` must be a rectangular array of numbers"),
        (lambda: Gaussian.from_moments([0.0, 0.0], [[1.0], [0.0, 1.0]]), r"`cov` must be a rectangular array"),
        (lambda: Gaussian.from_moments([[0.0, 0.0]], np.eye(2)), r"`mean` must be a vector: .*\(1, 2\)"),
        (lambda: Gaussian.from_factor([0.0, 0.0], np.ones((3, 2))), r"`factor` must have 2 rows.*\(3, 2\)"),
        (lambda: Gaussian.from_factor([0.0, 0.0], [[np.inf], [1.0]]), r"`factor` must be finite: entry \(0, 0\)"),
        (lambda: Gaussian.from_tokens(np.zeros((0, 2))), r"`points` must hold at least one token"),
        (lambda: Gaussian.from_tokens([1.0, 2.0]), r"`points` must be a matrix"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(BadInput, match=message):
        make()


def test_bad_input_is_a_value_error():
    assert issubclass(af.BadInput, ValueError)
