"""Singular starts: the smallest subspace that a start and the flow stay in, decided exactly.

The range of the covariance moves by A and by the V_h: cov' = M cov + cov M^T with M L = A L + sum_h V_h L (L^T B_h L).

Source: this package, docs/theory/long-run.md, Exact decisions.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from .hypotheses import EXACT_LIMIT
from .rational import Exact, rational, restricted, to_float
from .system import System

NEAR = 1e-9


@dataclasses.dataclass(frozen=True)
class Carrier:
    """The subspace: a `basis` (d, k) of it, not orthonormal; k = d: the start reaches everything.

    `near` says that the start lies within rounding of a smaller invariant subspace without lying in it.
    """

    basis: Float[np.ndarray, "d k"]
    near: bool

    def within(self, system: System, factor: Float[np.ndarray, "d r"]) -> Within:
        """The `system` without biases and the `factor` (d, r), in the coordinates of the basis."""
        R = rational(self.basis)
        gram, k = R.transpose() * R, self.basis.shape[1]
        parts = [restricted(rational(system.A), R), gram.lu_solve(R.transpose() * rational(factor))]
        parts += [R.transpose() * rational(B) * R for B in system.B]
        if system.scalars is None:
            parts += [restricted(rational(V), R) for V in system.V]
        floats = [to_float(part) for part in parts]
        exact = all(rational(number) == part for number, part in zip(floats, parts, strict=True))
        exact = exact and rational(system.A) * R == R * parts[0] and R * parts[1] == rational(factor)
        h = len(system.V)
        exact = exact and all(rational(X) * R == R * part for X, part in zip(system.V, parts[2 + h :], strict=False))
        B = np.array(floats[2 : 2 + h]).reshape(h, k, k)
        etas = system.scalars
        V = np.array(floats[2 + h :]).reshape(h, k, k) if etas is None else etas[:, None, None] * np.eye(k)
        return Within(System(floats[0], V, B, np.zeros(k), np.zeros((h, k))), floats[1], exact)


@dataclasses.dataclass(frozen=True)
class Within:
    """A `system` and a `factor` (k, r) in the coordinates of a subspace; `exact`: nothing was rounded on the way."""

    system: System
    factor: Float[np.ndarray, "k r"]
    exact: bool


def carrier(system: System, factor: Float[np.ndarray, "d r"]) -> Carrier:
    """The smallest subspace that contains the range of `factor` (d, r) and is invariant under A and V_h of `system`.

    Decided in rational arithmetic on the floats; in dimensions above 24, and where only rounding separates the start
    from a smaller subspace, the whole space is returned, marked `near` if a smaller one is close.
    """
    d, r = factor.shape
    if r in (0, d):
        return Carrier(np.eye(d), near=False)
    maps = [system.A, *(() if system.scalars is not None else system.V)]
    close = _close(maps, factor)
    if close == d:
        return Carrier(np.eye(d), near=False)
    if d > EXACT_LIMIT:
        return Carrier(np.eye(d), near=True)
    exact_maps = [rational(m) for m in maps]
    span = rational(factor)
    size = span.rank()
    while size < d:
        wider = span.hstack(*(m * span for m in exact_maps))
        echelon, pivots = wider.transpose().rref()
        if len(pivots) == size:
            return Carrier(_whole_rows(_rows(echelon, size)).T, near=close < size)
        size = len(pivots)
        span = _rows(echelon, size).transpose()
    return Carrier(np.eye(d), near=True)


def _rows(echelon: Exact, count: int) -> Exact:
    """The first rows."""
    return echelon.extract(list(range(count)), list(range(echelon.shape[1])))


def _whole_rows(rows: Exact) -> np.ndarray:
    """The rows without denominators, so that floats hold them unless they are long."""
    listed = [list(row) for row in rows.to_list()]
    cleared = [[x * math.lcm(*(int(y.denominator) for y in row)) for x in row] for row in listed]
    return np.array([[float(x) for x in row] for row in cleared])


def _close(maps: list[np.ndarray], factor: np.ndarray) -> int:
    """The dimension of that subspace by floats, where directions within rounding do not count."""
    basis = np.linalg.svd(factor, full_matrices=False)[0]
    while basis.shape[1] < len(factor):
        added = []
        for m in maps:
            moved = m @ basis
            moved = moved - basis @ (basis.T @ moved)
            left, sizes, _ = np.linalg.svd(moved, full_matrices=False)
            added.append(left[:, sizes > NEAR * max(float(np.linalg.norm(m, 2)), 1e-300)])
        new = np.hstack(added)
        if not new.shape[1]:
            break
        new = new - basis @ (basis.T @ new)
        left, sizes, _ = np.linalg.svd(new, full_matrices=False)
        fresh = left[:, sizes > NEAR]
        if not fresh.shape[1]:
            break
        basis = np.linalg.qr(np.hstack([basis, fresh]))[0]
    return int(basis.shape[1])
