"""The covariance of activated normal numbers s(z_1), ..., s(z_m): a series, and closed forms where it is slow.

Cov(s(z_i), s(z_j)) = sum over k >= 1 of rho^k a_k(i) a_k(j), where sum over k >= 1 of a_k(i)^2 = Var s(z_i). What is
left of the variance after K terms, R_K(i), therefore bounds the rest of the series by |rho|^{K+1} sqrt(R_K(i) R_K(j)).
Each tile of the matrix takes as many terms as its bound asks for; pairs for which that would be more work than their
own closed form, or quadrature, are computed by that.

Source: this package, docs/theory/closures.md, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg.blas import dger

from .activation import Activation, Normal

TOLERANCE = 1e-10
"""Error of a covariance relative to the standard deviations of its two numbers."""
FLOOR = 1e-3
"""Numbers that vary less than this share of the one that varies most are held to the accuracy of that share."""
LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
STEPS = (32, 64, 256, 1024)
NARROW = 0.5
"""Below this deviation the first coefficients of an analytic activation hold the whole variance."""
TILE = (64, 512)


class Strip(NamedTuple):
    """Rows of the covariance, from the diagonal on: columns `rows.start` to m; zero left of the diagonal."""

    rows: slice
    values: Float[np.ndarray, "b c"]


class _Plan(NamedTuple):
    """The cost of a tile by so many terms of the series, and the pairs for which they are not enough."""

    cost: float
    terms: int
    hard: np.ndarray


class Activated:
    """The normal numbers z = `mean` + `factor` Z, `mean` (m,), `factor` (m, r), under an `activation`."""

    def __init__(self, activation: Activation, mean: Float[np.ndarray, " m"], factor: Float[np.ndarray, "m r"]) -> None:
        self.activation = activation
        deviation = np.sqrt(np.sum(np.square(factor), axis=1))
        self.normal = Normal(mean, deviation)
        self.expected = activation.expectations(mean, np.square(deviation))
        self._directions = factor / np.where(deviation > 0, deviation, 1.0)[:, None]
        self._extend(STEPS[0])
        self.var = np.sum(np.square(self._coefficients[1:]), axis=0)
        slow = (deviation > NARROW) | (not activation.analytic)
        self.var[slow] = activation.variance(mean[slow], deviation[slow])
        self._bounds()

    def cov(self) -> Float[np.ndarray, "m m"]:
        """The covariance of the activated numbers."""
        half = np.zeros((self.var.size, self.var.size))
        for rows, values in self.strips():
            half[rows, rows.start :] = values
        return half + half.T - np.diag(self.var)

    def strips(self) -> Iterator[Strip]:
        """The upper triangle of the covariance, with the diagonal, in strips of rows."""
        size = self.var.size
        for top in range(0, size, TILE[0]):
            rows = slice(top, min(top + TILE[0], size))
            values = np.concatenate(
                [self._tile(rows, slice(left, min(left + TILE[1], size))) for left in range(top, size, TILE[1])],
                axis=1,
            )
            values[np.tril_indices(rows.stop - rows.start, k=-1)] = 0.0
            place = np.arange(rows.stop - rows.start)
            values[place, place] = self.var[rows]
            yield Strip(rows, values)

    def _tile(self, rows: slice, columns: slice) -> np.ndarray:
        correlation = np.clip(self._directions[rows] @ self._directions[columns].T, -1.0, 1.0)
        if columns.start == rows.start:
            correlation[np.tril_indices(rows.stop - rows.start)] = 0.0
        count, hard = self._plan(correlation, rows, columns)
        values = _horner(correlation, self._coefficients[: count + 1, rows], self._coefficients[: count + 1, columns])
        if hard is not None:
            i, j = np.nonzero(hard)
            values[i, j] = self.activation.covariance(
                self._numbers(rows, i), self._numbers(columns, j), correlation[i, j]
            )
        return values

    def _numbers(self, part: slice, index: np.ndarray) -> Normal:
        return Normal(self.normal.mean[part][index], self.normal.deviation[part][index])

    def _plan(self, correlation: np.ndarray, rows: slice, columns: slice) -> tuple[int, np.ndarray | None]:
        """How many terms, and for which pairs the closed form instead: the cheapest choice within the tolerance."""
        with np.errstate(divide="ignore"):
            top = float(np.log(np.abs(correlation).max(initial=0.0)))
        one, two = self._rest[:, rows], self._rest[:, columns]
        worst = (self._terms + 1) * top + one.max(axis=1) + two.max(axis=1)
        enough = np.flatnonzero(worst <= np.log(TOLERANCE))
        if enough.size and self._terms[enough[0]] <= STEPS[0]:
            return int(self._terms[enough[0]]), None
        with np.errstate(divide="ignore"):
            logarithm = np.log(np.abs(correlation))
        best = _Plan(np.inf, 0, np.ones_like(correlation, dtype=bool))
        for terms, first, second in zip(self._terms.tolist(), one, two, strict=True):
            hard = (terms + 1) * logarithm + first[:, None] + second > np.log(TOLERANCE)
            left = int(np.count_nonzero(hard))
            best = min(best, _Plan(terms * hard.size + left * self.activation.pair_cost, terms, hard), key=_cost)
            if not left:
                break
        longer = next((step for step in STEPS if step >= len(self._coefficients)), np.inf)
        if np.count_nonzero(best.hard) * self.activation.pair_cost > longer * best.hard.size:
            self._extend(int(longer))
            self._bounds()
            return self._plan(correlation, rows, columns)
        return best.terms, best.hard if best.hard.any() else None

    def _extend(self, count: int) -> None:
        self._coefficients = self.activation.coefficients(*self.normal, count)

    def _bounds(self) -> None:
        """log sqrt(R_K(i)) relative to the scale of number i, for each K on the ladder."""
        self._terms = np.array([k for k in LADDER if k < len(self._coefficients)])
        scale = np.maximum(self.var, FLOOR**2 * self.var.max(initial=0.0))
        scale = np.where(scale > 0, scale, 1.0)
        used = np.cumsum(np.square(self._coefficients[1:]), axis=0)[self._terms - 1]
        left = np.maximum(self.var - used, 1e-17 * self.var) / scale
        with np.errstate(divide="ignore"):
            self._rest = 0.5 * np.log(left)


def _cost(plan: _Plan) -> float:
    return plan.cost


def _horner(correlation: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The sum over k >= 1 of correlation^k one_k two_k^T, from the last term."""
    values: np.ndarray = np.multiply.outer(one[-1], two[-1])
    for a, b in zip(one[-2:0:-1], two[-2:0:-1], strict=True):
        values *= correlation
        # values += outer(a, b) in place; BLAS wants its columns first, and is three times faster than NumPy here
        dger(1.0, b, a, a=values.T, overwrite_a=True)
    values *= correlation
    return values
