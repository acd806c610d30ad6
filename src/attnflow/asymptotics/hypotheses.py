"""Hypotheses evaluated with margins: by floats where the margin is clear, else in rational arithmetic.

A hypothesis that is an equality (semidefinite and singular, an eigenvalue on the imaginary axis) holds only if it holds
exactly for the binary inputs; in dimensions above `EXACT_LIMIT` it is borderline instead.

Source: this package, docs/theory/long-run.md, Exact decisions.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable

import numpy as np

from .rational import Counts, Exact, axis_counts, inertia, rational
from .regime import Held, Hypothesis
from .system import System

EXACT_LIMIT = 24
EPS = float(np.finfo(np.float64).eps)


class Sign(enum.StrEnum):
    """What is asked of a symmetric matrix."""

    NEGATIVE = "< 0"
    NONPOSITIVE = "<= 0"
    POSITIVE = "> 0"
    NONNEGATIVE = ">= 0"


def definite(
    name: str, matrix: np.ndarray, sign: Sign, exactly: Callable[[], Exact], *, size: float | None = None
) -> Hypothesis:
    """Whether the symmetric `matrix` (d, d) has this `sign`; the margin is its extreme eigenvalue.

    A strict sign that holds exactly but only within rounding is borderline: a flow would take 1 / rounding to show it.
    `exactly` gives the same matrix in rational arithmetic, `size` the size of the terms that were added to form it
    (its own if None), which rounding is relative to. The hypothesis is written `name` with its sign.
    """
    flip = -1.0 if sign in (Sign.NEGATIVE, Sign.NONPOSITIVE) else 1.0
    margin = float(np.linalg.eigvalsh(flip * 0.5 * (matrix + matrix.T))[0])
    scale = float(np.linalg.norm(matrix)) if size is None else size
    label = f"{name} {sign.value}"
    if abs(margin) > 32 * matrix.shape[0] * EPS * scale:
        return Hypothesis(label, Held.HOLDS if margin > 0 else Held.FAILS, margin)
    if matrix.shape[0] > EXACT_LIMIT:
        return Hypothesis(label, Held.BORDERLINE, margin)
    counts = inertia(exactly())
    wrong = counts.left if flip > 0 else counts.right
    strict = sign in (Sign.NEGATIVE, Sign.POSITIVE)
    if strict and wrong == 0 and counts.on == 0:
        return Hypothesis(label, Held.BORDERLINE, margin)
    holds = wrong == 0 and not (strict and counts.on)
    return Hypothesis(label, Held.HOLDS if holds else Held.FAILS, 0.0 if counts.on else margin, exact=True)


def symmetric(name: str, matrix: np.ndarray) -> Hypothesis:
    """Whether `matrix` (d, d) is symmetric to the last bit; the margin is minus its largest asymmetry.

    An asymmetry within rounding is borderline. The hypothesis is written with `name`.
    """
    asymmetry = float(np.abs(matrix - matrix.T).max(initial=0.0))
    if asymmetry == 0.0:
        return Hypothesis(f"{name} symmetric", Held.HOLDS, 0.0, exact=True)
    within = asymmetry <= 32 * EPS * float(np.abs(matrix).max())
    return Hypothesis(f"{name} symmetric", Held.BORDERLINE if within else Held.FAILS, -asymmetry)


def scalar_value(system: System) -> Hypothesis:
    """Whether every V_h of `system` is exactly a multiple of the identity; the margin is minus the deviation."""
    etas = np.einsum("hii->h", system.V) / system.dim
    off = float(np.abs(system.V - etas[:, None, None] * np.eye(system.dim)).max(initial=0.0))
    if system.scalars is not None:
        return Hypothesis("V = eta I", Held.HOLDS, 0.0, exact=True)
    within = off <= 32 * EPS * float(np.abs(system.V).max(initial=0.0))
    return Hypothesis("V = eta I", Held.BORDERLINE if within else Held.FAILS, -off)


@dataclasses.dataclass(frozen=True)
class Axis:
    """Where the eigenvalues of a matrix lie: `counts` (None where rounding alone decides), and the `gap`.

    `gap` is the smallest distance of an eigenvalue to the imaginary axis; `exact` says that it was counted in rational
    arithmetic.
    """

    counts: Counts | None
    gap: float
    exact: bool = False

    def none_right(self, name: str) -> Hypothesis:
        """The hypothesis that no eigenvalue has Re > 0, written with `name`."""
        return self._hypothesis(f"Re {name} <= 0", lambda c: c.right == 0)

    def all_left(self, name: str) -> Hypothesis:
        """The hypothesis that all eigenvalues have Re < 0, written with `name`."""
        return self._hypothesis(f"Re {name} < 0", lambda c: c.right + c.on == 0)

    def some_not_left(self, name: str) -> Hypothesis:
        """The hypothesis that an eigenvalue has Re >= 0, written with `name`."""
        return self._hypothesis(f"max Re {name} >= 0", lambda c: c.right + c.on > 0)

    def _hypothesis(self, label: str, test: Callable[[Counts], bool]) -> Hypothesis:
        if self.counts is None:
            return Hypothesis(label, Held.BORDERLINE, 0.0)
        holds = test(self.counts)
        margin = 0.0 if self.counts.on else self.gap
        return Hypothesis(label, Held.HOLDS if holds else Held.FAILS, margin if holds else -margin, exact=self.exact)


def axis(matrix: np.ndarray, exactly: Callable[[], Exact] | None = None) -> Axis:
    """Where the eigenvalues of `matrix` (d, d) lie with respect to the imaginary axis.

    Floats decide where the gap is above what rounding can move an eigenvalue by: to first order by the condition of the
    eigenvectors, or in general by the d-th root bound for defective matrices. Else `exactly`, the matrix in rational
    arithmetic (the floats themselves if None), is asked.
    """
    size = matrix.shape[0]
    if size == 0:
        return Axis(Counts(0, 0, 0), np.inf, exact=True)
    values, vectors = np.linalg.eig(matrix)
    gap = float(np.abs(values.real).min())
    if gap > eigenvalue_noise(matrix, vectors) and gap > 0:
        right = int(np.count_nonzero(values.real > 0))
        return Axis(Counts(right, 0, size - right), gap)
    if size > EXACT_LIMIT:
        return Axis(None, gap)
    return Axis(axis_counts(rational(matrix) if exactly is None else exactly()), gap, exact=True)


def eigenvalue_noise(matrix: np.ndarray, vectors: np.ndarray, *, ulps: float = 32.0) -> float:
    """What rounding can move an eigenvalue of `matrix` (d, d) by, given its computed eigen`vectors`.

    The smaller one of two bounds: the condition of the eigenvectors times the error of the matrix (Bauer and Fike), and
    the d-th root bound, which holds for defective matrices too. `ulps` times d is the error of the matrix in units of
    its last place.
    """
    size, norm = len(matrix), float(np.linalg.norm(matrix))
    noise = ulps * size * EPS * norm
    in_general = 4 * (2 * norm + noise) ** (1 - 1 / size) * noise ** (1 / size)
    return float(min(float(np.linalg.cond(vectors)) * noise, in_general))


def nearly_unseen(A: np.ndarray, S: np.ndarray) -> int:
    """How many eigenvectors of `A` (d, d) with Re >= 0 the form `S` (d, d) does not see, both up to rounding.

    More than exact arithmetic finds means that rounding alone makes some of them observable.
    """
    size, form = (float(np.linalg.norm(X)) or 1.0 for X in (A, S))
    left = [x for x in np.linalg.eigvals(A) if x.real >= -1e-8 * size]
    unseen = 0
    while left:
        cluster = [x for x in left if abs(x - left[0]) <= 1e-6 * size]
        left = [x for x in left if abs(x - left[0]) > 1e-6 * size]
        pencil = np.vstack([(A - np.mean(cluster) * np.eye(len(A))) / size, S / form])
        values = np.linalg.svd(pencil, compute_uv=False)
        unseen += min(len(cluster), int(np.count_nonzero(values < 64 * len(A) * EPS)))
    return unseen


class ExactSystem:
    """The matrices of a `system` in rational arithmetic, made when they are first asked for."""

    def __init__(self, system: System) -> None:
        self.system = system

    @functools.cached_property
    def A(self) -> Exact:
        """A (d, d)."""
        return rational(self.system.A)

    @functools.cached_property
    def V(self) -> Exact:
        """V (d, d) of the single head."""
        return rational(self.system.V[0])

    @functools.cached_property
    def B(self) -> Exact:
        """B (d, d) of the single head."""
        return rational(self.system.B[0])

    @functools.cached_property
    def S(self) -> Exact:
        """sum_h eta_h (B_h + B_h^T) (d, d) of scalar heads, without rounding."""
        total = rational(np.zeros_like(self.system.A))
        for V, B in zip(self.system.V, self.system.B, strict=True):
            head = rational(V[:1, :1]).to_list()[0][0] * rational(B)
            total = total + head + head.transpose()
        return total

    def is_at_rest(self, cov: np.ndarray) -> bool:
        """Whether F(cov) vanishes exactly at the floats of `cov` (d, d)."""
        return self._is_at_rest(rational(cov))

    def rests(self, factor: np.ndarray) -> bool:
        """Whether F(L L^T) vanishes exactly at the floats of the `factor` L (d, r), whose product is not rounded."""
        exact = rational(factor)
        return self._is_at_rest(exact * exact.transpose())

    def _is_at_rest(self, exact: Exact) -> bool:
        half = self.A * exact
        for V, B in zip(self.system.V, self.system.B, strict=True):
            half = half + rational(V) * exact * rational(B) * exact
        return bool((half + half.transpose()).is_zero_matrix)
