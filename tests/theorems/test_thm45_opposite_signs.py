"""Theorem 4.5, corrected as Theorem D (docs/theory/definite.md): V < 0, B > 0, both symmetric.

Measured: boundedness with its constant, the two conditions for the limit zero, the box that holds a positive definite
equilibrium, the repeller at zero, local stability. Broken: existence (C1), convergence (C2), uniqueness (C3), the limit
zero for Re spec A < 0 (C4, C4b) and for Re spec A = 0 even near zero (C5), and "definite" without symmetry.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh, solve_sylvester
from section4 import C1, C2, C3, C3B, C4, C4B, C5, below, final, flow, linearised, system

E1 = np.array([[1.0, 0.5], [0.5, 1.0]])
PERIOD = 5.63996025950015


def _best_constant(W, B) -> float:
    """beta = 2 / tr X with L(X) = (W X B + B X W) / 2 = I, solved as B^{-1} W X + X W B^{-1} = 2 B^{-2}."""
    inverse = np.linalg.inv(B)
    X = solve_sylvester(inverse @ W, W @ inverse, 2 * inverse @ inverse)
    np.testing.assert_allclose(0.5 * (W @ X @ B + B @ X @ W), np.eye(len(B)), atol=1e-10)
    return 2 / np.trace(X)


@pytest.mark.parametrize("one", [C1, C2, C3, C4B], ids=["C1", "C2", "C3", "C4b"])
def test_the_trace_is_finally_below_the_constant_and_the_constant_beats_the_simple_ones(one):
    W, top = -one.V, np.linalg.eigvalsh(one.A + one.A.T).max()
    beta = _best_constant(W, one.B)
    simple = 2 / np.trace(np.linalg.inv(W) @ np.linalg.inv(one.B))
    smallest = np.linalg.eigvalsh(W).min() * np.linalg.eigvalsh(one.B).min()
    assert beta >= simple * (1 - 1e-12) >= smallest * (1 - 1e-12)
    for scale in (1e-3, 1e3):
        run = flow(one, scale * E1, [0.5, 20.0, 21.5, 23.0])
        traces, logistic = np.trace(run.cov, axis1=1, axis2=2), []
        for t in run.ts:  # y' = top y - beta y^2
            grown = np.exp(top * t) * np.trace(scale * E1)
            logistic.append(grown / (1 + beta * np.trace(scale * E1) * np.expm1(top * t) / top))
        assert np.all(traces <= np.array(logistic) * (1 + 1e-6))
        assert traces[-3:].max() <= top / beta * (1 + 1e-6)


def test_zero_is_the_limit_when_the_symmetric_part_of_A_is_not_positive():
    """Item 2a, with lambda_max(A + A^T) = 0 exactly: trace <= 1 / (1 / trace(0) + beta t)."""
    one = system([[0.0, 1.0], [-1.0, 0.0]], C3.B, C3.V)
    beta = _best_constant(-one.V, one.B)
    run = flow(one, E1, [1.0, 10.0, 100.0, 1000.0])
    assert np.all(np.trace(run.cov, axis1=1, axis2=2) <= 1 / (0.5 + beta * run.ts))


def test_zero_is_the_limit_under_the_condition_weighted_with_B():
    """Item 2b: B A + A^T B <= 0 and B V + V B < 0, while A + A^T has the eigenvalue +4."""
    B, skew = np.array([[10.0, 0.0], [0.0, 1.0]]), np.array([[-0.25, 1.0], [-1.0, -0.25]])
    root = np.sqrt(B)
    one = system(np.linalg.inv(root) @ (5 * skew) @ root, B, [[-1.0, 0.25], [0.25, -2.0]])
    assert np.linalg.eigvalsh(one.A + one.A.T).max() > 4
    assert np.linalg.eigvalsh(B @ one.V + one.V @ B).max() < 0
    run = flow(one, 5 * E1, [1.0, 2.0, 4.0, 6.0])
    v = -eigh(B @ one.V + one.V @ B, B, eigvals_only=True).max()
    start = np.trace(B @ (5 * E1))
    assert np.all(np.einsum("ij,tji->t", B, run.cov) <= 1 / (1 / start + v * run.ts / 2))
    assert np.trace(run.cov[-1]) < 1e-5


BOXED = system([[1.0, 1.0, 0.0], [-1.0, 0.75, 0.5], [0.0, -0.5, 1.0]], np.diag([1.0, 1.5, 2.0]) + 0.25,
               [[-1.0, 0.25, 0.0], [0.0, -1.5, -0.25], [0.25, 0.0, -1.0]])  # fmt: skip


def test_item_4_every_positive_definite_start_enters_the_box_and_an_equilibrium_lies_there():
    """V is not even symmetric: B A + A^T B > 0 and B V + V^T B < 0 are what counts."""
    A, B, V = BOXED.A, BOXED.B, BOXED.V
    a = eigh(B @ A + A.T @ B, B, eigvals_only=True)
    v = eigh(-(B @ V + V.T @ B), B, eigvals_only=True)
    assert a.min() > 0
    assert v.min() > 0
    low, high = a.min() / v.max() * np.linalg.inv(B), a.max() / v.min() * np.linalg.inv(B)
    for scale in (1e-6, 1e3):
        cov = final(BOXED, scale * np.eye(3), 40.0, rtol=1e-10)
        assert below(low, cov, 1e-9)
        assert below(cov, high, 1e-9)
        assert np.linalg.norm(BOXED.rate(cov)) < 1e-7


def test_item_3_zero_repels_every_start_when_A_is_unstable():
    """Re spec A > 0: even C1, without any positive definite equilibrium, leaves a neighbourhood of zero."""
    for one in (C1, C2, C3):
        assert np.linalg.eigvals(one.A).real.min() > 0
        run = flow(one, 1e-8 * E1, [40.0, 41.0, 42.0, 43.0])
        assert np.trace(run.cov, axis1=1, axis2=2).min() > 0.1


def test_item_5_the_sufficient_condition_gives_stability_of_covariance_and_mean():
    limit = final(system([[1.0, 0.5], [-0.5, 0.75]], C3.B, -E1), np.eye(2), 60.0, rtol=1e-11)
    one, P = system([[1.0, 0.5], [-0.5, 0.75]], C3.B, -E1), np.linalg.inv(limit)
    assert np.linalg.norm(one.rate(limit)) < 1e-8
    assert np.linalg.eigvalsh(P @ one.V + one.V @ P).max() < 0
    assert linearised(one, limit).real.max() < 0
    assert np.linalg.eigvals(one.generator(limit) + one.V).real.max() < 0


def test_the_sufficient_condition_is_not_necessary():
    """C3b: stable at an equilibrium where cov^{-1} V + V cov^{-1} has a positive eigenvalue."""
    cov = np.array([[2 / 15, 1 / 5], [1 / 5, 7 / 15]])
    P = np.linalg.inv(cov)
    assert np.linalg.eigvalsh(P @ C3B.V + C3B.V @ P).max() > 0
    assert linearised(C3B, cov).real.max() == pytest.approx(-0.2995400767905896, rel=1e-9)


def test_broken_C1_no_positive_definite_equilibrium_the_rank_falls_in_the_limit():
    """The corrected theorem asks B A + A^T B > 0; here it has the eigenvalue 4 - sqrt(40)."""
    assert np.linalg.eigvalsh(C1.B @ C1.A + C1.A.T @ C1.B).min() == pytest.approx(4 - np.sqrt(40), rel=1e-12)
    limit = 0.25 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    for cov in (np.eye(2), 10 * E1, 0.01 * np.diag([1.0, 5.0])):
        run = flow(C1, cov, [15.0, 30.0, 45.0, 60.0])
        np.testing.assert_allclose(run.cov[-1], limit, atol=1e-6)
        assert (run.rank, run.numerical_rank[-1]) == (2, 1)
    rates = np.sort(linearised(C1, limit).real)
    np.testing.assert_allclose(rates, [(-7 - np.sqrt(33)) / 2, -1.0, (-7 + np.sqrt(33)) / 2], rtol=1e-12)


def test_broken_C2_the_covariance_tends_to_a_cycle():
    for cov in (np.eye(2), 0.1 * E1):
        run = flow(C2, cov, 60.0 + np.array([0.0, PERIOD / 3, 2 * PERIOD / 3, PERIOD]), rtol=1e-10)
        np.testing.assert_allclose(run.cov[3], run.cov[0], atol=1e-6)
        assert np.linalg.norm(run.cov[1] - run.cov[0]) > 0.05
        assert np.linalg.det(run.cov).min() > 1e-5
    section = np.array([[0.25, 0.0848885812720574], [0.0848885812720574, 0.131399421363905]])
    np.testing.assert_allclose(final(C2, section, PERIOD, rtol=1e-11), section, atol=1e-8)


def test_broken_C3_two_stable_equilibria_and_a_saddle():
    """None of the numbers is ours: 50-digit roots of F(cov) = 0."""
    one = np.array([[0.13434428673859597, -0.11978406454859235], [-0.11978406454859235, 0.18398201838742095]])
    saddle = np.array([[0.3574994594384217, -0.2750493095412408], [-0.2750493095412408, 0.2573715204020467]])
    other = np.array([[1.20656895223568, -0.3670713878149283], [-0.3670713878149283, 0.2560670961311672]])
    for cov, abscissa in ((one, -0.10518906937765216), (saddle, 0.5499295165455159), (other, -1.358001497441856)):
        assert np.linalg.norm(C3.rate(cov)) < 1e-14
        assert linearised(C3, cov).real.max() == pytest.approx(abscissa, rel=1e-9)
    for limit in (one, other):
        cov = final(C3, limit + 0.01 * (limit - saddle), 150.0, rtol=1e-10)
        np.testing.assert_allclose(cov, limit, atol=1e-6)


def test_broken_C4_a_hurwitz_A_with_a_stable_singular_equilibrium():
    assert np.linalg.eigvals(C4.A).real.max() == pytest.approx(-0.5)
    limit = np.array([[0.4, 0.2], [0.2, 0.1]])
    np.testing.assert_allclose(C4.rate(limit), 0.0, atol=1e-15)
    np.testing.assert_allclose(final(C4, np.eye(2), 80.0), limit, atol=1e-6)
    assert np.trace(final(C4, 0.01 * np.eye(2), 40.0)) < 1e-12


def test_broken_C4b_a_hurwitz_A_with_a_stable_positive_definite_equilibrium():
    cov = final(C4B, np.array([[0.3, 0.15], [0.15, 0.11]]), 200.0, rtol=1e-10)
    np.testing.assert_allclose(cov, [[0.29170, 0.15338], [0.15338, 0.10533]], atol=1e-5)
    assert np.linalg.eigvalsh(cov).min() > 0.01
    assert linearised(C4B, cov).real.max() < -1e-3


def test_broken_C5_with_imaginary_eigenvalues_zero_may_be_unstable():
    """A = D R D^{-1}, D = diag(1, 16): averaged over the turns, cov = s D D^T grows, s' = tr(V D^2 B) s^2 > 0."""
    np.testing.assert_allclose(np.linalg.eigvals(C5.A).real, 0.0, atol=1e-14)
    assert np.linalg.eigvalsh(C5.B).min() > 0
    assert np.trace(C5.V @ np.diag([1.0, 256.0]) @ C5.B) == 1415.5
    for size in (1e-3, 1e-4):
        traces = np.trace(
            flow(C5, size * np.diag([1.0, 256.0]) / 257, [0.0, 1000.0, 2000.0, 3000.0]).cov, axis1=1, axis2=2
        )
        assert traces[0] == pytest.approx(size, rel=1e-12)
        assert traces[-1] > 0.1


def test_broken_definite_must_mean_symmetric():
    """V = -e I + J, B = e I - J: V + V^T < 0 < B + B^T, yet s' = 2 (1 - e^2) s^2 blows up."""
    e, J = 0.5, np.array([[0.0, -1.0], [1.0, 0.0]])
    one = system(np.zeros((2, 2)), e * np.eye(2) - J, -e * np.eye(2) + J)
    run = flow(one, np.eye(2), [0.25, 0.5, 0.75, 1.0])
    assert run.status == "blow_up"
    assert run.blow_up.estimate == pytest.approx(1 / (2 * (1 - e**2)), rel=1e-8)
