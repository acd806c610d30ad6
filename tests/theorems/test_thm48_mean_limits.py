"""Theorem 4.8, corrected as Theorem C (docs/theory/long-run.md): the mean for V = eta I, S = eta (B + B^T) <= 0.

Under the hypotheses of Theorem A, item 4: for eta < 0 the mean tends to -(A + eta cov_inf B + eta I)^{-1} b from every
start; for eta > 0 it escapes except from an affine set of codimension at least dim E_+. Dropped: cov(0) > 0; eta < 0 in
part 1 and E_+ nonempty in part 2; the printed sign of part 2; a covariance that converges.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm, schur
from section4 import flow, system, unstable_limit

from golden import load

B4 = np.array([[1.0, 0.25, 0.5, 0.0], [-0.5, 1.0, 0.5, 0.25], [0.25, -0.25, 0.75, 0.0], [0.0, 0.5, 0.25, 0.5]])
A4 = np.array([[0.5, 1.0, 0.5, -1.0], [-0.5, 0.75, 0.0, 0.5], [0.0, 0.0, -0.5, 2.0], [0.0, 0.0, 0.0, -0.75]])
MIXED = system(A4, B4, -1.0)
BIAS = np.array([1.0, -2.0, 0.5, 1.5])


def test_part_1_the_mean_has_the_limit_from_every_start():
    M = MIXED.A - unstable_limit(MIXED.A, MIXED.S) @ MIXED.B
    expected = -np.linalg.solve(M - np.eye(4), BIAS)
    for mean in (np.zeros(4), np.array([50.0, -20.0, 10.0, 5.0])):
        run = flow(MIXED, np.eye(4), [30.0, 40.0, 50.0, 60.0], mean=mean, b=BIAS, rtol=1e-10)
        np.testing.assert_allclose(run.mean[-1], expected, rtol=1e-7)


def test_part_1_the_spectrum_of_the_limit_is_imaginary_on_the_unstable_part_and_that_of_A_elsewhere():
    M = MIXED.A - unstable_limit(MIXED.A, MIXED.S) @ MIXED.B
    values = sorted(np.linalg.eigvals(M), key=lambda z: z.real)
    np.testing.assert_allclose(np.real(values), [-0.75, -0.5, 0.0, 0.0], atol=1e-12)
    assert abs(values[-1].imag) > 0.1


def test_part_1_the_block_formula_of_the_printed_proof_gives_another_limit():
    """Right: A_a + cov_a b11 and A12 + cov_a b12 with b the blocks of U^T eta B U. Printed: B11 of U^T eta (B + B^T) U
    and A12 alone."""
    T, U, k = schur(MIXED.A, sort="rhp")
    X = U.T @ unstable_limit(MIXED.A, MIXED.S) @ U
    right, printed = T - X @ (U.T @ MIXED.B @ U), T.copy()
    printed[:k, :k] -= X[:k, :k] @ (U.T @ (MIXED.B + MIXED.B.T) @ U)[:k, :k]
    limits = [-U @ np.linalg.solve(block - np.eye(4), U.T @ BIAS) for block in (right, printed)]
    run = flow(MIXED, np.eye(4), [30.0, 40.0, 50.0, 60.0], b=BIAS, rtol=1e-10)
    np.testing.assert_allclose(run.mean[-1], limits[0], rtol=1e-7)
    assert np.linalg.norm(run.mean[-1] - limits[1]) > 0.2 * np.linalg.norm(limits[0])
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(printed[:k, :k]).real),
                               np.sort(-np.linalg.eigvals(T[:k, :k]).real), rtol=1e-10)  # fmt: skip


def test_part_1_the_rate_is_the_smaller_of_eta_and_twice_gamma():
    """A = diag(1/4, -2), eta = -1: 2 gamma = 1/2 < 1 decides."""
    one = system(np.diag([0.25, -2.0]), np.array([[1.0, 0.25], [-0.25, 0.5]]), -1.0)
    M = one.A - unstable_limit(one.A, one.S) @ one.B
    limit = -np.linalg.solve(M - np.eye(2), np.array([1.0, 1.0]))
    run = flow(one, np.eye(2), [16.0, 20.0, 24.0, 28.0], b=np.ones(2), rtol=1e-11)
    gaps = np.linalg.norm(run.mean - limit, axis=1)
    assert np.log(gaps[0] / gaps[2]) / 8.0 == pytest.approx(0.5, rel=0.03)


ESCAPE = system([[0.5, 0.5], [0.0, -2.0]], -np.array([[1.0, 0.5], [0.0, 0.75]]), 0.75)


def _transition(one, cov, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Psi and the response to b of mean' = (A + V + V cov B) mean + b, integrated with the covariance by SciPy."""
    d = len(one.A)

    def rhs(_, y):
        S, Psi = y[: d * d].reshape(d, d), y[d * d :].reshape(d, d + 1)
        mean_generator = one.generator(S) + one.value
        forced = mean_generator @ Psi
        forced[:, -1] += np.ones(d)
        return np.concatenate([one.rate(S).ravel(), forced.ravel()])

    start = np.concatenate([cov.ravel(), np.hstack([np.eye(d), np.zeros((d, 1))]).ravel()])
    y = solve_ivp(rhs, (0.0, end), start, "DOP853", rtol=1e-12, atol=1e-14).y[d * d :, -1].reshape(d, d + 1)
    return y[:, :d], y[:, d]


