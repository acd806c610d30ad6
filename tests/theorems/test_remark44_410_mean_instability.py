"""Remarks 4.4 and 4.10: at a positive definite equilibrium M = A + V cov B is oscillatory, but "V plus an oscillation"
does not decide the mean. C3b: V < 0, a stable equilibrium, and M + V has a positive eigenvalue.

True: cov^{-1} V + V cov^{-1} < 0 makes M + V Hurwitz. Dropped: that condition.
"""

from __future__ import annotations

import numpy as np
import pytest
from section4 import C3B, final, flow, linearised, system

LIMIT = np.array([[2 / 15, 1 / 5], [1 / 5, 7 / 15]])
UNSTABLE = -3 + np.sqrt(88) / 3


def test_a_scalar_V_shifts_the_imaginary_spectrum():
    """V = -I: the real parts of M + V are all -1, as the remark says."""
    one = system([[1.0, 1.0], [-1.0, 0.5]], [[1.0, 0.5], [0.0, 0.75]], -1.0)
    cov = flow(one, np.eye(2), [60.0]).cov[-1]
    np.testing.assert_allclose(np.linalg.eigvals(one.generator(cov) - np.eye(2)).real, -1.0, atol=1e-10)


def test_the_weighted_condition_makes_the_mean_stable():
    """P (M + V) + (M + V)^T P = P V + V P with P = cov^{-1}: a Lyapunov function for the mean."""
    one = system([[1.0, 0.5], [-0.5, 0.75]], [[1.0, 1.0], [1.0, 2.0]], [[-1.0, -0.5], [-0.5, -1.0]])
    cov = final(one, np.eye(2), 60.0, rtol=1e-11)
    P, R = np.linalg.inv(cov), one.generator(cov) + one.V
    np.testing.assert_allclose(P @ R + R.T @ P, P @ one.V + one.V @ P, atol=1e-7)
    assert np.linalg.eigvalsh(P @ one.V + one.V @ P).max() < 0
    assert np.linalg.eigvals(R).real.max() < 0


def test_dropped_hypothesis_C3b_the_covariance_is_stable_and_the_mean_diverges():
    np.testing.assert_allclose(C3B.rate(LIMIT), 0.0, atol=1e-14)
    assert linearised(C3B, LIMIT).real.max() < -0.29
    assert np.linalg.eigvals(C3B.generator(LIMIT) + C3B.V).real.max() == pytest.approx(UNSTABLE, rel=1e-12)
    run = flow(C3B, LIMIT + 0.01 * np.eye(2), [30.0, 40.0, 50.0, 60.0], mean=[1.0, 1.0], rtol=1e-10)
    np.testing.assert_allclose(run.cov[-1], LIMIT, atol=1e-6)
    sizes = np.linalg.norm(run.mean, axis=1)
    assert np.log(sizes[-1] / sizes[-2]) / 10.0 == pytest.approx(UNSTABLE, rel=1e-4)
    P = np.linalg.inv(LIMIT)
    assert np.linalg.eigvalsh(P @ C3B.V + C3B.V @ P).max() > 0


def test_dropped_hypothesis_the_spectra_do_not_add():
    """spec(M + V) is not spec(V) + i R: real parts -3 +- 3.13 against -1 and -5."""
    real = np.sort(np.linalg.eigvals(C3B.generator(LIMIT) + C3B.V).real)
    np.testing.assert_allclose(real, [-3 - np.sqrt(88) / 3, -3 + np.sqrt(88) / 3], rtol=1e-12)
