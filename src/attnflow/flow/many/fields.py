"""The flow of many Gaussians as one array: rate and Jacobian of the states [L, mean], systems along the last axis.

A state (m, n) holds the rows of the factor L (d, r) and then, where the mean moves, the mean (d,). Sums of softmax
heads and affine maps have a rate and a Jacobian of their own, in which the covariance does not see the mean; every
other layer answers through `at_gaussian` and automatic differentiation.

Source: :cite:alcalde2026, eq. (2.6).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from ..._types import AnyArray
from ...measures.gaussian import Gaussian
from ...transformer.layer import AbstractLayer
from .block_lu import fenced, product
from .rosenbrock import Jacobian


class Shape(NamedTuple):
    """What a batch of states has in common: d, r, whether the state holds the mean, and whether one model serves all.

    With `shared` the parameters have no axis of systems (general layers) or one of length 1 (softmax sums).
    """

    dim: int
    rank: int
    with_mean: bool
    shared: bool

    @property
    def size(self) -> int:
        """m, the numbers of a state."""
        return self.dim * (self.rank + self.with_mean)


class Field(NamedTuple):
    """A rate `(shape, parameters, states) -> (m, n)` and its Jacobian: module-level functions, which jit keeps."""

    rate: Callable[[Shape, Any, jax.Array], jax.Array]
    jacobian: Callable[[Shape, Any, jax.Array], Jacobian]


class Head(NamedTuple):
    """One softmax head for n systems: B = left right with `left` (d, k, n) and `right` (k, d, n), V (d, d, n), a tilt.

    `right` is None where k = d and B itself stands in `left`; the query bias `tilt` (d, n) may be None. A B of low rank
    must come as its factors: where cov B tends to zero, (L^T left)(right L) keeps its relative accuracy, and L^T B L
    does not.
    """

    left: AnyArray
    right: AnyArray | None
    V: AnyArray
    tilt: AnyArray | None


class SoftmaxSum(NamedTuple):
    """x -> A x + b + sum over heads of V (mean + cov (B x + tilt)): A (d, d, n) or None, b (d, n) or None."""

    A: AnyArray | None
    b: AnyArray | None
    heads: tuple[Head, ...]


_product = fenced(product)


def softmax_rate(shape: Shape, model: SoftmaxSum, states: Float[jax.Array, "m n"]) -> Float[jax.Array, "m n"]:
    """[L, mean]' = [A L + sum V L (L^T B L), A mean + b + sum V (mean + L L^T (B mean + tilt))]."""
    factor, mean = _unpacked(shape, states)
    transposed = jnp.swapaxes(factor, 0, 1)
    moved = jnp.zeros_like(factor) if model.A is None else _product(model.A, factor)
    for head in model.heads:
        inner = _product(_product(transposed, head.left), _right_times(head, factor))
        moved = moved + _product(_product(head.V, factor), inner)
    if mean is None:
        return moved.reshape(shape.size, -1)
    drift = jnp.zeros_like(mean) if model.b is None else jnp.broadcast_to(model.b, mean.shape)
    if model.A is not None:
        drift = drift + _times(model.A, mean)
    for head in model.heads:
        tilted = _tilted(head, mean)
        drift = drift + _times(head.V, mean + _times(factor, _times(transposed, tilted)))
    return jnp.concatenate([moved.reshape(shape.dim * shape.rank, -1), drift])


