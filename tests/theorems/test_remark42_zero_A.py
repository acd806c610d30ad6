"""Remark 4.2: A = 0 and S = eta (B + B^T) < 0 give cov -> 0, like 1/t. Dropped: S < 0 (semidefinite; indefinite).

For A = 0 the flow is cov(t) = (cov(0)^{-1} - t S)^{-1}, so the limit is N (N^T cov(0)^{-1} N)^{-1} N^T, N = ker S: the
remark holds iff S is nonsingular.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import null_space
from section4 import flow, system

COV = np.array([[0.4, 0.2], [0.2, 0.2]])
ZERO = np.zeros((2, 2))


@pytest.mark.parametrize("eta", [-1.0, 0.5])
def test_the_covariance_vanishes_like_one_over_t_when_S_is_definite(eta):
    one = system(ZERO, -eta * np.array([[1.0, 0.75], [0.25, 0.5]]), eta)
    assert np.linalg.eigvalsh(one.S).max() < 0
    run = flow(one, COV, [1e3, 1e6])
    for t, cov in zip(run.ts, run.cov, strict=True):
        np.testing.assert_allclose(cov, np.linalg.inv(np.linalg.inv(COV) - t * one.S), rtol=1e-9)
    np.testing.assert_allclose(1e6 * run.cov[-1], np.linalg.inv(-one.S), rtol=1e-3)


def test_dropped_hypothesis_a_singular_S_keeps_a_limit_that_depends_on_the_start():
    """S = diag(-2, 0): the limit is diag(0, s22 - s12^2 / s11), here diag(0, 1/10)."""
    run = flow(system(ZERO, np.diag([1.0, 0.0]), -1.0), COV, [1e7])
    np.testing.assert_allclose(run.cov[-1], np.diag([0.0, 0.1]), atol=1e-6)


def test_dropped_hypothesis_the_limit_is_the_compression_of_the_inverse_to_the_kernel_of_S():
    """d = 3, one direction seen, B not symmetric: a limit of rank 2."""
    h = np.array([[1.0, -2.0, 0.5]])
    skew = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.5], [0.0, -0.5, 0.0]])
    one = system(np.zeros((3, 3)), h.T @ h + skew, -1.0)
    start = np.array([[0.75, 0.25, 0.0], [0.25, 0.5, -0.125], [0.0, -0.125, 0.4]])
    N = null_space(h)
    limit = N @ np.linalg.inv(N.T @ np.linalg.inv(start) @ N) @ N.T
    np.testing.assert_allclose(flow(one, start, [1e7]).cov[-1], limit, atol=1e-6)
    assert np.linalg.matrix_rank(limit) == 2


def test_dropped_hypothesis_an_indefinite_S_blows_up():
    """S = diag(-2, 2): 1 = t lambda_max(L^T S L) at t = 1 / (2 s22 - ...); for cov = diag(1, 1/2) at t = 1."""
    run = flow(system(ZERO, np.diag([1.0, -1.0]), -1.0), np.diag([1.0, 0.5]), [0.5, 2.0])
    assert run.status == "blow_up"
    assert run.blow_up.estimate == pytest.approx(1.0, rel=1e-12)
