"""d = 2: the list against Groebner bases of the polynomial equations, on examples with known phase portraits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import sympy

from attnflow.asymptotics.equilibria.planar import planar
from attnflow.asymptotics.equilibria.polynomials import multiply, real_roots
from attnflow.asymptotics.system import System

EXAMPLES = {
    "C1": ([[1, 0], [-2, 1]], [[[-1, 0], [0, -3]]], [[[1, 0], [0, 3]]]),
    "C2": ([[2, -1], [3, 3]], [[[-1, 0], [0, -5]]], [[[1, -1], [-1, 4]]]),
    "C3": ([[1, 1], [-1, 1]], [[[-1, 0], [0, -8]]], [[[1, 1], [1, 2]]]),
    "C3b": ([[2, -1], [3, 3]], [[[-1, 0], [0, -5]]], [[[3, -2], [-2, 3]]]),
    "C4": ([[1, -1], [3, -2]], [[[-1, 0], [0, -8]]], [[[1, 0], [0, 1]]]),
    "C4b": ([[1, -1], [3, -2]], [[[-1, 0], [0, -10]]], [[[6, -6], [-6, 7]]]),
    "C5": ([[0, 0.0625], [-16, 0]], [[[-1, -0.5], [-0.5, -1]]], [[[256, -15], [-15, 1]]]),
    "nonsymmetric": ([[2, -1], [1, 1]], [[[-1, 2], [0, -3]]], [[[2, 1], [-1, 1]]]),
    "indefinite": ([[1, 2], [-1, -3]], [[[1, 2], [0, -3]]], [[[2, 1], [3, -1]]]),
    "two heads": ([[2, -1], [1, 1]], [[[-1, 1], [0, -1]], [[0, 2], [-1, -1]]], [[[2, 0], [1, 1]], [[1, -1], [0, 2]]]),
}


def system(A, V, B) -> System:
    A, V, B = (np.array(x, float) for x in (A, V, B))
    return System(A, V, B, np.zeros(2), np.zeros((len(V), 2)))


def semidefinite_solutions(A, V, B) -> list[np.ndarray]:
    """All nonzero positive semidefinite solutions, from a lexicographic Groebner basis in general coordinates."""
    a, b, t = sympy.symbols("a b t")
    c = t - 3 * a - 7 * b  # t separates the solutions: the basis is a = p(t), b = q(t), r(t) = 0
    exact = [[sympy.Matrix([[sympy.Rational(x) for x in row] for row in M]) for M in Ms] for Ms in ([A], V, B)]
    X = sympy.Matrix([[a, b], [b, c]])
    M = exact[0][0] + sum((v * X * w for v, w in zip(exact[1], exact[2], strict=True)), sympy.zeros(2))
    rate = (M * X + X * M.T).applyfunc(sympy.expand)
    basis = sympy.groebner([rate[0, 0], rate[0, 1], rate[1, 1]], a, b, t, order="lex").exprs
    assert len(basis) == 3
    last = sympy.Poly(basis[-1], t)
    found = []
    for root in last.nroots(n=40, maxsteps=500):
        if abs(sympy.im(root)) > 1e-25:
            continue
        value = sympy.re(root)
        second = sympy.solve(basis[1].subs(t, value), b)[0]
        first = sympy.solve(basis[0].subs({t: value, b: second}), a)[0]
        third = value - 3 * first - 7 * second
        cov = np.array([[first, second], [second, third]], dtype=float)
        if abs(cov).max() > 1e-12 and np.linalg.eigvalsh(cov)[0] > -1e-10 * abs(cov).max():
            found.append(cov)
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_list_is_complete_and_has_nothing_else(name):
    expected = semidefinite_solutions(*EXAMPLES[name])
    listed = planar(system(*EXAMPLES[name]))
    assert listed.complete
    assert len(listed.found) == len(expected)
    for cov in expected:
        each = min(listed.found, key=lambda each, cov=cov: np.linalg.norm(each.cov - cov))
        assert np.linalg.norm(each.cov - cov) <= 1e-14 * np.linalg.norm(cov)
        assert each.rank == np.linalg.matrix_rank(cov, tol=1e-10 * np.linalg.norm(cov))


def test_numbers_that_are_known_by_hand():
    first = planar(system(*EXAMPLES["C1"])).found
    assert [each.rank for each in first] == [1, 1]
    assert min(np.abs(each.cov - [[0.25, -0.25], [-0.25, 0.25]]).max() for each in first) < 1e-16
    fourth = planar(system(*EXAMPLES["C4"])).found
    assert min(np.abs(each.cov - [[0.4, 0.2], [0.2, 0.1]]).max() for each in fourth) < 1e-16


def test_every_listed_covariance_stays_at_rest_in_exact_arithmetic_up_to_its_rounding():
    for A, V, B in EXAMPLES.values():
        for each in planar(system(A, V, B)).found:
            assert each.residual < 1e-15
            assert each.error_bound is not None


@pytest.mark.parametrize(
    ("A", "V", "B", "words"),
    [
        ([[1, 0], [0, 1]], [[-1, 0], [0, -1]], [[2, 1], [0, 1]], "rank one in every direction"),
        ([[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]], "curve of positive definite"),
        ([[0, 0], [0, 0]], [[-1, 2], [0, -3]], [[0, 0], [0, 0]], "rays"),
    ],
)
def test_families_are_named_instead_of_listed(A, V, B, words):
    listed = planar(system(A, [V], [B]))
    assert not listed.complete
    assert any(words in family for family in listed.families)


@pytest.mark.parametrize(
    "roots",
    [
        [1, 1, -2],
        [0, 0, 0],
        [5, 5, -7, 5],
        ["1/3", "1000000000000000000001/3000000000000000000000", 4],
        ["1e-30", "-1e30", 2],
        [0, "1/4", "-1/4", "1/2", "-1/2"],
    ],
)
def test_real_roots_are_all_found_once_however_close(roots):
    exact = [Fraction(x) for x in roots]
    p = [Fraction(3)]
    for root in exact:
        p = multiply(p, [-root, Fraction(1)])
    p = multiply(p, [Fraction(7), Fraction(2), Fraction(1)])  # and a complex pair
    found = real_roots(p)
    assert len(found) == len(set(exact))
    for value, root in zip(found, sorted(set(exact)), strict=True):
        assert abs(value - root) <= Fraction(1, 10**40) * max(1, abs(root))


def test_an_equilibrium_beside_a_neutral_mode_is_listed_without_certificate_or_verdict():
    A, V, B = np.array([[1.0, 1.0], [0.0, 0.0]]), -np.eye(2), np.eye(2)
    listed = planar(system(A, [V], [B]))  # A has the eigenvalue 0, whose mode the attention sees
    assert listed.complete
    (only,) = listed.found
    assert np.abs(only.cov - [[1.0, 0.0], [0.0, 0.0]]).max() < 1e-15
    assert only.certificate == "residual"
    assert only.error_bound is None
    assert only.stable is None