def test_part_2_the_mean_escapes_except_from_an_affine_set():
    """eta = 3/4, dim E_+ = 1, the other eigenvalue -2 + 3/4 < 0: a line of starts stays bounded."""
    assert np.linalg.eigvalsh(ESCAPE.S).max() < 0
    cov, end = np.array([[1.0, 0.5], [0.5, 1.0]]), 16.0
    Psi, response = _transition(ESCAPE, cov, end)
    U, sizes, Vt = np.linalg.svd(Psi)
    assert sizes[0] > 1e4
    assert sizes[1] < 1e-4
    # On the line, the component that would grow by sizes[0] cancels what b has put into it.
    special = -(U[:, 0] @ response) / sizes[0] * Vt[0]
    ts = [4.0, 6.0, 8.0, 10.0]
    for along in (0.0, 2.0):
        stays = flow(ESCAPE, cov, ts, mean=special + along * Vt[1], b=np.ones(2), rtol=1e-12)
        assert np.linalg.norm(stays.mean, axis=1).max() < 10.0
    leaves = flow(ESCAPE, cov, ts, mean=special + 0.5 * Vt[0], b=np.ones(2), rtol=1e-10)
    sizes = np.linalg.norm(leaves.mean, axis=1)
    assert np.log(sizes[-1] / sizes[-2]) / 2.0 == pytest.approx(0.75, rel=0.05)


@pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in load("mean_limit", files=("gaussian.json",))])
def test_dropped_hypothesis_without_an_unstable_eigenvalue_the_mean_may_converge_for_positive_eta(case):
    """Table 1 prints |mean| -> infinity for eta > 0: A = -2, eta = 1, B = -1, b = 3 has the limit 3 from everywhere."""
    x = case["inputs"]
    run = flow(system(x["A"], x["B"], x["eta"]), x["Sigma0"], [20.0, 30.0, 40.0], mean=x["mu0"], b=np.array(x["b"]))
    np.testing.assert_allclose(run.mean[-1], case["expected"]["mu_inf"], rtol=1e-8)
    assert np.abs(run.cov[-1]).max() < 1e-30


def test_dropped_hypothesis_a_mean_and_a_bias_of_zero_stay_zero():
    run = flow(ESCAPE, np.eye(2), [10.0, 20.0, 30.0])
    np.testing.assert_array_equal(run.mean, 0.0)


def test_dropped_hypothesis_a_singular_start_that_misses_the_unstable_direction():
    """eta < 0, but nothing holds the unstable direction back: mean' = (A - I) mean + b there, A = 2."""
    one = system(np.diag([2.0, -1.0]), np.array([[1.0, 0.25], [-0.25, 0.5]]), -1.0)
    run = flow(one, np.diag([0.0, 1.0]), [2.0, 4.0, 6.0, 8.0], b=np.array([1.0, 0.0]), rtol=1e-10)
    assert np.log(run.mean[-1, 0] / run.mean[-2, 0]) / 2 == pytest.approx(1.0, rel=1e-2)


def test_dropped_hypothesis_the_printed_sign_of_part_2_lets_the_covariance_blow_up():
    """eta > 0 with B + B^T > 0, A = B = eta = cov(0) = 1: s' = 2 s + 2 s^2 ends at ln(2) / 2; no t -> infinity."""
    run = flow(system([[1.0]], [[1.0]], 1.0), [[1.0]], [0.25, 1.0], mean=[1.0])
    assert run.status == "blow_up"
    assert run.blow_up.estimate == pytest.approx(0.5 * np.log(2.0), rel=1e-12)


def test_dropped_hypothesis_an_oscillating_covariance_leaves_the_mean_without_a_limit():
    """A a rotation, B skew, so S = 0: cov turns, and mean' = (A - cov B - I) mean + b is driven with period pi."""
    A, B = np.array([[0.0, -1.0], [1.0, 0.0]]), np.array([[0.0, 0.5], [-0.5, 0.0]])
    one, cov, b = system(A, B, -1.0), np.diag([1.5, 0.25]), np.array([1.0, 0.5])
    for t in (0.5, 2.0):
        turned = expm(A * t) @ cov @ expm(A * t).T
        np.testing.assert_allclose(flow(one, cov, [t]).cov[-1], turned, atol=1e-12)
    run = flow(one, cov, 40.0 + np.pi * np.array([0.0, 0.25, 0.5, 1.0]), b=b, rtol=1e-10)
    np.testing.assert_allclose(run.mean[3], run.mean[0], atol=1e-6)
    assert np.linalg.norm(run.mean[2] - run.mean[0]) > 0.05
