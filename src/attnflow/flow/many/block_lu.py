"""Small linear systems for many right-hand sides that differ in the matrix as well, systems along the last axis.

Every operation runs along the systems, so that the machine works on several of them at once; LAPACK would take them one
by one. The elimination is by blocks of at most three unknowns and without pivoting: the matrices are I - h GAMMA J,
which tend to the identity for short steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Float

BLOCK = 3
# larger systems are factorised by LAPACK, one at a time and with pivoting
UNROLLED = 40


class Eliminated(NamedTuple):
    """What is left of a block of pivots P: P^{-1}, the `right` part of its rows, and the multipliers `below`."""

    inverse: jax.Array
    right: jax.Array
    below: jax.Array


Factors: TypeAlias = tuple[Eliminated, ...] | tuple[jax.Array, jax.Array]


def fenced(function: Callable[..., Any], *, static: tuple[int, ...] = ()) -> Callable[..., Any]:
    """`function` compiled as a unit of its own.

    XLA on a CPU melts chains of array operations into one loop and computes what is used twice twice; a call that it
    must not inline keeps the intermediate results.
    """
    compiled = jax.jit(function, static_argnums=static)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        with _not_inlined():
            return compiled(*args)

    return call


def _not_inlined() -> Any:
    try:
        from jax.experimental.xla_metadata import set_xla_metadata
    except ImportError:  # an experimental name: without it the results are the same, only slower
        import contextlib

        return contextlib.nullcontext()
    return set_xla_metadata(inlineable="false")


def factorised(matrices: Float[jax.Array, "m m n"]) -> Factors:
    """Factors of n matrices (m, m, n), for `solved`; not finite where a block of pivots is singular."""
    if matrices.shape[0] > UNROLLED:
        pair: tuple[jax.Array, jax.Array] = jax.vmap(jax.scipy.linalg.lu_factor, in_axes=-1, out_axes=-1)(matrices)
        return pair
    found: list[Eliminated] = []
    for size in _sizes(matrices.shape[0]):
        inverse = _inverse(matrices, size)
        below = _below(matrices, inverse)
        found.append(Eliminated(inverse, matrices[:size, size:], below))
        matrices = _schur(matrices, below)
    return tuple(found)


def solved(factors: Factors, right: Float[jax.Array, "m n"]) -> Float[jax.Array, "m n"]:
    """The solutions (m, n) for the right-hand sides `right` (m, n)."""
    if not isinstance(factors[0], Eliminated):
        back: jax.Array = jax.vmap(jax.scipy.linalg.lu_solve, in_axes=-1, out_axes=-1)(factors, right)
        return back
    return jnp.asarray(_substituted(factors, right))


def _sizes(m: int) -> list[int]:
    count = -(-m // BLOCK)
    return [m // count + (i < m % count) for i in range(count)]


@functools.partial(fenced, static=(1,))
def _cofactors(matrices: jax.Array, size: int) -> jax.Array:
    """The adjugates of the leading blocks."""
    a = matrices
    if size == 1:
        return jnp.ones_like(a[:1, :1])
    if size == 2:
        return jnp.stack([jnp.stack([a[1, 1], -a[0, 1]]), jnp.stack([-a[1, 0], a[0, 0]])])

    def minor(i: int, j: int) -> jax.Array:
        p, q, u, v = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
        return a[u, p] * a[v, q] - a[u, q] * a[v, p]

    return jnp.stack([jnp.stack([minor(i, j) for j in range(3)]) for i in range(3)])


@fenced
def _over_determinant(matrices: jax.Array, cofactors: jax.Array) -> jax.Array:
    determinant = sum(matrices[0, k] * cofactors[k, 0] for k in range(cofactors.shape[0]))
    return cofactors * (1.0 / determinant)


def _inverse(matrices: jax.Array, size: int) -> jax.Array:
    return jnp.asarray(_over_determinant(matrices, _cofactors(matrices, size)))


@fenced
def _below(matrices: jax.Array, inverse: jax.Array) -> jax.Array:
    size = inverse.shape[0]
    return product(matrices[size:, :size], inverse)


@fenced
def _schur(matrices: jax.Array, below: jax.Array) -> jax.Array:
    size = below.shape[1]
    return matrices[size:, size:] - product(below, matrices[:size, size:])


@fenced
def _substituted(factors: tuple[Eliminated, ...], right: jax.Array) -> jax.Array:
    tops: list[jax.Array] = []
    for step in factors:
        size = step.inverse.shape[0]
        tops.append(right[:size])
        right = _reduced(right[size:], step.below, right[:size])
    found = right
    for step, top in zip(reversed(factors), reversed(tops), strict=True):
        found = jnp.concatenate([_applied(step.inverse, _reduced(top, step.right, found)), found])
    return found


@fenced
def _reduced(vectors: jax.Array, matrices: jax.Array, other: jax.Array) -> jax.Array:
    return vectors - sum((matrices[:, k] * other[k] for k in range(other.shape[0])), start=jnp.zeros_like(vectors))


@fenced
def _applied(matrices: jax.Array, vectors: jax.Array) -> jax.Array:
    return sum((matrices[:, k] * vectors[k] for k in range(vectors.shape[0])), start=jnp.zeros_like(vectors))


def product(left: Float[jax.Array, "a k n"], right: Float[jax.Array, "k b n"]) -> Float[jax.Array, "a b n"]:
    """The n products of matrices (a, k, n) and (k, b, n)."""
    terms = (left[:, k, None] * right[k][None] for k in range(1, left.shape[1]))
    return sum(terms, start=left[:, 0, None] * right[0][None])
