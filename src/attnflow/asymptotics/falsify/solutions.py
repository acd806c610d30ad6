"""Proofs by solutions that can be written down: isotropic covariances, invariant directions, decoupled coordinates.

Source: this package, docs/falsify.md.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from .conclusions import Conclusion
from .proofs import Case, Proof


class Course(enum.StrEnum):
    """What becomes of s' = 2 alpha s + 2 beta s^2, s(0) > 0."""

    BLOW_UP = "s becomes infinite in finite time"
    INFINITY = "s tends to infinity"
    ZERO = "s tends to 0"
    POSITIVE = "s tends to a positive number or stays where it is"


_REFUTES = {
    Conclusion.POSITIVE_DEFINITE_LIMIT: {Course.BLOW_UP, Course.INFINITY, Course.ZERO},
    Conclusion.ZERO_LIMIT: {Course.BLOW_UP, Course.INFINITY, Course.POSITIVE},
    Conclusion.BOUNDED: {Course.BLOW_UP, Course.INFINITY},
    Conclusion.CONVERGENT: {Course.BLOW_UP, Course.INFINITY},
    Conclusion.BLOW_UP: {Course.INFINITY, Course.ZERO, Course.POSITIVE},
    Conclusion.NO_BLOW_UP: {Course.BLOW_UP},
}


def course(alpha: Fraction, beta: Fraction, start: Fraction) -> Course:
    """What becomes of s' = 2 `alpha` s + 2 `beta` s^2 from `start` > 0."""
    speed = alpha + beta * start
    if speed > 0 and beta != 0:
        return Course.BLOW_UP if beta > 0 else Course.POSITIVE
    if speed > 0:
        return Course.INFINITY
    if speed == 0:
        return Course.POSITIVE
    return Course.POSITIVE if alpha > 0 else Course.ZERO


def isotropic(case: Case) -> Proof | None:
    """A + A^T = 2 alpha I and V B + (V B)^T = 2 beta I: the covariance s(t) I with s' = 2 alpha s + 2 beta s^2."""
    wanted = _REFUTES.get(case.conclusion)
    if not all(_looks_isotropic(X) for X in (case.parts["A"], case.parts["V"] @ case.parts["B"])):
        return None
    example = case.example
    alpha, beta = _multiple(example.A), _multiple(example.V @ example.B)
    if wanted is None or alpha is None or beta is None:
        return None
    starts = [example.cov[0, 0], Fraction(1), *(Fraction(2) ** n for n in (-3, 3, -6, 6))]
    for start in starts:
        if start > 0 and course(alpha, beta, start) in wanted:
            found = course(alpha, beta, start)
            steps = (
                f"alpha, beta, start = {_literal(alpha)}, {_literal(beta)}, {_literal(start)}",
                "assert A + A.T == 2 * alpha * I and V * B + (V * B).T == 2 * beta * I and cov == start * I",
                "# cov(t) = s(t) I with s' = 2 alpha s + 2 beta s^2, s(0) = start: (1/s)' = -2 alpha / s - 2 beta",
                _CHECKS[found],
            )
            cov = start * np.array([[Fraction(int(i == j)) for j in range(example.dim)] for i in range(example.dim)])
            reason = f"cov = s(t) I with s' = {_quadratic(2 * alpha, 2 * beta)}, s(0) = {start}: {found.value}"
            return Proof(example.replace(cov=cov), reason, steps)
    return None


def _quadratic(linear: Fraction, square: Fraction) -> str:
    terms = [f"{c} {power}".removeprefix("1 ") for c, power in ((linear, "s"), (square, "s^2")) if c]
    return " + ".join(terms).replace("+ -", "- ") or "0"


_CHECKS = {
    Course.BLOW_UP: "assert beta > 0 and alpha + beta * start > 0  "
    "# 1/s falls, at least as fast as min(2 beta, 2 (alpha / start + beta)): it reaches 0",
    Course.INFINITY: "assert beta == 0 and alpha > 0  # s = start exp(2 alpha t)",
    Course.ZERO: "assert alpha + beta * start < 0 and alpha <= 0  # s falls, with nothing at rest between 0 and start",
    Course.POSITIVE: "assert alpha + beta * start == 0 or (beta < 0 and alpha > 0)  "
    "# s stays, or tends to -alpha / beta",
}


