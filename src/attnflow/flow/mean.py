"""V = eta I: the means that have a closed form.

mean' = (A + eta I + cov(t) B) mean + cov(t) beta + b. The transition matrix is explicit when cov B vanishes, and when
all of A, B and cov(0) commute in the sense below; for general A and symmetric B the candidate formula is wrong.

Source: this package, docs/theory/closed-form.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.linalg import expm

MeanFlow: TypeAlias = Callable[[float], np.ndarray]


@dataclasses.dataclass(frozen=True)
class ScalarHead:
    """The flow with V = eta I: A, B = sum of eta_h B_h (d, d), eta, tilt beta = sum of eta_h beta_h and bias b (d,)."""

    A: np.ndarray
    B: np.ndarray
    eta: float
    tilt: np.ndarray
    bias: np.ndarray

    @property
    def S(self) -> np.ndarray:
        """B + B^T, which drives the covariance."""
        return np.asarray(self.B + self.B.T)


def closed_mean(head: ScalarHead, mean: np.ndarray, factor: np.ndarray) -> tuple[MeanFlow, str] | None:
    """t -> mean(t) and the statement it rests on, where a closed form is known; None where it must be integrated.

    Hypotheses count only when they hold exactly in floating point.
    """
    still = not np.any(head.tilt) or not np.any(factor)
    if still and not np.any(mean) and not np.any(head.bias):
        return (lambda t: np.zeros_like(mean)), "mean = 0 is an equilibrium when start and bias vanish"
    if still and (not np.any(factor) or not np.any(head.B)):
        return _affine(head, mean), "cov B = 0: the mean obeys a linear equation with constant coefficients"
    if np.any(head.bias) or np.any(head.tilt) or np.any(head.B != head.B.T):
        return None
    rate = head.A[0, 0]
    if np.array_equal(head.A, rate * np.eye(mean.size)):
        return _scalar(head, float(rate), mean, factor), "Theorem C: A = a I, B symmetric (docs/theory/closed-form.md)"
    cov = factor @ factor.T
    if all(np.array_equal(m, np.diag(np.diag(m))) for m in (head.A, head.B, cov)):
        statement = "Theorem C: A, B and the start diagonal (docs/theory/closed-form.md)"
        return _diagonal(head, np.diag(cov), mean), statement
    return None


def growth(rate: float | np.ndarray, t: float) -> np.ndarray:
    """n(t) = (e^{2 a t} - 1) / (2 a), with its limit t at a = 0."""
    a = np.asarray(rate, dtype=np.float64)
    safe = np.where(a == 0, 1.0, a)
    return np.asarray(np.where(a == 0, t, np.expm1(2 * a * t) / (2 * safe)))


def _affine(head: ScalarHead, mean: np.ndarray) -> MeanFlow:
    d = mean.size
    generator = np.zeros((d + 1, d + 1))
    generator[:d, :d] = head.A + head.eta * np.eye(d)
    generator[:d, d] = head.bias
    extended = np.append(mean, 1.0)
    return lambda t: (expm(t * generator) @ extended)[:d]


def _scalar(head: ScalarHead, rate: float, mean: np.ndarray, factor: np.ndarray) -> MeanFlow:
    values, vectors = np.linalg.eigh(factor.T @ head.S @ factor)
    image, lift = vectors.T @ (factor.T @ (head.S @ mean)), factor @ vectors

    def at(t: float) -> np.ndarray:
        n = growth(rate, t)
        root = np.sqrt(1.0 - n * values)
        return np.asarray(np.exp((rate + head.eta) * t) * (mean + lift @ (image * n / (root * (1.0 + root)))))

    return at


def _diagonal(head: ScalarHead, variances: np.ndarray, mean: np.ndarray) -> MeanFlow:
    rates, slopes = np.diag(head.A), np.diag(head.S)

    def at(t: float) -> np.ndarray:
        return np.asarray(np.exp((rates + head.eta) * t) * mean / np.sqrt(1.0 - growth(rates, t) * slopes * variances))

    return at
