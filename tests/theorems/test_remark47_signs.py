"""Remark 4.7: only whether the signs of V and B agree matters. True for the covariance; dropped: the mean.

(V, B) -> (-V, -B) leaves V cov B alone. The mean also sees V by itself.
"""

from __future__ import annotations

import numpy as np
from section4 import C3, C3B, flow, system

TS = [1.0, 2.0, 4.0, 8.0]


def test_the_covariance_does_not_see_the_common_sign():
    turned = system(C3.A, -C3.B, -C3.V)
    np.testing.assert_allclose(flow(turned, np.eye(2), TS).cov, flow(C3, np.eye(2), TS).cov, rtol=1e-6)


def test_dropped_hypothesis_the_mean_does():
    """C3b with the signs turned: both eigenvalues of M + V have positive real part, 3 +- 1.5 i; before, -3 +- 3.1."""
    cov = np.array([[2 / 15, 1 / 5], [1 / 5, 7 / 15]])
    turned = system(C3B.A, -C3B.B, -C3B.V)
    assert np.linalg.eigvals(turned.generator(cov) + turned.V).real.min() > 1.0
    one = flow(C3B, cov, TS, mean=[1.0, 0.0]).mean[-1]
    other = flow(turned, cov, TS, mean=[1.0, 0.0]).mean[-1]
    assert np.linalg.norm(other) > 1e3 * np.linalg.norm(one)