def unseen_direction(case: Case) -> Proof | None:
    """A v = c v, c >= 0, with B v = 0 (or V = eta I, S v = 0): (v^T cov^-1 v)' = -2 c v^T cov^-1 v."""
    parts = case.parts
    if abs(np.linalg.det(parts["B"] + parts["B"].T)) > 1e-9 and abs(np.linalg.det(parts["B"])) > 1e-9:
        return None
    example = case.example
    scalar = _is_multiple_of_identity(example.V)
    symmetric = example.B + example.B.T
    for v in _directions(example.dim):
        unseen = not np.any(example.B @ v) or (scalar and not np.any(symmetric @ v))
        c = _factor(example.A, v)
        if not unseen or c is None or c < 0 or (c == 0 and case.conclusion not in _BY_CONSTANT):
            continue
        kernel = "B * v == 0 * v" if not np.any(example.B @ v) else "V == eta * I and S * v == 0 * v"
        fate = "v^T cov^-1 v never changes: cov cannot tend to anything that vanishes on v"
        if c > 0:
            fate = "v^T cov^-1 v tends to 0, and v^T cov v >= |v|^4 / (v^T cov^-1 v) has no bound"
        steps = [
            f"v, c = sp.Matrix({[str(x) for x in v]}), {_literal(c)}",
            f"assert A * v == c * v and {kernel}",
            f"assert c {'>' if c else '=='} 0  # (v^T cov^-1 v)' = -2 c (v^T cov^-1 v): {fate}",
        ]
        if case.conclusion is Conclusion.THEOREM_41 and c == 0:
            steps.append(
                "# v, an eigenvector for 0, lies outside of the unstable subspace: the limit would vanish on v*"
            )
        return Proof(
            example, f"A v = {_times(c)} for v = {tuple(map(int, v))}, unseen by attention: {fate}", tuple(steps)
        )
    return None


_BY_CONSTANT = (Conclusion.ZERO_LIMIT, Conclusion.THEOREM_41)

_MEAN_COURSES: dict[Conclusion, tuple[Callable[[Fraction], bool], str]] = {
    Conclusion.MEAN_LIMIT: (lambda c: c > 0, "grows for ever"),
    Conclusion.MEAN_DIVERGES: (lambda c: c <= 0, "stays bounded"),
    Conclusion.MEAN_ZERO_OR_DIVERGES: (lambda c: c == 0, "stays where it is, not at 0"),
}


def mean_eigenvector(case: Case) -> Proof | None:
    """B v = 0 and (A + V) v = c v: with b = 0 the mean exp(c t) v solves the equation whatever the covariance does."""
    if case.conclusion not in _MEAN_COURSES or abs(np.linalg.det(case.parts["B"])) > 1e-9:
        return None
    example = case.example
    wanted, words = _MEAN_COURSES[case.conclusion]
    for v in _directions(example.dim):
        c = _factor(example.A + example.V, v)
        if c is None or np.any(example.B @ v) or not wanted(c):
            continue
        relation = ">" if c > 0 else "==" if c == 0 else "<"
        steps = (
            f"c = {_literal(c)}",
            "assert b == 0 * b and mean != 0 * mean and B * mean == 0 * mean and (A + V) * mean == c * mean",
            f"assert c {relation} 0  # mean(t) = exp(c t) mean(0), since cov B mean = 0 always: it {words}",
        )
        changed = example.replace(mean=v, b=[Fraction(0)] * example.dim)
        course_of = "v" if c == 0 else "exp(t) v" if c == 1 else f"exp({c} t) v"
        reason = f"B v = 0 and (A + V) v = {_times(c)} for the start v of the mean: mean(t) = {course_of} {words}"
        return Proof(changed, reason, steps)
    return None


