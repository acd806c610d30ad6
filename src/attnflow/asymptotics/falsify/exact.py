"""Decisions in exact arithmetic. A script that proves a counterexample carries the source of the functions it calls.

Therefore each function here stands on SymPy and its neighbours alone. A `root` (p, lo, hi) is the root of the
irreducible polynomial p in k between the rational numbers lo and hi; matrices at it hold rational functions of k.

Source: this package, docs/falsify.md.
"""

from __future__ import annotations

import itertools
from typing import Any

import sympy as sp

k = sp.Symbol("k")


def sign_at(value: Any, root: Any) -> int:
    """The sign of the rational function `value` of k at `root`, exactly."""
    p, lo, hi = root
    answer = 1
    for part in sp.fraction(sp.together(value)):
        q = sp.Poly(part, k).rem(p)
        if q.is_zero:
            return 0
        while q.degree() > 0 and q.count_roots(lo, hi):
            lo, hi = p.refine_root(lo, hi, eps=(hi - lo) / 100)
        answer *= int(sp.sign(q.eval((lo + hi) / 2)))
    return answer


def reduced(value: Any, p: Any) -> Any:
    """The rational function `value` of k at the roots of `p` as a polynomial of lower degree than p."""
    top, bottom = (sp.Poly(part, k).rem(p) for part in sp.fraction(sp.together(value)))
    return (top * sp.invert(bottom, p)).rem(p).as_expr()


def rate(A: Any, V: Any, B: Any, X: Any) -> Any:
    """What moves the covariance at `X` under `A`, `V`, `B`: M X + X M^T with M = A + V X B."""
    half = (A + V * X * B) * X
    return half + half.T


def linearised(A: Any, V: Any, B: Any, X: Any) -> Any:
    """The derivative of the rate under `A`, `V`, `B` at `X`, on the entries of the upper triangle."""
    places = [(i, j) for i in range(A.rows) for j in range(i, A.rows)]
    columns = []
    for i, j in places:
        E = sp.zeros(A.rows)
        E[i, j] = E[j, i] = 1
        half = (A + V * X * B) * E + V * E * B * X
        columns.append([(half + half.T)[place] for place in places])
    return sp.Matrix(columns).T


def hurwitz(X: Any, root: Any) -> list[int]:
    """The signs at `root` of the leading Hurwitz minors of the characteristic polynomial of `X`.

    All 1: every eigenvalue has a negative real part. None 0 and one -1: some eigenvalue has a positive real part.
    """
    n, p = X.rows, root[0]
    a = [reduced(c, p) for c in X.applyfunc(lambda x: reduced(x, p)).charpoly().all_coeffs()] + [0] * n
    H = sp.Matrix(n, n, lambda i, j: a[2 * j - i + 1] if 2 * j - i + 1 >= 0 else 0)
    return [sign_at(reduced(H[:m, :m].det(method="berkowitz"), p), root) for m in range(1, n + 1)]


def planar(A: Any, V: Any, B: Any) -> Any:
    """For d = 2 all nonsingular symmetric equilibria of `A`, `V`, `B`, with their roots; None for a continuum.

    (A + V X B) X is skew exactly when A + V X B = k X J for some k, which is linear in X.
    """
    J = sp.Matrix([[0, -1], [1, 0]])
    basis = [sp.Matrix([[1, 0], [0, 0]]), sp.Matrix([[0, 1], [1, 0]]), sp.Matrix([[0, 0], [0, 1]])]
    T = sp.Matrix.hstack(*[(k * E * J - V * E * B).vec() for E in basis], A.vec())
    p = sp.Poly(T.det(), k)
    if p.is_zero:
        return None
    found = []
    for q, _ in p.factor_list()[1]:
        for (lo, hi), _ in q.intervals():
            for rows in itertools.combinations(range(4), 3):
                square = T[list(rows), :3]
                if sign_at(square.det(), (q, lo, hi)) != 0:
                    break
            else:
                return None
            x = (square.adjugate() * T[list(rows), 3] / square.det()).applyfunc(lambda e, q=q: reduced(e, q))
            found.append((sp.Matrix([[x[0], x[1]], [x[1], x[2]]]), (q, lo, hi)))
    return [(X, root) for X, root in found if sign_at(X.det(), root) != 0]


def is_positive(X: Any, root: Any) -> bool:
    """Whether the symmetric matrix `X` is positive definite at `root`: Sylvester's criterion."""
    return all(sign_at(X[:m, :m].det(), root) > 0 for m in range(1, X.rows + 1))


def vanishes(X: Any) -> bool:
    """Whether `X`, a number or a matrix, is 0."""
    return all(entry == 0 for entry in sp.Matrix([X]))


def number_has_sign(x: Any, sign: int, strict: bool) -> bool:
    """Whether `sign` times `x` is positive, or with `strict` False at least 0."""
    return bool(sign * x > 0 if strict else sign * x >= 0)


def definite(X: Any, sign: int, strict: bool) -> bool:
    """Whether `X` is symmetric and `sign` times `X` positive definite, or semidefinite with `strict` False."""
    Y, n = sign * X, X.rows
    if strict:
        return X == X.T and all(Y[:m, :m].det() > 0 for m in range(1, n + 1))
    chosen = [list(rows) for m in range(1, n + 1) for rows in itertools.combinations(range(n), m)]
    return X == X.T and all(Y.extract(rows, rows).det() >= 0 for rows in chosen)


def spectrum_beside_zero(X: Any, sign: int, strict: bool) -> bool:
    """Whether `sign` times all real parts of the spectrum of `X` are positive, or at least 0 with `strict` False.

    Hurwitz minors, not strictly: those of a matrix moved by every small e > 0, whose lowest terms in e decide.
    """
    n, e = X.rows, sp.Symbol("e")
    Y = -sign * X if strict else -sign * X - e * sp.eye(n)
    a = Y.charpoly().all_coeffs() + [0] * n
    H = sp.Matrix(n, n, lambda i, j: a[2 * j - i + 1] if 2 * j - i + 1 >= 0 else 0)
    minors = [sp.Poly(H[:m, :m].det(method="berkowitz"), e) for m in range(1, n + 1)]
    return all(not p.is_zero and p.all_coeffs()[-1 - min(m[0] for m in p.monoms())] > 0 for p in minors)


def spectrum_across_zero(X: Any, sign: int, strict: bool) -> bool:
    """Whether `sign` times the real part of some eigenvalue of `X` is positive, or at least 0 with `strict` False."""
    return not spectrum_beside_zero(X, -sign, not strict)


PROVIDED = ("vanishes", "number_has_sign", "definite", "spectrum_beside_zero", "spectrum_across_zero")
