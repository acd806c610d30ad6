"""V = eta I: equilibria against SciPy's Riccati solver, integration, and hand-made invariant subspaces."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import block_diag, solve_continuous_are

from attnflow.asymptotics.equilibria.equilibrium import Equilibrium
from attnflow.asymptotics.equilibria.krylov import lyapunov_part
from attnflow.asymptotics.equilibria.lyapunov import solve_triangular_lyapunov
from attnflow.asymptotics.equilibria.riccati import enumeration, stabilising
from attnflow.asymptotics.system import System


def scalar(A: np.ndarray, B: np.ndarray, eta: float) -> System:
    d = len(A)
    return System(A, eta * np.eye(d)[None], B[None], np.zeros(d), np.zeros((1, d)))


def drawn(rng: np.random.Generator, d: int) -> tuple[np.ndarray, np.ndarray]:
    """A, and a nonsymmetric B with B + B^T > 0."""
    A, root, skew = rng.standard_normal((3, d, d))
    return A, root @ root.T / d + 0.3 * np.eye(d) + skew - skew.T


@pytest.mark.parametrize("d", [2, 5, 17, 60])
def test_the_stabilising_solution_is_that_of_scipy(rng, d):
    A, B = drawn(rng, d)
    system = scalar(A, B, -1.5)
    expected = solve_continuous_are(A.T, np.linalg.cholesky(-system.S), np.zeros((d, d)), np.eye(d))
    found = stabilising(A, system.S)
    assert np.linalg.norm(found.cov - expected) <= 1e-10 * np.linalg.norm(expected)
    assert found.rank == int((np.linalg.eigvals(A).real > 0).sum())
    assert Equilibrium(system, found.cov, found.rank).residual < 1e-13


def test_the_flow_from_a_positive_definite_start_ends_in_it(rng):
    A, B = drawn(rng, 4)
    A = A + 0.5 * np.eye(4)
    system = scalar(A, B, -1.0)

    def rate(_, flat):
        cov = flat.reshape(4, 4)
        return (A @ cov + cov @ A.T + cov @ system.S @ cov).ravel()

    gap = np.abs(np.linalg.eigvals(A).real).min()
    end = solve_ivp(rate, (0, 14 / gap), np.eye(4).ravel(), "LSODA", rtol=1e-10, atol=1e-12).y[:, -1].reshape(4, 4)
    found = Equilibrium(system, stabilising(A, system.S).cov)
    assert np.linalg.norm(found.cov - end) <= 1e-7 * np.linalg.norm(end)
    assert found.stable is True
    assert found.certificate == "lyapunov"


def test_the_matrix_of_the_lyapunov_certificate_is_the_derivative_of_the_rate(rng):
    A, B = drawn(rng, 3)
    system, cov = scalar(A, B, -0.7), np.diag([1.0, 2.0, 0.5]) + 0.3
    N = lyapunov_part(system, cov)
    for _ in range(3):
        D = rng.standard_normal((3, 3))
        D = D + D.T
        along = system.rate(cov + D) - system.rate(cov - D)  # the rate is quadratic: the central difference is exact
        np.testing.assert_allclose(2 * (N @ D + D @ N.T), along, rtol=0, atol=1e-12)


def test_for_a_pull_upwards_the_mirrored_solution_is_the_unstable_separatrix(rng):
    A, B = drawn(rng, 3)
    A = A - 4 * np.eye(3)  # Hurwitz
    system = scalar(A, B, 0.5)
    found = stabilising(-A, -system.S)
    each = Equilibrium(system, found.cov, found.rank)
    assert each.residual < 1e-14
    assert each.rank == 3
    assert each.stable is False
    assert each.certificate == "lyapunov"
    assert (each.spectrum.real > 0).all()


def test_modes_on_the_imaginary_axis_do_not_count_as_unstable(rng):
    turn = np.array([[0.0, -2.0], [2.0, 0.0]])
    basis = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    A = basis @ block_diag(turn, [[1.0, 0.3], [0.0, 2.0]]) @ basis.T
    _, B = drawn(rng, 4)
    system = scalar(A, B, -1.0)
    found = stabilising(A, system.S)
    assert found.rank == 2
    each = Equilibrium(system, found.cov, found.rank)
    assert each.residual < 1e-14
    assert each.certificate == "residual"  # it attracts like 1 / t only: the linearisation is singular
    assert each.stable is None


def test_an_unstable_mode_that_attention_does_not_see_has_no_stabilising_solution(rng):
    basis = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    A = basis @ np.array([[1.0, 0.0, 0.0], [0.4, 2.0, 0.7], [0.2, 0.0, -1.0]]) @ basis.T
    unseen = basis @ np.array([0.0, 1.0, 0.0])  # an eigenvector to 2
    seen = np.eye(3) - np.outer(unseen, unseen)
    system = scalar(A, seen @ (np.eye(3) + 0.2 * rng.standard_normal((3, 3))) @ seen, -1.0)
    assert np.abs(system.S @ unseen).max() < 1e-15
    assert stabilising(A, system.S) is None
    found = enumeration(A, system.S).found
    assert [each.rank for each in found] == [1]  # the eigenvector to 1 still carries one
    assert Equilibrium(system, found[0].cov).residual < 1e-14


def test_each_invariant_subspace_of_the_unstable_part_carries_one_equilibrium(rng):
    values = np.diag([0.5, 1.3, 2.1, -0.7])
    vectors = rng.standard_normal((4, 4))
    A = vectors @ values @ np.linalg.inv(vectors)
    system = scalar(A, drawn(rng, 4)[1], -1.0)
    listed = enumeration(A, system.S)
    assert listed.complete
    assert [each.rank for each in listed.found] == [3, 2, 2, 2, 1, 1, 1]
    for chosen in itertools.chain.from_iterable(itertools.combinations(range(3), k) for k in (1, 2, 3)):
        span = vectors[:, list(chosen)]
        carrying = [
            each for each in listed.found if np.linalg.matrix_rank(np.hstack([span, each.cov]), 1e-8) == each.rank
        ]
        assert any(each.rank == len(chosen) for each in carrying)
    for each in listed.found:
        equilibrium = Equilibrium(system, each.cov, each.rank)
        assert equilibrium.residual < 1e-13
        assert equilibrium.stable is (each.rank == 3)


def test_no_start_leads_newton_to_an_equilibrium_that_is_not_listed(rng):
    A = rng.standard_normal((3, 3))
    B = rng.standard_normal((3, 3))  # S is indefinite
    system = scalar(A, B, -1.0)
    listed = enumeration(A, system.S)
    assert listed.complete
    reached = set()
    for _ in range(40):
        root = rng.standard_normal((3, 3))
        cov = rng.exponential(3) * root @ root.T
        for _ in range(60):  # plain Newton, written out with Kronecker products
            closed = A + cov @ system.S
            jacobian = np.kron(closed, np.eye(3)) + np.kron(np.eye(3), closed)
            residual = A @ cov + cov @ A.T + cov @ system.S @ cov
            cov = cov - np.linalg.lstsq(jacobian, residual.ravel(), rcond=1e-14)[0].reshape(3, 3)
        size = np.linalg.norm(cov)
        if np.linalg.norm(system.rate(cov)) > 1e-11 * max(size, 1) or np.linalg.eigvalsh(cov)[0] < -1e-9 * max(size, 1):
            continue
        covs = [np.zeros((3, 3)), *(each.cov for each in listed.found)]
        distances = [np.linalg.norm(each - cov) for each in covs]
        assert min(distances) <= 1e-7 * max(size, 1)
        reached.add(int(np.argmin(distances)))
    assert len(reached) > 1


@pytest.mark.parametrize(
    ("A", "note"),
    [
        (np.diag([1.0, 1.0, 2.0]), "multiple eigenvalue"),
        (np.kron(np.diag([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]), np.eye(1)), "too many"),
    ],
)
def test_an_incomplete_list_says_why(A, note):
    listed = enumeration(A, -2 * np.eye(len(A)))
    assert not listed.complete
    assert note in listed.note
    assert listed.found[0].rank == len(A)


def test_the_blocked_lyapunov_solver_solves_its_equation(rng):
    from scipy.linalg import schur

    for d in (1, 2, 3, 40, 97, 130):
        T = schur(rng.standard_normal((d, d)) + 3 * np.sqrt(d) * np.eye(d))[0]
        C = rng.standard_normal((d, d))
        C = C + C.T
        X = solve_triangular_lyapunov(T, C)
        assert np.array_equal(X, X.T)
        assert np.linalg.norm(T @ X + X @ T.T - C) <= 1e-13 * np.linalg.norm(T) * np.linalg.norm(X)
