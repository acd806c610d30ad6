"""Singular starts: the smallest subspace that a start and the flow stay in, decided exactly.

The range of the covariance moves by A and by the V_h: cov' = M cov + cov M^T with M L = A L + sum_h V_h L (L^T B_h L).

Source: this package, docs/theory/long-run.md, Exact decisions.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from .hypotheses import EXACT_LIMIT
from .rational import Exact, rational, to_float
from .system import System

NEAR = 1e-9


@dataclasses.dataclass(frozen=True)
class Carrier:
    """An orthonormal `basis` (d, k) of the subspace; k = d: the start reaches everything.

    `near` says that the start lies within rounding of a smaller invariant subspace without lying in it.
    """

    basis: Float[np.ndarray, "d k"]
    near: bool

    def within(self, system: System, factor: Float[np.ndarray, "d r"]) -> tuple[System, Float[np.ndarray, "k r"]]:
        """The `system` and the `factor` in the coordinates of the subspace, without biases."""
        Q = self.basis
        k = Q.shape[1]
        V, B = (np.einsum("ai,hab,bj->hij", Q, X, Q) for X in (system.V, system.B))
        if system.scalars is not None:  # a multiple of the identity stays one, without rounding
            V = system.scalars[:, None, None] * np.eye(k)
        smaller = System(Q.T @ system.A @ Q, V, B, np.zeros(k), np.zeros((len(V), k)))
        return smaller, Q.T @ factor


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
            return Carrier(_orthonormal(echelon, size), near=close < size)
        size = len(pivots)
        span = _rows(echelon, size).transpose()
    return Carrier(np.eye(d), near=True)


def _rows(echelon: Exact, count: int) -> Exact:
    """The first rows."""
    return echelon.extract(list(range(count)), list(range(echelon.shape[1])))


def _orthonormal(echelon: Exact, count: int) -> np.ndarray:
    return np.linalg.qr(to_float(_rows(echelon, count)).T)[0]


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
