"""Equilibria, eq. (4.7): invariant subspaces for V = eta I, the planar cubic, rank-one equilibria, certificates.

The page is docs/theory/equilibria.md. Measured against exact determinants, brute-force linearisations and the flow
itself. Dropped: V = eta I; h < 1/2 in the certificate.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy
from scipy.linalg import eig, solve_continuous_lyapunov
from section4 import C1, C3, C4, final, flow, linearised, system, unstable_limit

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


def _carried_by(A, S, Q) -> np.ndarray:
    """The equilibrium on the invariant subspace with orthonormal basis Q."""
    Z = solve_continuous_lyapunov((Q.T @ A @ Q).T, -Q.T @ S @ Q)
    return Q @ np.linalg.solve(Z, Q.T)


def test_for_scalar_V_the_equilibria_are_the_invariant_subspaces_and_only_the_largest_is_stable():
    """A with the eigenvalues 1/2, 1, 3/2: eight invariant subspaces. Starts on a subspace go to its equilibrium."""
    T = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.25], [0.5, 0.0, 1.0]])
    one = system(T @ np.diag([0.5, 1.0, 1.5]) @ np.linalg.inv(T), np.diag([1.0, 0.5, 2.0]), -1.0)
    for chosen in itertools.chain.from_iterable(itertools.combinations(range(3), k) for k in range(1, 4)):
        Q = np.linalg.qr(T[:, list(chosen)])[0]
        X = _carried_by(one.A, one.S, Q)
        assert np.linalg.norm(one.rate(X)) < 1e-12
        assert (linearised(one, X).real.max() < 0) == (len(chosen) == 3)
        np.testing.assert_allclose(flow(one, Q @ Q.T, [12.0]).cov[-1], X, atol=1e-4)
    np.testing.assert_allclose(X, unstable_limit(one.A, one.S), atol=1e-12)


def test_the_spectrum_for_scalar_V_is_that_of_all_sums_of_the_closed_loop():
    one = system([[0.5, 1.0], [-0.75, 0.25]], [[1.0, 0.5], [0.0, 0.75]], -1.0)
    X = unstable_limit(one.A, one.S)
    loop = np.linalg.eigvals(one.A + X @ one.S)
    sums = [loop[i] + loop[j] for i in range(2) for j in range(i, 2)]
    np.testing.assert_allclose(np.poly(linearised(one, X)), np.poly(sums), atol=1e-11)
    np.testing.assert_allclose(np.sort(loop.real), np.sort(-np.linalg.eigvals(one.A).real), atol=1e-12)


def _nonsingular(one) -> list[np.ndarray]:
    """All nonsingular symmetric equilibria for d = 2 from A = -V X B + kappa X J."""
    kappa, units = sympy.Symbol("kappa"), ([[1, 0], [0, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]])
    A, B, V, J = (sympy.Matrix(x.tolist()).applyfunc(sympy.nsimplify) for x in (one.A, one.B, one.value, TURN))
    columns = [(-V * sympy.Matrix(X) * B + kappa * sympy.Matrix(X) * J).reshape(4, 1) for X in units]
    cubic = sympy.Poly(sympy.Matrix.hstack(*columns, A.reshape(4, 1)).det(), kappa)
    assert cubic.degree() <= 3
    found = []
    for root in cubic.nroots(n=30):
        if abs(sympy.im(root)) < 1e-20:
            block = np.array(sympy.Matrix.hstack(*columns).subs(kappa, sympy.re(root)).tolist(), float)
            a, b, c = np.linalg.lstsq(block, one.A.ravel(), rcond=None)[0]
            found.append(np.array([[a, b], [b, c]]))
    return found


def test_the_cubic_gives_every_nonsingular_equilibrium_of_the_plane():
    for one, count in ((C1, 0), (C3, 3), (C4, 0)):
        roots = _nonsingular(one)
        assert all(np.linalg.norm(one.rate(X)) < 1e-12 for X in roots)
        assert sum(np.linalg.eigvalsh(X).min() > 0 for X in roots) == count


@pytest.mark.parametrize("one", [C1, C4], ids=["C1", "C4"])
def test_rank_one_equilibria_are_generalised_eigenvectors_and_their_spectrum_is_the_formula(one):
    W, stable = -one.V, 0
    values, vectors = eig(one.A, W)
    for kappa, u in zip(values.real, vectors.T.real, strict=True):
        factor = np.sqrt(kappa / (u @ one.B @ u)) * u
        X, p = np.outer(factor, factor), one.B @ factor
        assert np.linalg.norm(one.rate(X)) < 1e-13
        tau = np.trace(one.A) - (p @ one.A @ u) / (p @ u)
        within = np.linalg.eigvals(one.A - kappa * W - 2 * W @ np.outer(factor, p))
        np.testing.assert_allclose(np.sort(linearised(one, X).real), np.sort([2 * tau, *within.real]), rtol=1e-9)
        if max(2 * tau, *within.real) < 0:
            stable += 1
            np.testing.assert_allclose(final(one, X + 1e-3 * np.eye(2), 80.0), X, atol=1e-6)
    assert stable == 1


def test_dropped_hypothesis_for_scalar_V_a_rank_one_equilibrium_never_attracts_where_A_is_unstable():
    one = system(C1.A + np.diag([0.0, 1.0]), C1.B, -1.0)
    values, vectors = np.linalg.eig(one.A)
    for value, u in zip(values, vectors.T, strict=True):
        X = _carried_by(one.A, one.S, (u / np.linalg.norm(u))[:, None])
        other = np.trace(one.A) - value
        assert np.abs(linearised(one, X).real - 2 * other).min() < 1e-12
        assert other > 0


def _kantorovich(one, X) -> tuple[float, float]:
    """h and rho, with the Jacobian in orthonormal coordinates of symmetric matrices."""
    basis = [np.diag([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0]]) / np.sqrt(2), np.diag([0.0, 1.0])]

    def derivative(Z):
        half = one.generator(X) @ Z + one.value @ Z @ one.B @ X
        return half + half.T

    J = np.array([[np.sum(E * derivative(Z)) for Z in basis] for E in basis])
    R = np.array([np.sum(E * one.rate(X)) for E in basis])
    beta, eta = np.linalg.norm(np.linalg.inv(J), 2), np.linalg.norm(np.linalg.solve(J, R))
    K = 4 * np.linalg.norm(one.value, 2) * np.linalg.norm(one.B, 2)
    h = beta * eta * K
    return h, (1 - np.sqrt(1 - 2 * h)) / (beta * K) if h < 0.5 else np.inf


def test_the_newton_kantorovich_ball_holds_the_root_and_is_not_much_too_large():
    rng, root = np.random.default_rng(3), _nonsingular(C3)[-1]
    for size in (1e-3, 1e-5, 1e-8):
        noise = size * rng.standard_normal((2, 2))
        X = root + noise + noise.T
        h, rho = _kantorovich(C3, X)
        assert h < 0.5
        distance = np.linalg.norm(X - root)
        assert distance <= rho * (1 + 1e-6) + 1e-14
        assert rho <= 3 * distance


def test_the_lyapunov_bound_holds_the_limit():
    rng = np.random.default_rng(4)
    one = system([[0.5, 1.0], [-0.75, 0.25]], [[1.0, 0.5], [0.0, 0.75]], -1.0)
    root = unstable_limit(one.A, one.S)
    for size in (1e-2, 1e-4, 1e-7):
        noise = size * rng.standard_normal((2, 2))
        X = root + noise + noise.T
        G = solve_continuous_lyapunov(one.A + X @ one.S, -np.eye(2))
        theta, R = np.linalg.norm(G, 2), np.linalg.norm(one.rate(X), 2)
        q = 4 * theta**2 * R * np.linalg.norm(one.S, 2)
        assert q < 1
        rho = 2 * theta * R / (1 + np.sqrt(1 - q))
        assert np.linalg.norm(X - root, 2) <= rho * (1 + 1e-6) + 1e-14


def test_dropped_hypothesis_far_from_a_root_nothing_is_certified():
    """Where the long run of C1 passes det > 0, no ball is found that holds only definite matrices."""
    X = final(C1, np.eye(2), 8.0)
    assert np.linalg.eigvalsh(X).min() > 0
    h, rho = _kantorovich(C1, X)
    assert h >= 0.5 or rho >= np.linalg.eigvalsh(X).min()
