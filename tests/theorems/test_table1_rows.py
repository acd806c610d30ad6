"""Table 1 row by row: what holds of it, with the hypothesis that it lacks, and a system that breaks it as printed."""

from __future__ import annotations

import numpy as np
import pytest
from section4 import C1, C2, C4, C5, T2, final, flow, system, unstable_limit

COV = np.array([[0.4, 0.2], [0.2, 0.2]])
B = np.array([[1.0, 0.25], [0.25, 0.75]])
TS = [20.0, 30.0, 40.0, 60.0]


@pytest.mark.parametrize("A", [[[0.5, -0.375], [0.375, 0.5]], [[-0.5, 1.0], [0.0, -0.25]], [[0.5, 0.25], [0.25, -0.5]]])
def test_row_1_detectable_the_limit_is_that_of_theorem_41_and_the_mean_converges_for_negative_eta(A):
    one = system(A, B, -1.0)
    run = flow(one, COV, TS, mean=[-1.0, -1.0], b=np.array([1.0, 0.5]))
    limit = unstable_limit(one.A, one.S)
    np.testing.assert_allclose(run.cov[-1], limit, atol=1e-9)
    R = one.generator(limit) - np.eye(2)
    np.testing.assert_allclose(run.mean[-1], -np.linalg.solve(R, [1.0, 0.5]), rtol=1e-6)


def test_row_1_broken_without_detectability_the_covariance_and_the_mean():
    """T2: a limit that depends on the start. d = 1, B = 0, A = 2, eta = -1: mean' = mean + b."""
    np.testing.assert_allclose(flow(T2, COV, [1e7]).cov[-1], np.diag([0.0, 0.1]), atol=1e-6)
    run = flow(system([[2.0]], [[0.0]], -1.0), [[1.0]], [5.0, 10.0], b=np.array([1.0]))
    np.testing.assert_allclose(run.mean[:, 0], np.expm1(run.ts), rtol=1e-7)


def test_row_1_for_positive_eta_the_mean_escapes_with_an_unstable_A_and_not_without():
    run = flow(system([[0.5, -0.375], [0.375, 0.5]], -B, 1.0), COV, TS, mean=[-1.0, -1.0], b=np.array([1.0, 0.5]))
    assert np.linalg.norm(run.mean[-1]) > 1e10
    run = flow(system([[-2.0]], [[-1.0]], 1.0), [[1.0]], TS, mean=[7.0], b=np.array([3.0]))
    np.testing.assert_allclose(run.mean[-1], 3.0, rtol=1e-8)


def test_row_2_with_the_weighted_condition_a_positive_definite_limit():
    one = system([[1.0, 1.0], [-1.0, 0.5]], np.diag([1.0, 2.0]), [[-1.0, -0.25], [-0.25, -2.0]])
    expected = [[0.5236908827809433, -0.2154523051599881], [-0.2154523051599881, 0.28447458652226193]]
    np.testing.assert_allclose(final(one, COV, 40.0, rtol=1e-10), expected, atol=1e-8)


def test_row_2_broken_unstable_A_without_a_positive_definite_limit():
    assert np.linalg.eigvalsh(final(C1, COV, 60.0))[0] < 1e-6
    covs = flow(C2, COV, [60.0, 61.5, 63.0, 64.5], rtol=1e-9).cov
    assert np.linalg.norm(covs[1:] - covs[0], axis=(1, 2)).min() > 0.02


def test_row_2_broken_A_without_unstable_eigenvalues_and_a_limit_that_is_not_zero():
    for one in (C4, C5):
        assert np.linalg.eigvals(one.A).real.max() < 1e-14
    assert np.trace(final(C4, np.eye(2), 80.0)) == pytest.approx(0.5, rel=1e-6)
    assert np.trace(final(C5, 1e-3 * np.eye(2), 300.0)) > 0.1


def test_row_3_blow_up_and_the_mean_with_it_at_the_same_time():
    one = system([[0.5, 0.25], [-0.25, 0.25]], B, np.diag([1.0, 2.0]))
    run = flow(one, COV, [1e-3, 1e-2, 1e2, 1e3], mean=[1.0, 0.5])
    assert run.status == "blow_up"
    near = run.blow_up.estimate * (1 - np.array([1e-2, 1e-3, 1e-4, 1e-5]))
    sizes = np.linalg.norm(flow(one, COV, near, mean=[1.0, 0.5]).mean, axis=1)
    assert np.all(np.diff(sizes) > 0.3 * sizes[:-1])


def test_row_3_broken_a_mean_that_stays_finite_at_the_blow_up():
    """A = 0, V = B = I, cov = diag(1, 1/10): the mean (0, y) never sees the direction that blows up at t = 1/2."""
    one = system(np.zeros((2, 2)), np.eye(2), 1.0)
    start = np.diag([1.0, 0.1])
    ts = 0.5 - np.array([1e-3, 1e-5, 1e-7])
    run = flow(one, start, ts, mean=[0.0, 1.0])
    np.testing.assert_allclose(run.mean[:, 1], np.exp(ts) / np.sqrt(1 - 0.2 * ts), rtol=1e-7)
    np.testing.assert_allclose(run.mean[-1], [0.0, np.exp(0.5) / np.sqrt(0.9)], atol=1e-5)
    assert run.cov[-1, 0, 0] > 1e6
    assert flow(one, start, [1.0], mean=[0.0, 1.0]).blow_up.estimate == pytest.approx(0.5, rel=1e-12)


def test_row_3_with_negative_alpha_the_start_decides():
    one = system(-np.eye(2), B, np.diag([1.0, 2.0]))
    assert flow(one, 10 * COV, [0.1, 1.0, 10.0, 20.0]).status == "blow_up"
    assert np.trace(flow(one, 0.1 * COV, [0.1, 1.0, 10.0, 20.0]).cov[-1]) < 1e-12
