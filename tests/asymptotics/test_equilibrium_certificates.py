"""The error bounds against equilibria to 50 digits.

ATTNFLOW_SYSTEMS sets how many equilibria are compared (default 60; 1000 takes some five minutes).
"""

from __future__ import annotations

import os

import mpmath
import numpy as np
import pytest

from attnflow.asymptotics.equilibria.certificate import enclosed_rate, lyapunov, newton_kantorovich
from attnflow.asymptotics.equilibria.equilibrium import Equilibrium
from attnflow.asymptotics.equilibria.search import find
from attnflow.asymptotics.system import System

CASES = int(os.environ.get("ATTNFLOW_SYSTEMS", "60"))
FAMILIES = ("scalar", "definite", "wild", "heads", "scaled")
DIGITS = 50


def draw(rng: np.random.Generator, family: str) -> System:
    d, count = int(rng.choice([1, 2, 3, 4, 5])), 2 if family == "heads" else 1
    A, V, B = rng.standard_normal((d, d)), *rng.standard_normal((2, count, d, d))
    if family == "scalar":
        V = -rng.uniform(0.3, 3, count)[:, None, None] * np.eye(d)
        B = B @ np.swapaxes(B, 1, 2) + 0.5 * (B - np.swapaxes(B, 1, 2))
    if family == "definite":
        V, B = -V @ np.swapaxes(V, 1, 2) - 0.05 * np.eye(d), B @ np.swapaxes(B, 1, 2) + 0.05 * np.eye(d)
    if family == "heads":  # a perturbation of one definite head
        V[0], B[0] = -V[0] @ V[0].T - np.eye(d), B[0] @ B[0].T + np.eye(d)
        V[1], B[1], A = 0.3 * V[1], 0.3 * B[1], A + np.eye(d)
    if family == "scaled":  # units in which nothing is of order one
        V, B = -V @ np.swapaxes(V, 1, 2) - 0.1 * np.eye(d), B @ np.swapaxes(B, 1, 2) + 0.1 * np.eye(d)
        A, V, B = (A + np.eye(d)) * 10.0 ** rng.uniform(-6, 6), V * 10.0 ** rng.uniform(-6, 6), B * 1e-5
    return System(A, V, B, np.zeros(d), np.zeros((count, d)))


def true_equilibrium(system: System, cov: np.ndarray) -> mpmath.matrix:
    """The solution that Newton's method converges to from `cov`, the derivative taken column by column, 50 digits."""
    A = mpmath.matrix(system.A.tolist())
    heads = [(mpmath.matrix(V.tolist()), mpmath.matrix(B.tolist())) for V, B in zip(system.V, system.B, strict=True)]
    d, X = system.dim, mpmath.matrix(cov.tolist())
    places = [(i, j) for i in range(d) for j in range(i, d)]

    def rate(X):
        half = A * X
        for V, B in heads:
            half += V * X * B * X
        return half + half.T

    def along(X, D):
        half = A * D
        for V, B in heads:
            half += V * D * B * X + V * X * B * D
        return half + half.T

    for _ in range(5):
        columns = []
        for i, j in places:
            D = mpmath.zeros(d)
            D[i, j] = D[j, i] = 1
            columns.append(along(X, D))
        J = mpmath.matrix([[column[i, j] for column in columns] for i, j in places])
        value = rate(X)
        step = mpmath.lu_solve(J, mpmath.matrix([-value[i, j] for i, j in places]))
        for k, (i, j) in enumerate(places):
            X[i, j] += step[k]
            if i != j:
                X[j, i] += step[k]
        if mpmath.norm(step) <= mpmath.mpf(10) ** (5 - DIGITS) * mpmath.mnorm(X, "f"):
            return X
    raise AssertionError("Newton's method does not converge in high precision")


def frobenius_error(cov: np.ndarray, exact: mpmath.matrix) -> float:
    return float(mpmath.mnorm(mpmath.matrix(cov.tolist()) - exact, "f"))


def spectral_error(cov: np.ndarray, exact: mpmath.matrix) -> float:
    difference = mpmath.matrix(cov.tolist()) - exact
    return float(max(abs(x) for x in mpmath.eigsy(difference, eigvals_only=True)))


