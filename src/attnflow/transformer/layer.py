"""The two questions that every layer answers, and the affine map that answers the second."""

from __future__ import annotations

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._linalg import LowRank, Operator, dense, times
from .._types import AnyArray, Points, Vector
from ..measures.gaussian import Gaussian, Moments


class AffineMap(eqx.Module):
    """The velocity x -> G x + c with G = dense + left @ right, applied without forming G where that is cheaper.

    `dense` (d, d), a multiple of the identity, or None; `left` (d, k) and `right` (k, d), or None; `offset` c (d,).
    `exact` says whether the layer's velocity at the Gaussian is this map, or only its statistical
    linearisation G = E[grad Gamma], c = E[Gamma] - G mean.
    """

    dense: Operator | None
    left: Float[AnyArray, "d k"] | None
    right: Float[AnyArray, "k d"] | None
    offset: Vector
    exact: bool = eqx.field(static=True, default=True)

    def apply(self, block: Float[AnyArray, "d m"]) -> Float[AnyArray, "d m"]:
        """G @ block for a block of vectors (d, m)."""
        if self.left is None or self.right is None:
            return self._dense_part(block)
        dim, inner = self.left.shape
        columns = block.shape[-1]
        if dim * columns + dim * inner < 2 * inner * columns:
            return self.linear() @ block
        return self._dense_part(block) + self.left @ (self.right @ block)

    def linear(self) -> Float[AnyArray, "d d"]:
        """The matrix G (d, d)."""
        dim = self.offset.shape[0]
        part = jnp.zeros((dim, dim), self.offset.dtype) if self.dense is None else dense(self.dense, dim)
        return part if self.left is None or self.right is None else part + self.left @ self.right

    def __add__(self, other: AffineMap) -> AffineMap:
        """The sum of two velocities."""
        return AffineMap(
            dense=_sum_operators(self.dense, other.dense, self.offset.shape[0]),
            left=_join(self.left, other.left, axis=1),
            right=_join(self.right, other.right, axis=0),
            offset=self.offset + other.offset,
            exact=self.exact and other.exact,
        )

    def _dense_part(self, block: AnyArray) -> AnyArray:
        return jnp.zeros_like(block) if self.dense is None else times(self.dense, block)


class AbstractLayer(eqx.Module):
    """A velocity field that depends on the measure it moves: an attention kind, a feed-forward, or a sum of them."""

    @abc.abstractmethod
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        """The velocity at `points` (m, d) when the measure is the uniform one on `tokens` (n, d)."""

    @abc.abstractmethod
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        """The velocity as an affine map when the measure is Gaussian, and whether it is exactly that."""

    @property
    @abc.abstractmethod
    def dim(self) -> int | None:
        """d, or None when the layer acts in every dimension (all its parameters are scalars)."""


class AbstractAttention(AbstractLayer):
    """An attention kind whose velocity at a token is an average over the keys, so that some keys can be hidden."""

    @abc.abstractmethod
    def attend(
        self, points: Float[AnyArray, "m d"], tokens: Points, visible: Int[AnyArray, " m"] | None
    ) -> Float[AnyArray, "m d"]:
        """The velocity at `points` (m, d) where point i sees the first `visible[i]` of `tokens` (n, d), or all."""


def _sum_operators(one: Operator | None, two: Operator | None, dim: int) -> Operator | None:
    if one is None or two is None:
        return two if one is None else one
    if not isinstance(one, LowRank) and not isinstance(two, LowRank) and one.ndim == two.ndim == 0:
        return one + two
    return dense(one, dim) + dense(two, dim)


def _join(one: AnyArray | None, two: AnyArray | None, *, axis: int) -> AnyArray | None:
    if one is None or two is None:
        return two if one is None else one
    return jnp.concatenate([one, two], axis=axis)