def softmax_jacobian(shape: Shape, model: SoftmaxSum, states: Float[jax.Array, "m n"]) -> Jacobian:
    """The Jacobian of `softmax_rate`: the factor does not see the mean."""
    factor, mean = _unpacked(shape, states)
    transposed = jnp.swapaxes(factor, 0, 1)
    identity = jnp.eye(shape.rank, dtype=states.dtype)
    count = states.shape[-1]
    drift = jnp.zeros((shape.dim, shape.dim, count)) if model.A is None else jnp.asarray(model.A)
    top = jnp.zeros((shape.dim, shape.rank, shape.dim, shape.rank, count))
    side = jnp.zeros((shape.dim, shape.dim, shape.rank, count))
    for head in model.heads:
        keys, queries, left = _product(transposed, head.left), _right_times(head, factor), _product(head.V, factor)
        row = keys if head.right is None else _product(keys, head.right)
        right = _product(head.left, queries)
        top = _outer(top, jnp.asarray(head.V), _product(keys, queries), left, right)
        drift = drift + _product(left, row)
        if mean is not None:
            tilted = _tilted(head, mean)
            pull = _times(transposed, tilted)
            side = side + jnp.asarray(head.V)[:, :, None] * pull + left[:, None] * tilted[:, None]
    top = _with_drift(top, drift, identity).reshape(shape.dim * shape.rank, shape.dim * shape.rank, count)
    if mean is None:
        return Jacobian(top)
    last = drift + sum(jnp.asarray(head.V) for head in model.heads)
    return Jacobian(top, side.reshape(shape.dim, -1, count), jnp.broadcast_to(last, drift.shape))


@fenced
def _outer(top: jax.Array, V: jax.Array, inner: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    """`top`[a, b, i, j] + V[a, i] inner[j, b] + left[a, j] right[i, b]."""
    first = V[:, None, :, None] * jnp.swapaxes(inner, 0, 1)[None, :, None]
    return top + first + left[:, None, None] * jnp.swapaxes(right, 0, 1)[None, :, :, None]


@fenced
def _with_drift(top: jax.Array, drift: jax.Array, identity: jax.Array) -> jax.Array:
    return top + drift[:, None, :, None] * identity[None, :, None, :, None]


def general_rate(shape: Shape, model: AbstractLayer, states: Float[jax.Array, "m n"]) -> Float[jax.Array, "m n"]:
    """[L, mean]' = [G L, G mean + c] with the affine map (G, c) of any layer at each Gaussian."""
    return jnp.asarray(_general_rate(shape, model, states))


@functools.partial(fenced, static=(0,))
def _general_rate(shape: Shape, model: AbstractLayer, states: jax.Array) -> jax.Array:
    along = (None if shape.shared else -1, -1)
    return jax.vmap(lambda layer, state: _one_rate(shape, layer, state), along, -1)(model, states)


def general_jacobian(shape: Shape, model: AbstractLayer, states: Float[jax.Array, "m n"]) -> Jacobian:
    """The Jacobian of `general_rate`, by forward differentiation."""
    along = (None if shape.shared else -1, -1)
    each = jax.jacfwd(lambda layer, state: _one_rate(shape, layer, state), argnums=1)
    return Jacobian(jax.vmap(each, along, -1)(model, states))


def _one_rate(shape: Shape, layer: AbstractLayer, state: jax.Array) -> jax.Array:
    count = shape.dim * shape.rank
    factor = state[:count].reshape(shape.dim, shape.rank)
    mean = state[count:] if shape.with_mean else jnp.zeros(shape.dim, state.dtype)
    affine = layer.at_gaussian(Gaussian(mean, factor))
    if not shape.with_mean:
        return jnp.asarray(affine.apply(factor)).ravel()
    moved = affine.apply(jnp.concatenate([factor, mean[:, None]], axis=1))
    return jnp.concatenate([moved[:, :-1].ravel(), moved[:, -1] + affine.offset])


def _unpacked(shape: Shape, states: jax.Array) -> tuple[jax.Array, jax.Array | None]:
    count = shape.dim * shape.rank
    return states[:count].reshape(shape.dim, shape.rank, -1), states[count:] if shape.with_mean else None


def _right_times(head: Head, factor: jax.Array) -> jax.Array:
    return factor if head.right is None else jnp.asarray(_product(head.right, factor))


def _tilted(head: Head, mean: jax.Array) -> jax.Array:
    image = _times(head.left, mean if head.right is None else _times(head.right, mean))
    return image if head.tilt is None else image + head.tilt


def _times(matrices: AnyArray, vectors: jax.Array) -> jax.Array:
    """n products of matrices (a, k, n) with vectors (k, n)."""
    return jnp.asarray(_product(matrices, vectors[:, None]))[:, 0]


SOFTMAX = Field(softmax_rate, softmax_jacobian)
GENERAL = Field(general_rate, general_jacobian)
