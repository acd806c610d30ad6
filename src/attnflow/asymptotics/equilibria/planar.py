"""d = 2: the complete list of positive semidefinite equilibria, for any number of heads, in rational arithmetic.

Nonsingular ones: M X is skew, M X = k' J with J = [[0, -1], [1, 0]], and for symmetric X of order 2, J X^{-1} is a
multiple of X J. So A + sum_h V_h X B_h = k X J for some number k: four equations, linear in the three entries of X,
that are solvable only if the determinant of [N(k) | vec A], a cubic in k, vanishes.

Of rank one, X = s u u^T: M u = 0, that is A u + s w(u) = 0 with w(u) = sum_h (u^T B_h u) V_h u. The directions are the
roots of the binary quartic det[A u, w(u)], and s = -(A u . w) / (w . w) must be positive.

Source: this package, docs/theory/long-run.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from ..system import System
from .equilibrium import Equilibrium
from .polynomials import Polynomial, between, common, evaluate, polynomial, real_roots, simple

Vector = list[Fraction]
Rows = list[Vector]
POINTS = [Fraction(k) for k in (0, 1, -1, 2, -2, 3, -3)]
INVISIBLE = Fraction(1, 2**80)  # relative to the terms; roots are known to 160 bits


@dataclasses.dataclass(frozen=True)
class Planar:
    """All nonzero positive semidefinite equilibria in d = 2 that are isolated: `found`, rank two before rank one.

    `families` says, a sentence each, which equilibria may form curves or surfaces and are not listed.
    """

    found: tuple[Equilibrium, ...]
    families: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether `found` is all there is."""
        return not self.families


def planar(system: System) -> Planar:
    """The nonzero positive semidefinite equilibria of a `system` with d = 2.

    Decided by exact arithmetic on the binary inputs: the number of real roots by Sturm's theorem.

    Source: this package, docs/theory/long-run.md.
    """
    A, heads = _exact(system.A), [(_exact(V), _exact(B)) for V, B in zip(system.V, system.B, strict=True)]
    full, first = _nonsingular(A, heads)
    thin, second = _rank_one(A, heads)
    found = [Equilibrium(system, _rounded(X), 2) for X in full] + [Equilibrium(system, _rounded(X), 1) for X in thin]
    return Planar(tuple(found), (*first, *second))


# --- nonsingular -----------------------------------------------------------------------------------------------------


def _nonsingular(A: Rows, heads: list[tuple[Rows, Rows]]) -> tuple[list[Rows], list[str]]:
    target = [-A[i][j] for i in range(2) for j in range(2)]

    def augmented(k: Fraction) -> Rows:
        return [[*row, value] for row, value in zip(_pencil(heads, k), target, strict=True)]

    cubic = _interpolated(lambda k: _determinant(augmented(k)))
    if not cubic:
        return _curve(augmented)
    deficient = _deficient(augmented, cubic)
    found: list[Rows] = []
    families: list[str] = []
    for k in real_roots(cubic):
        if deficient(k):
            families += ["a line of symmetric solutions of full rank"] if _consistent(augmented(k)) else []
        else:
            X = _solve(augmented(k))
            found += [X] if _positive(X) else []
    return found, families


def _curve(augmented: Callable[[Fraction], Rows]) -> tuple[list[Rows], list[str]]:
    """The cubic vanishes identically: almost every k has a solution, and if one is positive definite, a family."""
    grid = [Fraction(n, 7) * Fraction(4**e, 256) for e in range(9) for n in (-5, 5)] + [Fraction(0)]
    samples = [rows for k in grid if (rows := augmented(k)) and any(_minors(rows))]
    positive = [X for rows in samples if _residual_free(rows, X := _solve(rows)) and _positive(X)]
    kind = "a curve of positive definite equilibria" if positive else "curves of nonsingular solutions"
    return [], [kind]


def _pencil(heads: list[tuple[Rows, Rows]], k: Fraction) -> Rows:
    """N(k) (4, 3): the entries of sum_h V_h X B_h - k X J as linear functions of X11, X12, X22."""
    columns = []
    zero, one = Fraction(0), Fraction(1)
    for X in ([[one, zero], [zero, zero]], [[zero, one], [one, zero]], [[zero, zero], [zero, one]]):
        # X J = [[X12, -X11], [X22, -X21]]
        total = [[-k * X[0][1], k * X[0][0]], [-k * X[1][1], k * X[1][0]]]
        for V, B in heads:
            term = _product(_product(V, X), B)
            total = [[a + b for a, b in zip(r, t, strict=True)] for r, t in zip(total, term, strict=True)]
        columns.append([total[i][j] for i in range(2) for j in range(2)])
    return [list(row) for row in zip(*columns, strict=True)]


def _deficient(augmented: Callable[[Fraction], Rows], cubic: Polynomial) -> Callable[[Fraction], bool]:
    """Whether N(k) has rank below 3 at a root k of the cubic: the root is shared by all its 3 x 3 minors."""
    shared = simple(cubic)
    for i in range(4):
        shared = common(shared, _interpolated(lambda k, i=i: _minors(augmented(k))[i]))  # type: ignore[misc]
    roots = real_roots(shared) if len(shared) > 1 else []
    return lambda k: any(abs(k - root) <= INVISIBLE * max(abs(root), Fraction(1)) for root in roots)


def _minors(rows: Rows) -> Vector:
    """The determinants of N without one of its four rows."""
    return [_determinant([row[:3] for j, row in enumerate(rows) if j != i]) for i in range(4)]


