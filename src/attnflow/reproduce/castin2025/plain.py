"""The covariance equations of the published experiments in their textbook form, for a replay by another solver.

Plain NumPy, with matrix inverses and square roots, for covariances of full rank: nothing is shared with the layers
that the targets run.

Source: :cite:castin2025, numerical experiments on Gaussian measures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import scipy.integrate
import scipy.linalg
from jaxtyping import Float

from ..check import Check, close
from .weights import Weights

Matrix: TypeAlias = Float[np.ndarray, "d d"]
Rate: TypeAlias = Callable[[np.ndarray], np.ndarray]

REPLAYED = 3
"""Starts of each ensemble that are replayed."""


def softmax(weights: Weights) -> Rate:
    """V S B S + (V S B S)^T with B = K^T Q / sqrt(d)."""
    V, B = weights.V, weights.scaled_form
    return lambda S: _with_transpose(V @ S @ B @ S)


def l2(weights: Weights) -> Rate:
    """2 V S (I + 2 K^T K S)^{-1} B S and its transpose, B = K^T Q / sqrt(d)."""
    V, B, P = weights.V, weights.scaled_form, 2.0 * weights.K.T @ weights.K
    identity = np.eye(weights.dim)
    return lambda S: _with_transpose(2.0 * V @ S @ np.linalg.inv(identity + P @ S) @ B @ S)


def two_heads(weights: Weights) -> Rate:
    """The sum over the heads (V_h, B_h) of V_h S B_h S and its transpose."""
    heads = heads_of(weights)
    return lambda S: _with_transpose(sum((V @ S @ B @ S for V, B in heads), np.zeros_like(S)))


def sinkhorn(weights: Weights) -> Rate:
    """V A^{-T} S^{-1} C S and its transpose, with A = K^T Q invertible.

    C = (R (I + 4 R A^T S A R)^{1/2} R^{-1} - I) / 2 and R = S^{1/2}.
    """
    V, A = weights.V, weights.K.T @ weights.Q
    identity = np.eye(weights.dim)

    def rate(S: np.ndarray) -> np.ndarray:
        root = scipy.linalg.sqrtm(S).real
        inner = scipy.linalg.sqrtm(identity + 4.0 * root @ A.T @ S @ A @ root).real
        C = 0.5 * (root @ inner @ np.linalg.inv(root) - identity)
        return _with_transpose(V @ np.linalg.inv(A.T) @ np.linalg.inv(S) @ C @ S)

    return rate


RATES: dict[str, Callable[[Weights], Rate]] = {
    "softmax": softmax,
    "l2": l2,
    "two_heads": two_heads,
    "sinkhorn": sinkhorn,
}


def heads_of(weights: Weights) -> list[tuple[Matrix, Matrix]]:
    """(V_h, B_h) of two heads of width k = d / 2: rows cut in two, output projections from the identity."""
    k = weights.dim // 2
    identity, heads = np.eye(weights.dim), []
    for rows in (slice(0, k), slice(k, 2 * k)):
        Q, K = weights.Q[rows], weights.K[rows]  # empty for the second head of a Q with k rows: B_h = 0
        heads.append((identity[:, rows] @ weights.V[rows], K.T @ Q / np.sqrt(k)))
    return heads


def replay(name: str, rate: Rate, covs: Float[np.ndarray, "t d d"], ts: Float[np.ndarray, " t"]) -> Check:
    """`covs` at `ts` against SciPy's DOP853 on `rate`, from the first of them, relative to the size at each time."""
    d = covs.shape[1]

    def flat(t: float, y: np.ndarray) -> np.ndarray:
        return rate(y.reshape(d, d)).ravel()

    run = scipy.integrate.solve_ivp(
        flat, (ts[0], ts[-1]), covs[0].ravel(), "DOP853", t_eval=ts, rtol=1e-11, atol=1e-14 * np.trace(covs[0])
    )
    other = run.y.T.reshape(-1, d, d)
    distance = np.linalg.norm(covs - other, axis=(1, 2)) / np.linalg.norm(other, axis=(1, 2))
    return close(f"{name}: largest relative distance to a replay", distance.max(), 0.0, atol=1e-6)


def blow_up_time(rate: Rate, start: Matrix, trace: float = 1e9) -> float:
    """When the covariance from `start` is infinite, by SciPy's DOP853 up to `trace` and a last step trace / trace'.

    There the flow is that of its quadratic part, whose trace is a constant over the time left.
    """
    d = len(start)

    def flat(t: float, y: np.ndarray) -> np.ndarray:
        return rate(y.reshape(d, d)).ravel()

    def bound(t: float, y: np.ndarray) -> float:
        return float(np.trace(y.reshape(d, d)) - trace)

    bound.terminal = True  # type: ignore[attr-defined]
    run = scipy.integrate.solve_ivp(flat, (0.0, 1e4), start.ravel(), "DOP853", events=bound, rtol=1e-11, atol=1e-13)
    end = run.y[:, -1].reshape(d, d)
    return float(run.t[-1] + np.trace(end) / np.trace(rate(end)))


def _with_transpose(half: np.ndarray) -> np.ndarray:
    return np.asarray(half + half.T)
