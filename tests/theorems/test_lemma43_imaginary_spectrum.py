"""Lemma 4.3: at a positive definite equilibrium, M = A + V cov B has a purely imaginary spectrum.

More: M = K cov^{-1} with K skew, so M is diagonalisable and |e^{Mt}| <= sqrt(cond(cov)) for all t. Dropped: a singular
equilibrium, at which only as many eigenvalues as its rank are imaginary; a matrix that is no equilibrium.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm
from section4 import C1, C3B, final, system

BOX = system([[1.0, 1.0], [-1.0, 0.5]], [[1.0, 0.0], [0.0, 2.0]], [[-1.0, -0.25], [-0.25, -2.0]])
# V and B are not symmetric here: the lemma asks nothing of them.
RAW = system(
    [[0.5, 1.0, 0.25], [-1.0, 0.75, 0.5], [0.25, -0.5, 1.0]],
    [[1.0, 0.25, 0.0], [0.0, 1.5, 0.25], [0.25, -0.25, 0.75]],
    [[-1.0, 0.25, 0.0], [-0.25, -1.5, 0.125], [0.0, 0.25, -1.25]],
)


def _equilibria():
    yield "exact", C3B, np.array([[2 / 15, 1 / 5], [1 / 5, 7 / 15]])
    yield "symmetric", BOX, final(BOX, np.eye(2), 40.0, rtol=1e-11)
    yield "neither_symmetric", RAW, final(RAW, np.eye(3), 80.0, rtol=1e-11)


def test_the_spectrum_is_imaginary_and_the_transition_bounded():
    for name, one, cov in _equilibria():
        assert np.linalg.eigvalsh(cov).min() > 0.03, name
        assert np.linalg.norm(one.rate(cov)) < 1e-9, name
        M = one.generator(cov)
        values = np.linalg.eigvals(M)
        assert np.abs(values.real).max() < 1e-8, name
        assert np.abs(values.imag).max() > 0.1, name
        K = M @ cov
        np.testing.assert_allclose(K, -K.T, atol=1e-9, err_msg=name)
        sizes = [np.linalg.norm(expm(M * t), 2) for t in np.linspace(0.0, 30.0, 40)]
        assert max(sizes) <= np.sqrt(np.linalg.cond(cov)) * (1 + 1e-6), name


def test_the_spectrum_of_the_exact_equilibrium_is_exact():
    """trace 0 and determinant 20/9 in rational numbers: +- i sqrt(20)/3."""
    M = C3B.generator(np.array([[2 / 15, 1 / 5], [1 / 5, 7 / 15]]))
    assert np.trace(M) == pytest.approx(0.0, abs=1e-14)
    assert np.linalg.det(M) == pytest.approx(20 / 9, rel=1e-13)


def test_dropped_hypothesis_at_a_singular_equilibrium_one_eigenvalue_is_negative():
    """C1: cov = (1/4) [[1, -1], [-1, 1]] of rank 1; on its range M = 0, on the quotient -1/2."""
    cov = 0.25 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    np.testing.assert_array_equal(C1.rate(cov), np.zeros((2, 2)))
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(C1.generator(cov)).real), [-0.5, 0.0], atol=1e-14)


def test_dropped_hypothesis_away_from_an_equilibrium_the_spectrum_is_anywhere():
    assert np.abs(np.linalg.eigvals(BOX.generator(np.eye(2))).real).min() > 0.1
