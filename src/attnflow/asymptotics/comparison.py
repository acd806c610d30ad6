"""The scalar equation z' = a z + k z^2 that sizes of the covariance are compared with, and its coefficients.

Source: this package, docs/theory/definite.md, Theorem E.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy.linalg
from jaxtyping import Float
from scipy.linalg.blas import dtrsm

from .system import System

THRESHOLD = 1e-12
"""Within this relative distance of -a = k z(0) rounding decides whether z blows up: nothing is claimed there."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """z' = `growth` z + `quadratic` z^2 from z(0) = `size` >= 0."""

    growth: float
    quadratic: float
    size: float

    @property
    def escape(self) -> float | None:
        """The time at which z is infinite; None when it never is, or when rounding cannot tell."""
        ratio = self._ratio
        return None if ratio <= THRESHOLD - 1.0 else self._time(ratio)

    @property
    def safe(self) -> float | None:
        """A time before which z is finite: `escape`, or a finite time where rounding cannot tell; None: for ever."""
        ratio = self._ratio
        return None if ratio <= -THRESHOLD - 1.0 else self._time(max(ratio, THRESHOLD - 1.0))

    @property
    def vanishes(self) -> bool:
        """Whether z tends to zero."""
        if self.growth < 0.0:
            return self._ratio <= -THRESHOLD - 1.0
        return self.size == 0.0 or (self.growth == 0.0 and self.quadratic < 0.0)

    @property
    def _ratio(self) -> float:
        """a / (k z(0)); -inf when the quadratic term never drives z to infinity."""
        drive = self.quadratic * self.size
        return self.growth / drive if drive > 0.0 else -math.inf

    def _time(self, ratio: float) -> float:
        """log(1 + a / (k z)) / a, by continuity 1 / (k z) at a = 0."""
        drive = self.quadratic * self.size
        return (math.log1p(ratio) / ratio if ratio != 0.0 else 1.0) / drive


@dataclasses.dataclass(frozen=True)
class Forms:
    """What moves the largest eigenvalue z of P^{1/2} cov P^{1/2}, with its unit eigenvector w.

    z' <= z w^T G w + z^2 w^T K w with G = `growth` (d, d) and each K of `quadratic`, symmetric matrices. `noise` is
    what rounding may do to the eigenvalues of G and of K.

    Source: this package, docs/theory/definite.md, Small starts.
    """

    growth: Float[np.ndarray, "d d"]
    quadratic: tuple[Float[np.ndarray, "d d"], ...]
    noise: tuple[float, float]

    @property
    def rates(self) -> tuple[float, float]:
        """(a, k) with z' <= a z + k z^2: the largest eigenvalue of G, and the smallest such of the K.

        What rounding may have done to them, `noise`, is added, so that their signs can be relied on.
        """
        k = min(raised(K, self.noise[1]) for K in self.quadratic)
        return raised(self.growth, self.noise[0]), k


def weighted_forms(system: System, weight: Float[np.ndarray, "d d"] | None = None) -> Forms:
    """The forms of `system` for the weight P = `weight` (d, d), positive definite; I if None.

    With A~ = P^{1/2} A P^{-1/2}, V~ = P^{1/2} V P^{-1/2}, B~ = P^{-1/2} B P^{-1/2} the growth is G = A~ + A~^T. With
    V~_h = e_h I + V'_h and B~_h = c_h I + B'_h, any e_h and c_h, K is the symmetric part of
    sum ||V'_h|| ||B'_h|| I + 2 e_h B~_h + 2 c_h V'_h + V'_h B'_h: for scalar V, or one head with B = P, z' is bounded
    sharply. Two choices are made: zeros, and the middles of the spectra of the symmetric parts.

    Source: this package, docs/theory/definite.md, Small starts.
    """
    root = np.eye(system.dim) if weight is None else scipy.linalg.cholesky(weight, lower=False)
    growth = _similar(root, system.A)
    values = [_similar(root, one) for one in system.V]
    forms = [_congruent(root, one) for one in system.B]
    centres = [(_centre(V), _centre(B)) for V, B in zip(values, forms, strict=True)]
    choices = (centres, [(0.0, 0.0)] * len(values))
    quadratic = tuple(_quadratic(values, forms, shifts, system.dim) for shifts in choices)
    return Forms(growth + growth.T, quadratic, rounding(system, weight))


def rounding(system: System, weight: Float[np.ndarray, "d d"] | None = None) -> tuple[float, float]:
    """What rounding may do to eigenvalues of G and K of `system` for the `weight` (d, d), I if None."""
    unit = (
        8.0 * system.dim * float(np.finfo(np.float64).eps) * (1.0 if weight is None else float(np.linalg.cond(weight)))
    )
    products = sum(np.linalg.norm(V) * np.linalg.norm(B) for V, B in zip(system.V, system.B, strict=True))
    size = 1.0 if weight is None else 1.0 / float(np.linalg.norm(weight, 2))
    return unit * float(np.linalg.norm(system.A)), unit * float(products) * size


def raised(symmetric: Float[np.ndarray, "d d"], noise: float) -> float:
    """The largest eigenvalue of a `symmetric` matrix plus `noise`; exactly 0 for the zero matrix."""
    return 0.5 * top(symmetric) + noise if symmetric.any() else 0.0


def _quadratic(
    values: list[np.ndarray], forms: list[np.ndarray], shifts: list[tuple[float, float]], dim: int
) -> np.ndarray:
    total, identity = np.zeros((dim, dim)), np.eye(dim)
    for V, B, (e, c) in zip(values, forms, shifts, strict=True):
        turned, rest = V - e * identity, B - c * identity
        norms = np.linalg.norm(turned, 2) * np.linalg.norm(rest, 2)
        total = total + 2.0 * e * B + 2.0 * c * turned + turned @ rest + norms * identity
    return 0.5 * (total + total.T)


def _centre(matrix: np.ndarray) -> float:
    """The middle of the spectrum of the symmetric part."""
    return 0.25 * (top(matrix) + bottom(matrix))


def weighted_size(cov: Float[np.ndarray, "d d"], weight: Float[np.ndarray, "d d"] | None = None) -> float:
    """The largest eigenvalue of P^{1/2} `cov` P^{1/2}, P = `weight` (I if None)."""
    root = np.eye(len(cov)) if weight is None else scipy.linalg.cholesky(weight, lower=False)
    return max(0.5 * top(root @ cov @ root.T), 0.0)


def top(matrix: Float[np.ndarray, "d d"]) -> float:
    """The largest eigenvalue of `matrix` + its transpose."""
    return float(np.linalg.eigvalsh(matrix + matrix.T)[-1])


def bottom(matrix: Float[np.ndarray, "d d"]) -> float:
    """The smallest eigenvalue of `matrix` + its transpose."""
    return float(np.linalg.eigvalsh(matrix + matrix.T)[0])


def _similar(root: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """R M R^{-1} for upper triangular R with P = R^T R; it differs from P^{1/2} M P^{-1/2} by a rotation only."""
    return _from_left(root, (root @ matrix).T).T


def _congruent(root: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """R^{-T} M R^{-1}."""
    return _from_left(root, _from_left(root, matrix).T).T


def _from_left(root: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """R^{-T} M; trtrs would wake all threads even for the smallest matrix."""
    return np.asarray(dtrsm(1.0, root, matrix, trans_a=1))
