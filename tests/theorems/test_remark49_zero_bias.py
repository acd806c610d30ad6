"""Remark 4.9: without bias the mean tends to zero or to infinity. True for eta < 0 under the hypotheses of Theorem A.

Dropped: eta < 0. Then the mean may tend to a nonzero point that depends on its start, or to a circle.
"""

from __future__ import annotations

import numpy as np
import pytest
from section4 import flow, system

COV = np.array([[1.0, 0.5], [0.5, 0.75]])


@pytest.mark.parametrize("A", [[[0.5, 1.0], [-0.75, 0.25]], [[-0.5, 2.0], [0.0, 0.5]], [[0.0, 1.0], [-1.0, 0.0]]])
def test_for_negative_eta_the_mean_tends_to_zero(A):
    one = system(A, [[1.0, 0.5], [-0.25, 0.75]], -1.0)
    run = flow(one, COV, [10.0, 20.0, 40.0, 60.0], mean=[5.0, -3.0])
    assert np.linalg.norm(run.mean[-1]) < 1e-12


def test_dropped_hypothesis_for_positive_eta_a_nonzero_limit_that_depends_on_the_start():
    """A = -1, eta = 1, B = -1, cov(0) = 1: mean(t) = mean(0) / sqrt(2 - e^{-2t})."""
    one = system([[-1.0]], [[-1.0]], 1.0)
    for start in (1.0, -4.0):
        run = flow(one, [[1.0]], [1.0, 20.0, 40.0], mean=[start])
        np.testing.assert_allclose(run.mean[:, 0], start / np.sqrt(2 - np.exp(-2 * run.ts)), rtol=1e-8)


def test_dropped_hypothesis_for_positive_eta_a_circle():
    """A = -I + J, eta = 1, B = -I: cov = e^{-2t} / (2 - e^{-2t}) I; the mean turns at the radius |mean(0)| / sqrt 2."""
    one = system([[-1.0, 1.0], [-1.0, -1.0]], -np.eye(2), 1.0)
    run = flow(one, np.eye(2), [20.0, 20.0 + np.pi / 2, 20.0 + 2 * np.pi], mean=[3.0, 4.0], rtol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(run.mean, axis=1), 5 / np.sqrt(2), rtol=1e-7)
    np.testing.assert_allclose(run.mean[2], run.mean[0], atol=1e-6)
    assert abs(run.mean[1] @ run.mean[0]) < 1e-5
