"""Lemma 2.2 with explicit constants: how long tokens that start Gaussian stay sub-Gaussian, at least.

E_t = E exp(kappa |X_t|^2) stays below 2 E_0 up to an explicit time, in closed form for every kappa and every splitting
of the square in the proof; the largest one over both is returned. The same bounds hold for the flow with the identity
in the place of the activation, which therefore does not blow up before.

Source: :cite:alcalde2026, Lemma 2.2; this package, docs/theory/departure.md, section 3.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from ..asymptotics.regime import Held, Hypothesis
from ..measures.gaussian import Gaussian
from .field import Field

ROUNDING = 1e-12
GRID, ZOOMS, HALVINGS = 33, 24, 60
WIDEST = 1e6
"""Where the covariance does not limit kappa (a Dirac mass), the largest one tried, relative to the smallest."""


@dataclasses.dataclass(frozen=True)
class SubGaussian:
    """What Lemma 2.2 gives: the `time` up to which E_t <= 2 E_0, with which `kappa`, and its `hypotheses`.

    `time` is None where a hypothesis fails, and infinite where no head has a score (B = 0): then the lemma is not
    needed.
    """

    time: float | None
    kappa: float | None
    hypotheses: tuple[Hypothesis, ...]


def subgaussian_time(field: Field, start: Gaussian) -> SubGaussian:
    """Until when tokens from `start` under `field` stay sub-Gaussian: the largest time that the proof gives.

    Source: :cite:alcalde2026, Lemma 2.2; this package, docs/theory/departure.md, section 3.
    """
    law = _Law(start)
    held = small_enough(field, law.largest)
    if held.held is not Held.HOLDS:
        return SubGaussian(None, None, (held,))
    if field.score == 0.0:
        return SubGaussian(math.inf, None, (held,))
    low = 4 * field.score
    high = 0.5 / law.largest if law.largest > 0 else WIDEST * low
    box = np.array([[0.0, 1.0], [0.0, 1.0]])
    best = (0.0, low)
    for _ in range(ZOOMS):
        shares = [np.linspace(side[0], side[1], GRID) for side in box]
        kappa = low + (high - low) * np.square(shares[0][:, None])
        times = _times(field, law, kappa, shares[1][None, :], high)
        i, j = np.unravel_index(np.argmax(times), times.shape)
        best = max(best, (float(times[i, j]), float(kappa[i, 0])))
        width = 0.25 * (box[:, 1] - box[:, 0])
        middle = np.array([shares[0][i], shares[1][j]])
        box = np.clip(np.stack([middle - width, middle + width], axis=1), 0.0, 1.0)
    return SubGaussian(best[0] * (1 - ROUNDING), best[1], (held,))


def small_enough(field: Field, largest: float) -> Hypothesis:
    """Whether 8 |B| lambda_max(cov) < 1 for a `field` and the `largest` eigenvalue, borderline within rounding."""
    margin = 1.0 - 8.0 * field.score * largest
    held = Held.BORDERLINE if abs(margin) <= ROUNDING else Held.HOLDS if margin > 0 else Held.FAILS
    return Hypothesis("8 |B| lambda_max(cov) < 1", held, float(margin), exact=bool(field.score == 0.0))


class _Law:
    """log E exp(alpha |X|^2) of the start."""

    def __init__(self, start: Gaussian) -> None:
        axes, singular, _ = np.linalg.svd(np.asarray(start.factor, dtype=np.float64), full_matrices=True)
        self.variances = np.zeros(start.dim)
        self.variances[: singular.size] = np.square(singular)
        self.squares = np.square(axes.T @ np.asarray(start.mean, dtype=np.float64))
        self.largest = float(self.variances.max(initial=0.0))

    def log_moment(self, alpha: np.ndarray) -> np.ndarray:
        """It, for `alpha` (...) below 1 / (2 lambda_max); infinite beyond."""
        rest = 1.0 - 2.0 * alpha[..., None] * self.variances
        inside = np.all(rest > 0, axis=-1)
        safe = np.where(inside[..., None], rest, 1.0)
        found = np.sum(alpha[..., None] * self.squares / safe - 0.5 * np.log(safe), axis=-1)
        return np.where(inside, found, np.inf)


def _times(
    field: Field, law: _Law, kappa: Float[np.ndarray, "k 1"], share: Float[np.ndarray, "1 m"], high: float
) -> Float[np.ndarray, "k m"]:
    """The times that the proof gives with `kappa` and alpha = kappa (1 + epsilon) e^{2 K_1 t}.

    alpha lies at this `share` of the way from kappa to where its moment alone reaches 2 E_0.
    """
    level = math.log(2.0) + law.log_moment(kappa)
    alpha = kappa + share * (_ceiling(law, kappa, level, high) - kappa)
    with np.errstate(invalid="ignore", divide="ignore"):
        room = level - law.log_moment(alpha)
        K_1, K_2 = _constants(field, kappa, level)
        times = _proof_time(kappa, alpha, room, K_1, K_2)
    return np.where(np.isfinite(room) & (room > 0) & (alpha > kappa), times, 0.0)


def _proof_time(kappa: np.ndarray, alpha: np.ndarray, room: np.ndarray, K_1: np.ndarray, K_2: np.ndarray) -> np.ndarray:
    """The largest t with kappa c^2 alpha / (alpha - kappa a^2) <= room, a = e^{K_1 t}, c = K_2 (a - 1) / K_1."""
    q = kappa * alpha * np.square(K_2 / K_1)
    grown = room * (alpha - kappa) / (room * kappa + np.sqrt(room * (q * (alpha - kappa) + room * kappa * alpha)))
    return np.asarray(np.log1p(grown) / K_1)


def _constants(field: Field, kappa: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K_1, K_2 with |velocity| <= K_1 |x| + K_2 while E_t <= 2 E_0, `level` = log 2 E_0.

    |grad Lambda(xi)| <= |xi| / kappa + sqrt(level / kappa) for the cumulants Lambda of such a law.
    """
    K_1 = np.full_like(kappa, field.growth * field.slope)
    K_2 = np.full_like(kappa, field.growth * field.offset)
    for head in field.heads:
        K_1 = K_1 + head.value * head.score / kappa
        K_2 = K_2 + head.value * (head.query_bias / kappa + np.sqrt(level / kappa)) + head.value_bias
    return K_1, K_2


def _ceiling(law: _Law, kappa: np.ndarray, level: np.ndarray, high: float) -> np.ndarray:
    """For each `kappa` the largest alpha with log E exp(alpha |X|^2) <= `level`, from below."""
    low, top = kappa.copy(), np.full_like(kappa, 2 * high)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + top)
        below = law.log_moment(middle) <= level
        low, top = np.where(below, middle, low), np.where(below, top, middle)
    return low
