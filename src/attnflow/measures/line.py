"""Optimal transport on the line: a sample and the normal law, two samples of any sizes."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_ndtr, ndtri

from .._types import AnyArray
from .namespace import in_double, namespace, root

SQRT_TWO_PI = np.sqrt(2 * np.pi)
ROWS = 2048
"""Order statistics integrated at once."""


@functools.cache
def normal_cells(n: int) -> tuple[Float[np.ndarray, " n"], float]:
    """The means of N(0, 1) over its `n` cells of equal mass, and the mean variance within them.

    Source: this package, docs/theory/distances.md.
    """
    edges = ndtri(np.arange(1, n) / n)
    heights = np.concatenate([[0.0], np.exp(-0.5 * np.square(edges)) / SQRT_TWO_PI, [0.0]])
    means = n * (heights[:-1] - heights[1:])
    means.setflags(write=False)
    return means, max(0.0, 1.0 - float(np.mean(np.square(means))))


@functools.cache
def normal_order_means(n: int) -> Float[np.ndarray, " n"]:
    """The expectations of `n` independent normal numbers in increasing order, to about 1e-13.

    Source: this package, docs/theory/floors.md, section 3.
    """
    ranks = np.arange(n // 2 + 1, n + 1)
    upper = np.concatenate([_order_means(n, some) for some in np.array_split(ranks, 1 + ranks.size // ROWS)])
    if n % 2:
        upper[0] = 0.0  # the median, by symmetry
    means = np.concatenate([-upper[n % 2 :][::-1], upper])
    means.setflags(write=False)
    return means


CACHED = 2**13
"""Numbers that are worked on at once."""


def _order_means(n: int, ranks: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Of the order statistics `ranks` among `n`, by trapezoidal sums around their most likely places.

    The densities are analytic with at least exponential tails, so that the sums converge exponentially.
    """
    ranks = ranks[:, None]
    level = (ranks - 0.375) / (n + 0.25)
    center = ndtri(level)
    width = np.sqrt(level * (1 - level) / (n + 2)) * SQRT_TWO_PI * np.exp(0.5 * np.square(center))
    steps = 0.25 * width * np.arange(-48, 161)
    nodes = center + steps
    logs = (ranks - 1) * log_ndtr(nodes) + (n - ranks) * log_ndtr(-nodes) - 0.5 * np.square(nodes)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(center[:, 0] + np.sum(weights * steps, axis=1) / np.sum(weights, axis=1))


@functools.cache
def pieces(n: int, m: int) -> tuple[Float[np.ndarray, " p"], Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """How the quantiles of `n` and of `m` equal masses meet: the mass of each piece (p,), and its place in both.

    In integers, so that common edges are met exactly; p = n + m - gcd(n, m).

    Source: this package, docs/theory/distances.md.
    """
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    one, two = ((edges[:-1] // size).astype(np.int32) for size in (m, n))
    return np.diff(edges) / (n * m), one, two


def wasserstein_1d(one: Float[AnyArray, " n"], two: Float[AnyArray, " m"]) -> AnyArray:
    """The 2-Wasserstein distance of the uniform measures on the numbers `one` (n,) and `two` (m,), exact.

    NumPy numbers are computed in float64; through JAX arrays jit, vmap and grad pass.

    Source: this package, docs/theory/distances.md.
    """
    xp = namespace(one, two)
    first, second = (xp.sort(xp.asarray(in_double(x))) for x in (one, two))
    distance: AnyArray = root(matched_squares(first, second))
    return distance


def matched_squares(one: Float[AnyArray, "*l n"], two: Float[AnyArray, "*l m"]) -> AnyArray:
    """The squared distances of sorted rows `one` (..., n) and `two` (..., m); on the host summed in float64."""
    n, m = one.shape[-1], two.shape[-1]
    xp = namespace(one, two)
    squares: AnyArray
    if n == m:
        squares = xp.mean(in_double(xp.square(one - two)), axis=-1)
    else:
        mass, i, j = pieces(n, m)
        squares = in_double(xp.square(one[..., i] - two[..., j]))
        squares = squares @ mass.astype(squares.dtype)
    return squares


def normal_squares(
    rows: Float[AnyArray, "l n"], means: Float[AnyArray, " l"], sigmas: Float[AnyArray, " l"]
) -> Float[AnyArray, " l"]:
    """The squared distances of sorted `rows` (l, n) to N(mean, sigma^2), for each of `means` and `sigmas` (l,).

    Source: this package, docs/theory/distances.md.
    """
    levels, rest = normal_cells(rows.shape[-1])
    xp = namespace(rows, means, sigmas)
    apart = (_mean_squares if xp is np else _traced_squares)(rows, means, sigmas, levels.astype(rows.dtype))
    squares: AnyArray = apart + xp.square(sigmas) * rest
    return squares


def _mean_squares(rows: AnyArray, means: AnyArray, sigmas: AnyArray, levels: np.ndarray) -> np.ndarray:
    """Few rows at a time, so that their tokens stay in the cache."""
    count, size = rows.shape[0], max(1, CACHED // levels.size)
    found, buffer = np.empty(count), np.empty((min(size, count), levels.size), levels.dtype)
    for i in range(0, count, size):
        some = slice(i, min(i + size, count))
        apart = buffer[: some.stop - i]
        np.multiply(levels, -sigmas[some, None].astype(levels.dtype), out=apart)
        apart += rows[some]
        if means[some].any():
            apart -= means[some, None].astype(levels.dtype)
        np.square(apart, out=apart)
        found[some] = apart.mean(axis=1)  # in pairs, so that long rows keep their digits in float32, too
    return found


def _traced_squares(rows: AnyArray, means: AnyArray, sigmas: AnyArray, levels: np.ndarray) -> jax.Array:
    return jnp.mean(jnp.square(rows - means[:, None] - jnp.outer(sigmas, jnp.asarray(levels))), axis=-1)