def decoupled(case: Case) -> Proof | None:
    """Diagonal V, B, cov and A = a I: the coordinate that blows up first need not be one in which the mean moves."""
    if case.dim == 1 or np.any(case.parts["A"] != case.parts["A"][0, 0] * np.eye(case.dim)):
        return None
    example, dim = case.example, case.dim
    a = example.A[0, 0]
    if not all(_is_diagonal(X) for X in (example.V, example.B, example.cov)):
        return None
    c = [example.V[i, i] * example.B[i, i] * example.cov[i, i] for i in range(dim)]
    first = max(range(dim), key=lambda i: c[i])
    if c[first] <= 0 or a + c[first] <= 0 or all(c[i] == c[first] for i in range(dim)):
        return None
    mean = [Fraction(int(c[i] < c[first])) for i in range(dim)]
    changed = example.replace(mean=mean, b=[Fraction(0)] * dim)
    steps = (
        f"a, first = {_literal(a)}, {first}",
        "assert A == a * I and V.is_diagonal() and B.is_diagonal() and cov.is_diagonal() and b == 0 * b",
        "c = [V[i, i] * B[i, i] * cov[i, i] for i in range(A.rows)]",
        "assert c[first] > 0 and a + c[first] > 0 and max(c) == c[first]",
        "# coordinate i of cov solves s' = 2 a s + 2 V_ii B_ii s^2: infinite at t = (1/(2 a)) log(1 + a / c_i), first",
        "# where c_i is largest; a coordinate of the mean with a smaller c_i has a bounded coefficient until then",
        "assert all(mean[i] == 0 or c[i] < c[first] for i in range(A.rows)) and mean != 0 * mean",
    )
    return Proof(changed, f"coordinate {first + 1} blows up first, and the mean has no part in it", steps)


def mean_at_zero(case: Case) -> Proof | None:
    """mean = 0 and b = 0: the mean never moves."""
    zero = [Fraction(0)] * case.dim
    steps = ("assert b == 0 * b and mean == 0 * mean  # mean(t) = 0 solves mean' = (M + V) mean",)
    return Proof(case.example.replace(mean=zero, b=zero), "with mean = 0 and b = 0 the mean stays 0", steps, 1000.0)


def _directions(dim: int) -> list[np.ndarray]:
    """Small whole vectors, up to their sign, the unit vectors first."""
    size = 2 if dim <= 2 else 1
    if dim > 4:
        rows = [tuple(int(i == j) for j in range(dim)) for i in range(dim)]
    else:
        rows = [v for v in itertools.product(range(-size, size + 1), repeat=dim) if next(filter(None, v), 0) > 0]
    rows.sort(key=lambda v: (sum(map(abs, v)), v))
    return [np.array([Fraction(x) for x in v], dtype=object) for v in rows]


def _factor(X: np.ndarray, v: np.ndarray) -> Fraction | None:
    """c with X v = c v, exactly, or None."""
    moved = X @ v
    place = next(i for i, x in enumerate(v) if x)
    c: Fraction = moved[place] / v[place]
    return c if all(moved == c * v) else None


def _multiple(X: np.ndarray) -> Fraction | None:
    """c with X + X^T = 2 c I, exactly, or None."""
    both = X + X.T
    return both[0, 0] / 2 if _is_multiple_of_identity(both) else None


def _looks_isotropic(X: np.ndarray) -> bool:
    both = X + X.T
    return bool(np.abs(both - both[0, 0] * np.eye(len(X))).max() < 1e-9)


def _is_multiple_of_identity(X: np.ndarray) -> bool:
    return _is_diagonal(X) and all(X[i, i] == X[0, 0] for i in range(len(X)))


def _is_diagonal(X: np.ndarray) -> bool:
    return not np.any(X[~np.eye(len(X), dtype=bool)])


def _times(c: Fraction) -> str:
    return "0" if c == 0 else "v" if c == 1 else f"{c} v"


def _literal(x: Any) -> str:
    return f"sp.Rational({x.numerator}, {x.denominator})" if x.denominator != 1 else f"sp.Integer({x.numerator})"
