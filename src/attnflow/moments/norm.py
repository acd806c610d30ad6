"""Exact moments of RMSNorm and LayerNorm at a Gaussian, by a one-dimensional quadrature.

With q = |x|^2 / d + eps, q^{-1/2} and q^{-1} are integrals over u > 0 of e^{-u q}, and e^{-u q} turns a Gaussian into
another Gaussian with a mass. So all moments of x / sqrt(q) are sums over nodes u of Gaussian moments, in the basis in
which the covariance is diagonal.

Source: this package, docs/theory/closures.md, section 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..measures.gaussian import Gaussian
from .output import OutputMoments

STEP = 0.125
FIRST = -4.5
NEGLIGIBLE = 1e-18
CHUNK = 64
LAST = 400.0


def rms_norm_moments(
    start: Gaussian, *, gamma: Float[np.ndarray, " d"], beta: Float[np.ndarray, " d"], eps: float
) -> OutputMoments:
    """The moments of `gamma` x / sqrt(|x|^2 / d + `eps`) + `beta` for x drawn from `start`; NumPy float64.

    Source: this package, docs/theory/closures.md, section 5.
    """
    mean, factor = _arrays(start)
    return _normalised(mean, factor, factor, eps).after(gamma, beta)


def layer_norm_moments(
    start: Gaussian, *, gamma: Float[np.ndarray, " d"], beta: Float[np.ndarray, " d"], eps: float
) -> OutputMoments:
    """The moments of `gamma` (x - its average) / sqrt(its variance + `eps`) + `beta` for x drawn from `start`.

    NumPy float64; average and variance are over the d coordinates of x.

    Source: this package, docs/theory/closures.md, section 5.
    """
    mean, factor = _arrays(start)
    centred = factor - np.mean(factor, axis=0)
    return _normalised(mean - np.mean(mean), centred, factor, eps).after(gamma, beta)


class _Normalised(NamedTuple):
    """Moments of y = x / sqrt(q), and its covariance with the input."""

    mean: np.ndarray
    cov: np.ndarray
    cross: np.ndarray

    def after(self, gamma: np.ndarray, beta: np.ndarray) -> OutputMoments:
        cov = gamma[:, None] * self.cov * gamma
        return OutputMoments(gamma * self.mean + beta, 0.5 * (cov + cov.T), gamma[:, None] * self.cross)


def _arrays(start: Gaussian) -> tuple[np.ndarray, np.ndarray]:
    mean, factor = (np.asarray(x, dtype=np.float64) for x in (start.mean, start.factor))
    return mean, factor


def _normalised(mean: np.ndarray, factor: np.ndarray, original: np.ndarray, eps: float) -> _Normalised:
    """Moments of y = x / sqrt(q) for x = `mean` + `factor` Z, and Cov(y, `original` Z).

    The axes are the principal ones of the covariance and the part of the mean outside of its range, so that the cost
    is that of a singular value decomposition of the factor and of O(r^2) for each node.
    """
    axes, deviations, turned = np.linalg.svd(factor, full_matrices=False)
    inside = axes.T @ mean
    outside = mean - axes @ inside
    length = float(np.linalg.norm(outside))
    direction = outside / length if length > 0 else outside
    m, s = np.append(inside, length), np.append(deviations, 0.0)
    first, second, with_noise = _expectations(m, s, mean.size, eps)
    basis = np.concatenate([axes, direction[:, None]], axis=1)
    cross = basis @ with_noise[:, :-1] @ turned
    return _Normalised(basis @ first, basis @ (second - np.outer(first, first)) @ basis.T, cross @ original.T)


def _expectations(m: np.ndarray, s: np.ndarray, d: int, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E y, E y y^T and E y Z^T of y = x / sqrt(|x|^2 / d + eps), x_j = m_j + s_j Z_j with independent normal Z_j.

    Under the weight e^{-u q} x_j has the mean m_j / den and the variance s_j^2 / den, den = 1 + 2 u s_j^2 / d, and Z_j
    the mean -2 u s_j m_j / (d den).
    """
    size = (np.sum(np.square(m)) + np.sum(np.square(s))) / d + eps
    m, s, eps = m / np.sqrt(size), s / np.sqrt(size), eps / size
    first, second, noise = np.zeros(m.size), np.zeros((m.size, m.size)), np.zeros((m.size, m.size))
    t = FIRST + STEP * np.arange(CHUNK)
    largest = 0.0
    while True:
        u = np.exp(t - np.exp(-t))
        by_u = STEP * u * (1 + np.exp(-t))
        den = 1 + 2 / d * np.outer(u, np.square(s))
        mass = np.exp(-0.5 * np.sum(np.log(den), axis=1) - u / d * np.sum(np.square(m) / den, axis=1) - u * eps)
        half, one = by_u * mass / np.sqrt(np.pi * u), by_u * mass
        mean, spread, shift = m / den, 1 / den, -2 / d * u[:, None] * (s * m) / den
        first += half @ mean
        second += (mean.T * one) @ mean + np.diag(np.square(s) * (one @ spread))
        noise += (mean.T * half) @ shift + np.diag(s * (half @ spread))
        parts = one * (np.sum(np.square(mean), axis=1) + np.square(s) @ spread.T)
        largest = max(largest, float(parts.max()))
        if (parts[-1] <= NEGLIGIBLE * largest and t[-1] > 0) or t[0] > LAST:
            return first, second, noise
        t = t + STEP * CHUNK
