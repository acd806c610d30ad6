"""The weights of the published experiments: which seed, and what is drawn from it in which order.

The published programs draw from NumPy's legacy global generator; `numpy.random.RandomState` repeats its stream. The
eigenvalues that are known of each draw stand beside it and are checked when a target runs.

Source: :cite:castin2025, numerical experiments on Gaussian measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy.random import RandomState
from numpy.typing import ArrayLike

from ..check import Check, close

RANK_DIMENSIONS: Final = (3, 4, 5)
RANK_SAMPLES: Final = 100
"""Samples for each dimension in each panel of rank histograms."""

Draw = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Weights:
    """One attention head: `Q` and `K` (k, d), and `V` (d, d)."""

    Q: Float[np.ndarray, "k d"]
    K: Float[np.ndarray, "k d"]
    V: Float[np.ndarray, "d d"]

    @property
    def dim(self) -> int:
        """d."""
        return int(self.Q.shape[1])

    @property
    def scaled_form(self) -> np.ndarray:
        """B = K^T Q / sqrt(d), the scale that softmax and L2 attention have in the published experiments."""
        return np.asarray(self.K.T @ self.Q / np.sqrt(self.dim))


def to_zero() -> Weights:
    """Seed 35: Q uniform in [0, 1]^4, then V = G G^T with G normal; K = -Q."""
    draw = RandomState(35)
    Q, root = draw.rand(2, 2), draw.randn(2, 2)
    return Weights(Q, -Q, root @ root.T)


def to_a_line() -> Weights:
    """Seed 36: Q a random unit row, K = -Q, V = I."""
    row = RandomState(36).randn(1, 2)
    Q = row / np.linalg.norm(row)
    return Weights(Q, -Q, np.eye(2))


def mixed() -> Weights:
    """Seed 36: the first normal Q, K with K^T Q of indefinite symmetric part; then seed 32: V normal."""
    Q, K = _first(36, lambda values: bool(values[0] * values[1] < 0))
    return Weights(Q, K, RandomState(32).randn(2, 2))


def expanding() -> Weights:
    """Seed 33: the first normal Q, K with K^T Q of positive definite symmetric part; V = I."""
    Q, K = _first(33, lambda values: bool(values[0] > 0))
    return Weights(Q, K, np.eye(2))


def both() -> Weights:
    """The Q and K of `mixed`; V normal from seed 35, after 56 normal numbers that are thrown away."""
    draw = RandomState(35)
    draw.randn(8, 7)
    mixing = mixed()
    return Weights(mixing.Q, mixing.K, draw.randn(2, 2))


def for_ranks(d: int, value_seed: int | None, count: int = RANK_SAMPLES) -> list[Weights]:
    """`count` samples in dimension `d`: Q normal (d // 2, d) from seed 40, K = -Q.

    V = I without `value_seed`, else V = G^T G with G normal. One stream serves all dimensions, 100 samples each.
    """
    dims = np.repeat(RANK_DIMENSIONS, RANK_SAMPLES)
    chosen = np.flatnonzero(dims == d)[:count]
    draw = RandomState(40)
    queries = [draw.randn(n // 2, n) for n in dims]
    if value_seed is None:
        values = [np.eye(d)] * dims.size
    else:
        draw = RandomState(value_seed)
        roots = [draw.randn(n, n) for n in dims]
        values = [root.T @ root for root in roots]
    return [Weights(queries[i], -queries[i], values[i]) for i in chosen]


def eigenvalue_checks(
    name: str, weights: Weights, *, V: ArrayLike | None = None, form: ArrayLike | None = None
) -> list[Check]:
    """The eigenvalues of V, and those of K^T Q + Q^T K, against the published draw, to the digits that are known."""
    checks = []
    if V is not None:
        found = np.sort(np.linalg.eigvals(weights.V).real)
        checks.append(close(f"{name}: eigenvalues of V", found, V, atol=0.01))
    if form is not None:
        raw = weights.K.T @ weights.Q
        checks.append(close(f"{name}: eigenvalues of K^T Q + Q^T K", np.linalg.eigvalsh(raw + raw.T), form, atol=0.02))
    return checks


def _first(seed: int, wanted: Callable[[np.ndarray], bool]) -> Draw:
    """The first normal pair Q, K (2, 2) from `seed` for which the eigenvalues of K^T Q + Q^T K are as `wanted`."""
    draw = RandomState(seed)
    while True:
        Q, K = draw.randn(2, 2), draw.randn(2, 2)
        form = K.T @ Q
        if wanted(np.linalg.eigvalsh(form + form.T)):
            return Q, K
