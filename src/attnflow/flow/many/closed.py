"""V = eta I and A = a I for many systems at once: covariance, blow-up time, rank of the limit, and some means.

With M = L0^T S L0, S = sum of eta (B + B^T) and n(t) = (e^{2 a t} - 1) / (2 a), the covariance is L L^T with
L(t) = e^{a t} L0 W (1 - n(t) lambda)^{-1/2} for the eigenvalues lambda and eigenvectors W of M: nothing but one small
eigenvalue problem a system. It is infinite where n(t) lambda = 1.

Source: this package, docs/theory/closed-form.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..._linalg import RankRule
from ..mean import growth
from .model import ScalarSum

# eigenvalues of M below this many d eps of the sizes that it was made from are rounding
ROUNDING = 8.0
LARGEST = 1e150


class Closed(NamedTuple):
    """What the closed form knows of N systems.

    `factor` (N, t, d, r) and `reached` (N, t), where the covariance is finite; `blow_up` (N,), inf where there is none;
    `rank` (N,), the directions that do not vanish as t grows, -1 where a blow-up comes first; `mean` (N, t, d), or None
    where it has no closed form. Rows that are not reached mean nothing.
    """

    factor: np.ndarray
    reached: np.ndarray
    blow_up: np.ndarray
    rank: np.ndarray
    mean: np.ndarray | None


def closed_batch(scalar: ScalarSum, factors: np.ndarray, means: np.ndarray, ts: np.ndarray) -> Closed:
    """The flows of N starts, `factors` (N, d, r) and `means` (N, d), at the times `ts` (t,).

    Source: this package, docs/theory/closed-form.md.
    """
    S = scalar.B + np.swapaxes(scalar.B, 1, 2)
    image = S @ factors
    values, vectors = np.linalg.eigh(np.swapaxes(factors, 1, 2) @ image)
    sizes = np.sum(np.square(factors), axis=(1, 2)) * np.linalg.norm(S, axis=(1, 2))
    small = np.abs(values) <= (ROUNDING * factors.shape[1] * RankRule * sizes)[:, None]
    values = np.where(small, 0.0, values)
    top = values.max(axis=1, initial=0.0)
    blow_up = _blow_up(scalar.rate, top)
    n, scale = _growths(scalar.rate, ts)
    reached = (ts < blow_up[:, None]) & (n * top[:, None] < 1.0) & (scale < LARGEST)
    n, scale = np.where(reached, n, 0.0), np.where(reached, scale, 1.0)
    roots = np.sqrt(1.0 - n[:, :, None] * values[:, None])
    lift = factors @ vectors
    stretched = lift[:, None] * (scale[:, :, None] / roots)[:, :, None]
    mean = _means(scalar, means, lift, np.swapaxes(vectors, 1, 2) @ np.swapaxes(image, 1, 2), (n, scale, roots), ts)
    return Closed(stretched, reached, blow_up, _rank(scalar.rate, small, blow_up), mean)


def _growths(rate: np.ndarray, ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """n(t) and e^{a t}, (N, t) each."""
    with np.errstate(over="ignore"):
        n = np.stack([growth(rate, float(t)) for t in ts], axis=1)
        return np.minimum(n, LARGEST**2), np.exp(rate[:, None] * ts)


def _blow_up(rate: np.ndarray, top: np.ndarray) -> np.ndarray:
    """The time at which n(t) top = 1; inf where it does not come."""
    rising = top > 0
    safe = np.where(rising, top, 1.0)
    argument = 2 * rate / safe
    possible = rising & (argument > -1.0)
    argument = np.where(possible, argument, 0.0)
    scaled = np.where(argument == 0, 1.0, np.log1p(argument) / np.where(argument == 0, 1.0, argument))
    return np.where(possible, scaled / safe, np.inf)


def _rank(rate: np.ndarray, small: np.ndarray, blow_up: np.ndarray) -> np.ndarray:
    """How many directions stay: for a = 0 those with lambda = 0 (others decay like 1 / t), none for a < 0, else all."""
    count = np.count_nonzero(small, axis=1)
    limit = np.where(rate == 0, count, np.where(rate < 0, 0, small.shape[1]))
    return np.where(np.isfinite(blow_up), -1, limit)


def _means(
    scalar: ScalarSum, means: np.ndarray, lift: np.ndarray, pull: np.ndarray,
    flow: tuple[np.ndarray, np.ndarray, np.ndarray], ts: np.ndarray,
) -> np.ndarray | None:  # fmt: skip
    """exp((a + eta) t) (mean + lift n / (root (1 + root)) pull mean), for symmetric B without biases."""
    if scalar.moving:
        return None
    if not np.any(means):
        return np.zeros((means.shape[0], ts.size, means.shape[1]))
    if not np.array_equal(scalar.B, np.swapaxes(scalar.B, 1, 2)):
        return None
    n, scale, roots = flow
    image = (pull @ means[:, :, None])[:, None, :, 0] * n[:, :, None] / (roots * (1.0 + roots))
    with np.errstate(over="ignore", invalid="ignore"):
        faster = scale * np.exp(scalar.eta[:, None] * ts)
        return np.asarray(faster[:, :, None] * (means[:, None] + image @ np.swapaxes(lift, 1, 2)))
