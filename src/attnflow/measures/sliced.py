"""The sliced 2-Wasserstein distance: the root mean square, over directions, of exact distances on the line."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .._check import is_traced
from .._types import AnyArray, Number
from .gaussian import Gaussian
from .line import matched_squares, normal_squares
from .namespace import namespace, root

BLOCK = 2**23
"""Projected numbers held at once on the host."""
FAR = 16.0
"""A mean whose square is above this many times the trace of the covariance is taken off first."""


def unit_directions(dim: int, projections: int, key: int | PRNGKeyArray) -> Float[AnyArray, "l d"]:
    """`projections` independent unit vectors (l, d) of dimension `dim`, uniform on the sphere.

    An integer `key` seeds NumPy and gives the same vectors inside and outside of jit; a JAX `key` is used by JAX.
    """
    if isinstance(key, int | np.integer):
        drawn: AnyArray = np.random.default_rng(int(key)).standard_normal((dim, projections)).T
    else:
        drawn = jax.random.normal(key, (projections, dim))
        drawn = drawn if is_traced(drawn) else np.asarray(drawn, np.float64)
    xp = namespace(drawn)
    axes: AnyArray = drawn / xp.linalg.norm(drawn, axis=1, keepdims=True)
    return axes


def sliced_squared(points: Float[AnyArray, "n d"], gaussian: Gaussian, axes: Float[AnyArray, "l d"]) -> Number:
    """The squared sliced distance of the uniform measure on `points` (n, d) to `gaussian`.

    It is the mean over the unit vectors `axes` (l, d) of the squared distances of the projections, each exact: the
    Gaussian is not sampled. NumPy points in float32 are projected in float32, and their squares summed in float64;
    through JAX arrays jit, vmap and grad pass.

    Source: this package, docs/theory/distances.md.
    """
    if namespace(points, gaussian.mean, gaussian.factor, axes) is jnp:
        means, sigmas = axes @ gaussian.mean, root(jnp.sum(jnp.square(axes @ gaussian.factor), axis=1))
        return jnp.mean(normal_squares(jnp.sort(axes @ points.T, axis=1), means, sigmas))
    tokens, mean, factor = np.asarray(points), np.asarray(gaussian.mean), np.asarray(gaussian.factor)
    origin = _origin(mean, factor).astype(tokens.dtype)
    means, sigmas = (
        axes @ (mean - origin),
        np.linalg.norm(axes.astype(tokens.dtype) @ factor.astype(tokens.dtype), axis=1),
    )
    size = max(1, BLOCK // tokens.shape[0])
    blocks = zip(_projected(tokens, origin, axes, size=size), *(_blocks(x, size) for x in (means, sigmas)), strict=True)
    return np.float64(np.mean(np.concatenate([normal_squares(*block) for block in blocks])))


def sliced_squared_between(
    one: Float[AnyArray, "n d"], two: Float[AnyArray, "m d"], axes: Float[AnyArray, "l d"]
) -> Number:
    """The squared sliced distance of the uniform measures on `one` (n, d) and `two` (m, d), over `axes` (l, d).

    The sizes may differ. Arithmetic as in `sliced_squared`.

    Source: this package, docs/theory/distances.md.
    """
    if namespace(one, two, axes) is jnp:
        first, second = (jnp.sort(axes @ x.T, axis=1) for x in (one, two))
        return jnp.mean(matched_squares(first, second))
    tokens, others = np.asarray(one), np.asarray(two)
    origin = np.asarray(np.mean(tokens, axis=0, dtype=np.float64)).astype(tokens.dtype)
    size = max(1, BLOCK // (tokens.shape[0] + others.shape[0]))
    blocks = zip(*(_projected(x, origin, axes, size=size) for x in (tokens, others)), strict=True)
    return np.float64(np.mean(np.concatenate([matched_squares(first, second) for first, second in blocks])))


def _origin(mean: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """What to take off the tokens before they are projected, so that a `mean` far from 0 costs no digits: 0 if near."""
    far = np.sum(np.square(mean)) > FAR * np.sum(np.square(factor))
    return mean if far else np.zeros_like(mean)


def _projected(points: np.ndarray, origin: np.ndarray, axes: AnyArray, *, size: int) -> Iterator[np.ndarray]:
    """The sorted projections (at most `size`, n) of `points` - `origin`, block by block of `axes`, in their dtype."""
    centred = points - origin if origin.any() else points
    for some in _blocks(np.asarray(axes).astype(points.dtype), size):
        rows = some @ centred.T
        rows.sort(axis=1)
        yield rows


def _blocks(array: AnyArray, size: int) -> Iterator[np.ndarray]:
    return (np.asarray(array[i : i + size]) for i in range(0, array.shape[0], size))