def certified(count: int) -> list[Equilibrium]:
    found, seed = [], 0
    while len(found) < count:
        rng = np.random.default_rng([7, seed])
        system = draw(rng, FAMILIES[seed % len(FAMILIES)])
        found += [each for each in find(system).equilibria if each.rank > 0]
        seed += 1
    return found[:count]


def test_no_bound_is_below_the_true_error_and_residuals_are_small():
    bare, ratios, seen = 0, [], set()
    with mpmath.workdps(DIGITS + 10):
        for each in certified(CASES):
            assert each.residual <= 1e-12
            if each.error_bound is None:
                bare += 1
                continue
            seen.add(str(each.certificate))
            exact = true_equilibrium(each.system, each.cov)
            error = spectral_error(each.cov, exact)
            if each.certificate == "newton_kantorovich":
                error = max(error, frobenius_error(each.cov, exact))
            assert error <= each.error_bound, str(each)
            ratios.append(each.error_bound / max(error, 1e-30))
            eigenvalues = [float(x) for x in mpmath.eigsy(exact, eigvals_only=True)]
            if each.positive_definite:
                assert min(eigenvalues) >= each.margin > 0
            assert sorted(eigenvalues)[-each.rank] >= each.margin
    print(f"{CASES} equilibria, {bare} without bound, median bound / error {np.median(ratios):.3g}")
    assert seen == {"lyapunov", "newton_kantorovich"}
    assert bare <= 0.05 * CASES


@pytest.mark.parametrize("push", [1e-12, 1e-9, 1e-6])
def test_the_bound_holds_for_points_that_are_off_by_much_more_than_rounding(push):
    checked = 0
    with mpmath.workdps(DIGITS):
        for each in certified(10):
            rng = np.random.default_rng(3)
            noise = rng.standard_normal(each.cov.shape)
            moved = Equilibrium(each.system, each.cov + push * np.linalg.norm(each.cov) * (noise + noise.T))
            if moved.error_bound is None:
                continue
            exact = true_equilibrium(each.system, each.cov)
            error = spectral_error(moved.cov, exact)
            assert error <= moved.error_bound <= 1e5 * error
            checked += 1
    assert checked > 0


@pytest.mark.parametrize("bound", [newton_kantorovich, lyapunov])
def test_far_off_the_bound_counts_the_curvature(bound):
    # x' = 2 x (3 - 2 x): from 1.5 + push the Newton step falls short of 1.5 by as much as the curvature takes away.
    system = System(np.array([[3.0]]), np.array([[[-1.0]]]), np.array([[[2.0]]]), np.zeros(1), np.zeros((1, 1)))
    for push in (0.05, 0.1, 0.2):
        assert push <= bound(system, np.array([[1.5 + push]])) <= 2 * push


def test_the_enclosure_of_the_rate_holds_its_true_value():
    rng = np.random.default_rng(5)
    for d, family in ((2, "wild"), (3, "scaled"), (4, "heads")):
        system = draw(rng, family)
        while system.dim != d:
            system = draw(rng, family)
        cov = rng.standard_normal((d, d))
        cov = cov @ cov.T
        rate, bound, _ = enclosed_rate(system, cov)
        with mpmath.workdps(DIGITS):
            X = mpmath.matrix(cov.tolist())
            half = mpmath.matrix(system.A.tolist()) * X
            for V, B in zip(system.V, system.B, strict=True):
                half += mpmath.matrix(V.tolist()) * X * mpmath.matrix(B.tolist()) * X
            error = float(mpmath.mnorm(mpmath.matrix(rate.tolist()) - half - half.T, "f"))
        assert error <= bound <= 1e-13 * np.linalg.norm(rate)


def test_no_bound_is_given_where_the_linearisation_is_singular():
    # A = 0: every covariance is at rest without attention, none of them isolated.
    idle = System(np.zeros((3, 3)), np.zeros((1, 3, 3)), np.eye(3)[None], np.zeros(3), np.zeros((1, 3)))
    assert newton_kantorovich(idle, np.diag([3.0, 2.0, 1.0])) is None
