"""Several starts at once: what positive definite starts of all sizes and shapes become."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..system import System
from .capture import Root
from .dynamics import SystemDynamics
from .outcome import Budget, Evidence
from .run import long_run


def several_starts(system: System, *, seed: int = 0, count: int = 8, budget: Budget | None = None) -> list[Evidence]:
    """The long runs of `count` positive definite starts of a `system`, small and large, round and oblong.

    The sizes go evenly through five decades about the size at which the linear and the quadratic part of the flow
    balance; the first start is a multiple of the identity, the others are drawn by `seed`, every third one nearly
    singular. Each run has the `budget`.

    Source: this package, docs/theory/long-run.md.
    """
    dynamics = SystemDynamics(system)
    middle = dynamics.speed / dynamics.curvature if dynamics.curvature > 0 else 1.0
    starts = start_factors(system.dim, seed=seed, count=count, middle=middle)
    roots: list[Root] = []
    return [long_run(system, factor, budget=budget, roots=roots) for factor in starts]


def start_factors(dim: int, *, seed: int = 0, count: int = 8, middle: float = 1.0) -> list[Float[np.ndarray, "d d"]]:
    """Factors of `count` positive definite covariances in R^dim (`dim`), sizes over five decades about `middle`.

    The first is a multiple of the identity of that size; the others are drawn by `seed`, every third one with axes
    over two decades, alternately larger and smaller.
    """
    rng = np.random.default_rng(seed)
    turns = np.array([(-1) ** i * ((i + 1) // 2) for i in range(count)]) / max(count // 2, 1)
    return [_shape(rng, dim, i) * np.sqrt(middle * 10.0 ** (2.5 * turn)) for i, turn in enumerate(turns)]


def _shape(rng: np.random.Generator, dim: int, i: int) -> np.ndarray:
    """A factor of size about 1: round, then random, every third one with axes over two decades."""
    axes = rng.normal(size=(dim, dim)) / np.sqrt(dim)
    if i == 0:
        return np.eye(dim)
    return np.asarray(axes * np.logspace(0.0, -2.0 if i % 3 == 0 else -0.5, dim))
