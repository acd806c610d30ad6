"""Constant controls: the spectrum of e^Omega e^K lies in Re >= 0, so constant A, V, b reach every target of equal rank.

Dropped: the angles of the rotation at most pi / 2. Then the map may have negative eigenvalues and no real logarithm.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm, logm

import attnflow as af
from attnflow.reachability.displacement import transported


def pair(rng, d: int, r: int):
    """Large stretches and large angles: what makes eigenvalues go near the negative axis."""
    return [
        af.Gaussian.from_factor(rng.normal(size=d), rng.normal(size=(d, r)) * 10.0 ** rng.uniform(-1, 1, r))
        for _ in range(2)
    ]


def test_no_eigenvalue_of_the_map_has_a_negative_real_part_and_right_angles_come_near(rng):
    least = np.inf
    for _ in range(200):
        d = int(rng.integers(2, 8))
        start, target = pair(rng, d, int(rng.integers(1, d)))
        M = transported(np.asarray(start.factor), np.asarray(target.factor)).matrix
        values = np.linalg.eigvals(M)
        least = min(least, float(np.min(values.real / np.abs(values))))
    assert -1e-8 < least < 0.05


@pytest.mark.parametrize(("d", "r"), [(5, 2), (4, 4)])
def test_the_flow_with_constant_parameters_ends_at_the_target(d, r, rng):
    start, target = pair(rng, d, r)
    plan = af.steer(start, target, time=1.5, method=af.ConstantControls())
    A, B, V, b = plan.controls(0.0)
    assert not B.any()
    for t in (0.4, 1.5):
        for ours, theirs in zip(plan.controls(t), (A, B, V, b), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    cov = expm(1.5 * A) @ start.cov @ expm(1.5 * A).T
    np.testing.assert_allclose(cov, target.cov, rtol=0, atol=1e-9 * np.linalg.norm(target.cov))
    run = af.simulate(plan.model, start, ts=[1.5], rtol=1e-11)
    np.testing.assert_allclose(run.cov[-1], target.cov, rtol=0, atol=1e-7 * np.linalg.norm(target.cov))
    np.testing.assert_allclose(run.mean[-1], target.mean, atol=1e-8)


def test_dropped_hypothesis_a_rotation_beyond_a_right_angle_can_have_no_real_logarithm():
    """M = e^{pi J} diag(1, 2) = diag(-1, -2) takes I to diag(1, 4); its logarithm is complex."""
    turn = expm(np.pi * np.array([[0.0, -1.0], [1.0, 0.0]]))
    M = turn @ np.diag([1.0, 2.0])
    np.testing.assert_allclose(M @ M.T, np.diag([1.0, 4.0]), atol=1e-14)
    assert np.linalg.det(M) > 0
    assert np.abs(np.imag(logm(M + 0j))).max() > 3.0
    start = af.Gaussian.from_factor(np.zeros(2), np.eye(2))
    target = af.Gaussian.from_factor(np.zeros(2), -np.diag([1.0, 2.0]))
    A = af.steer(start, target, method=af.ConstantControls()).controls(0.0).A
    np.testing.assert_allclose(A, np.diag([0.0, np.log(2.0)]), atol=1e-14)
