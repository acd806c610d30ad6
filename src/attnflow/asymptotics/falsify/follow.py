"""One start followed by SciPy on the factor of the covariance, beside the integrator of the screening."""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from .example import Example

# relative to the start and to the ratio of A to V B: beyond it a covariance counts as infinite
INFINITE = 1e10
MAX_RATES = 15_000


class Fate(enum.StrEnum):
    """How a followed flow ended."""

    REACHED = "reached the end"
    INFINITE = "left every bound"
    STOPPED = "stopped: too stiff"


class _TooLongError(Exception):
    """Too many evaluations: the flow is too stiff for the method."""


class Followed(NamedTuple):
    """`covs` (3, d, d) and `means` (3, d) at half, three quarters and all of the time `t` that was reached.

    `spread` (2,) is how far the covariance ranges in the second quarter of that time and in the last.
    """

    fate: Fate
    t: float
    covs: np.ndarray
    means: np.ndarray
    spread: np.ndarray


def follow(
    example: Example, t: float, *, method: str = "DOP853", rtol: float = 1e-10, most: int = MAX_RATES
) -> Followed:
    """The flow from the start of `example` to time `t` by a SciPy `method` with tolerance `rtol`.

    It gives up after `most` evaluations.
    """
    parts, dim, spent = example.floats(), example.dim, [0]
    A, V, B, b = (parts[name] for name in ("A", "V", "B", "b"))
    values, vectors = np.linalg.eigh(parts["cov"])
    start = np.concatenate([parts["mean"], (vectors * np.sqrt(np.maximum(values, 0.0))).ravel()])
    bound = np.sqrt(INFINITE * max(1.0, float(values[-1]), _balance(A, V, B)))

    def rhs(_: float, y: np.ndarray) -> np.ndarray:
        spent[0] += 1
        if spent[0] > most:
            raise _TooLongError
        mean, L = y[:dim], y[dim:].reshape(dim, dim)
        M = A + V @ L @ (L.T @ B)
        return np.concatenate([M @ mean + V @ mean + b, (M @ L).ravel()])

    def escape(_: float, y: np.ndarray) -> float:
        return float(bound - np.abs(y[dim:]).max())

    escape.terminal = True  # type: ignore[attr-defined]
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            run = solve_ivp(rhs, (0.0, t), start, method, rtol=rtol, atol=1e-14, events=escape, dense_output=True)
    except _TooLongError:
        return Followed(Fate.STOPPED, 0.0, np.stack([parts["cov"]] * 3), np.stack([parts["mean"]] * 3), np.zeros(2))
    fate = Fate.REACHED if run.status == 0 else Fate.INFINITE
    end = float(run.t[-1])
    window = np.linspace(0.0, 0.25, 65)
    states = run.sol(end * np.concatenate([0.25 + window, 0.75 + window])).T if end > 0 else np.tile(start, (130, 1))
    factors = states[:, dim:].reshape(-1, dim, dim)
    covs, shown = factors @ np.swapaxes(factors, 1, 2), [64, 65, 129]
    spread = np.array([np.ptp(part, axis=0).max() for part in (covs[:65], covs[65:])])
    return Followed(fate, end, covs[shown], states[shown, :dim], spread)


def _balance(A: np.ndarray, V: np.ndarray, B: np.ndarray) -> float:
    """The size at which attention and feed-forward balance."""
    product = float(np.linalg.norm(V, 2) * np.linalg.norm(B, 2))
    return float(np.linalg.norm(A, 2)) / product if product > 0 else 1.0


def tends_to(example: Example, limit: np.ndarray, rate: float) -> bool:
    """Whether the start of `example` comes near `limit` (d, d), which it is drawn to at the exponential `rate` > 0."""
    found = follow(example, min(25.0 / rate, 2000.0), rtol=1e-8, most=6000)
    size = max(float(np.abs(limit).max()), 1e-3)
    return found.fate is Fate.REACHED and float(np.abs(found.covs[-1] - limit).max()) < 1e-4 * size
