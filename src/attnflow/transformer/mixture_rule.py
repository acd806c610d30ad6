"""Nodes and weights for expectations under a standard normal vector of few or of many dimensions."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.polynomial.hermite_e import hermegauss

PER_AXIS = {0: 1, 1: 64, 2: 32, 3: 16}
"""Gauss-Hermite nodes on each axis, by dimension."""
POINTS = 4096


class Rule(NamedTuple):
    """E f(z) is about the sum of `weights` (q,) times f at the `nodes` (q, r)."""

    nodes: Float[np.ndarray, "q r"]
    weights: Float[np.ndarray, " q"]


@functools.cache
def normal_rule(rank: int, points: int = POINTS) -> Rule:
    """A rule for z ~ N(0, I) in `rank` dimensions.

    Up to three dimensions it is the product of Gauss-Hermite rules (64 nodes on an axis, 32, 16). Beyond it is a
    Sobol sequence of `points` / 2 nodes (a power of two; more when there are many dimensions) with their mirror images,
    stretched so that it is exact up to degree 3.

    Source: this package, docs/theory/mixtures.md, section 3.
    """
    if rank in PER_AXIS:
        nodes, weights = hermegauss(PER_AXIS[rank])
        grid = [axis.ravel() for axis in np.meshgrid(*[nodes] * rank, indexing="ij")]
        masses = functools.reduce(np.multiply.outer, [weights / weights.sum()] * rank, np.ones(()))
        return Rule(np.array(grid).reshape(rank, -1).T if rank else np.zeros((1, 0)), masses.ravel())
    from scipy.special import ndtri
    from scipy.stats import qmc

    half = ndtri(qmc.Sobol(rank, rng=0).random(max(points // 2, 2 << rank.bit_length())))
    both = np.concatenate([half, -half])
    white = both @ np.linalg.inv(np.linalg.cholesky(both.T @ both / len(both))).T
    return Rule(white, np.full(len(white), 1.0 / len(white)))