def _solve(rows: Rows) -> Rows:
    """X from the three equations with the largest determinant, by Cramer's rule."""
    minors = _minors(rows)
    leave = max(range(4), key=lambda i: abs(minors[i]))
    kept = [row for j, row in enumerate(rows) if j != leave]
    entries = []
    for column in range(3):
        replaced = [[row[3] if c == column else row[c] for c in range(3)] for row in kept]
        entries.append(_determinant(replaced) / minors[leave])
    return [[entries[0], entries[1]], [entries[1], entries[2]]]


def _residual_free(rows: Rows, X: Rows) -> bool:
    unknowns = (X[0][0], X[0][1], X[1][1])
    return all(sum(a * x for a, x in zip(row[:3], unknowns, strict=True)) == row[3] for row in rows)


def _consistent(rows: Rows) -> bool:
    """Whether a rank deficient N x = target has a solution; the root k is known to 160 bits, so floats decide."""
    numbers = np.array([[float(a) for a in row] for row in rows])
    scale = float(np.abs(numbers).max(initial=0.0)) or 1.0
    left, right = numbers[:, :3] / scale, numbers[:, 3] / scale
    solution = np.linalg.lstsq(left, right, rcond=1e-12)[0]
    return bool(np.linalg.norm(left @ solution - right) <= 1e-10 * np.linalg.norm(right))


def _positive(X: Rows) -> bool:
    """Positive definite; a determinant that vanishes up to rounding belongs to an equilibrium of rank one."""
    size = X[0][0] * X[1][1] + X[0][1] ** 2
    return X[0][0] > 0 and X[0][0] * X[1][1] - X[0][1] ** 2 > INVISIBLE * size


# --- rank one --------------------------------------------------------------------------------------------------------


def _rank_one(A: Rows, heads: list[tuple[Rows, Rows]]) -> tuple[list[Rows], list[str]]:
    def drift(u: Vector) -> Vector:
        return _apply(A, u)

    def pull(u: Vector) -> Vector:
        terms = [(_dot(u, _apply(B, u)), _apply(V, u)) for V, B in heads]
        return [sum((q * v[i] for q, v in terms), Fraction(0)) for i in range(2)]

    quartic = _interpolated(lambda t: _cross(drift([Fraction(1), t]), pull([Fraction(1), t])))
    upright = [Fraction(0), Fraction(1)]
    if not quartic:
        return [], _directions(drift, pull)
    directions = [[Fraction(1), t] for t in real_roots(quartic)]
    directions += [upright] if _cross(drift(upright), pull(upright)) == 0 else []
    found: list[Rows] = []
    families: list[str] = []
    for u in directions:
        size, family = _length(A, heads, u, drift(u), pull(u))
        families += ["a ray of equilibria of rank one"] if family else []
        found += [[[size * a * b for b in u] for a in u]] if size is not None else []
    return found, families


def _length(A: Rows, heads: list[tuple[Rows, Rows]], u: Vector, a: Vector, w: Vector) -> tuple[Fraction | None, bool]:
    """s with A u + s w = 0, s > 0, and whether every s will do; what vanishes up to the precision of u counts as 0."""
    long = _dot(u, u)
    weak = all(abs(x) <= INVISIBLE * _largest(A) * (1 + long) for x in a)
    strength = sum((_largest(V) * _largest(B) for V, B in heads), Fraction(0))
    free = all(abs(x) <= INVISIBLE * strength * (1 + long) ** 2 for x in w)
    if weak or free:
        return None, weak and free
    size = -_dot(a, w) / _dot(w, w)
    return (size, False) if size > 0 else (None, False)


def _directions(drift: Callable[[Vector], Vector], pull: Callable[[Vector], Vector]) -> list[str]:
    """The quartic vanishes identically: A u and w(u) are parallel for every u."""
    balance = _interpolated(lambda t: -_dot(drift([Fraction(1), t]), pull([Fraction(1), t])))
    samples = between(real_roots(balance)) if balance else []
    if any(evaluate(balance, t) > 0 for t in samples):
        return ["equilibria of rank one in every direction of a sector"]
    still, idle = (
        _interpolated(lambda t, field=field: _dot(field([Fraction(1), t]), field([Fraction(1), t])))  # type: ignore[misc]
        for field in (drift, pull)
    )
    shared = common(still, idle)
    resting = not shared or bool(real_roots(shared))
    upright = [Fraction(0), Fraction(1)]
    resting = resting or not any(drift(upright) + pull(upright))
    return ["rays of equilibria of rank one"] if resting else []


# --- matrices of fractions -------------------------------------------------------------------------------------------


def _exact(matrix: np.ndarray) -> Rows:
    return [[Fraction(float(x)) for x in row] for row in matrix]


def _rounded(X: Rows) -> np.ndarray:
    return np.array([[float(x) for x in row] for row in X])


def _interpolated(function: Callable[[Fraction], Fraction]) -> Polynomial:
    """The polynomial, of degree at most 6, that a function of one variable is."""
    return polynomial([function(x) for x in POINTS], POINTS)


def _product(X: Rows, Y: Rows) -> Rows:
    return [[_dot(row, list(column)) for column in zip(*Y, strict=True)] for row in X]


def _apply(X: Rows, u: Vector) -> Vector:
    return [_dot(row, u) for row in X]


def _dot(u: Vector, v: Vector) -> Fraction:
    return sum((a * b for a, b in zip(u, v, strict=True)), Fraction(0))


def _cross(u: Vector, v: Vector) -> Fraction:
    return u[0] * v[1] - u[1] * v[0]


def _determinant(rows: Rows) -> Fraction:
    if len(rows) == 1:
        return rows[0][0]
    minors = [[row[:j] + row[j + 1 :] for row in rows[1:]] for j in range(len(rows))]
    return sum(((-1) ** j * rows[0][j] * _determinant(minor) for j, minor in enumerate(minors)), Fraction(0))


def _largest(X: Rows) -> Fraction:
    return max(abs(x) for row in X for x in row)
