"""Averages of tokens under attention weights, in blocks: memory O(n k + block n), never O(n^2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int

from .._types import AnyArray

QUERY_BLOCK, KEY_BLOCK = 512, 256
# below this many weights they are held at once
DIRECT = 2**19
HIDDEN = -1e30

Visible: TypeAlias = Int[AnyArray, " m"] | None
Carry = TypeVar("Carry")
Result = TypeVar("Result")


class Block(NamedTuple):
    """Keys (k, size), transposed so that the products are plain, values (size, v), biases (size,), first index."""

    keys: jax.Array
    values: jax.Array
    bias: jax.Array | None
    start: int | jax.Array

    def logits(self, queries: AnyArray) -> jax.Array:
        """queries . keys + bias (m, size)."""
        products = jnp.asarray(queries @ self.keys)
        return products if self.bias is None else products + self.bias

    def seen(self, visible: AnyArray) -> jax.Array:
        """Which of its keys each query sees (m, size)."""
        return self.start + jnp.arange(self.keys.shape[1]) < jnp.asarray(visible)[:, None]


class Running(NamedTuple):
    """The largest logit so far, and the sums of the weights and of the weighted values relative to it."""

    top: jax.Array
    total: jax.Array
    sums: jax.Array


def softmax_average(
    queries: Float[AnyArray, "m k"],
    keys: Float[AnyArray, "n k"],
    values: Float[AnyArray, "n v"],
    *,
    key_bias: Float[AnyArray, " n"] | None = None,
    visible: Visible = None,
) -> tuple[Float[jax.Array, "m v"], Float[jax.Array, " m"]]:
    """Averages of `values` with weights proportional to exp(queries . keys + key_bias), and the log of their sums.

    Query i sees the first `visible[i]` keys (all of them if None), at least one.
    """
    dtype = jnp.result_type(queries, keys)

    def one(queries: AnyArray, visible: Visible, blocks: Blocks) -> tuple[jax.Array, jax.Array]:
        def step(carry: Running, block: Block) -> Running:
            logits = block.logits(queries)
            if visible is not None:
                logits = jnp.where(block.seen(visible), logits, HIDDEN)
            # the shift cancels; its derivative through `max` would be lost where rounding leaves no entry equal to it
            top = lax.stop_gradient(jnp.maximum(carry.top, jnp.max(logits, axis=1)))
            weights = jnp.exp(logits - top[:, None])
            shrink = jnp.exp(carry.top - top)
            total = shrink * carry.total + jnp.sum(weights, axis=1)
            return Running(top, total, shrink[:, None] * carry.sums + weights @ block.values)

        m = queries.shape[0]
        zero = jnp.zeros((m, values.shape[1]), dtype)
        end = blocks.fold(step, Running(jnp.full(m, HIDDEN, dtype), jnp.zeros(m, dtype), zero))
        return end.sums / end.total[:, None], end.top + jnp.log(end.total)

    return _over_queries(one, queries, visible, keys, values, key_bias)


def weighted_mean(
    weigh: Callable[[jax.Array], jax.Array],
    queries: Float[AnyArray, "m k"],
    keys: Float[AnyArray, "n k"],
    values: Float[AnyArray, "n v"],
    *,
    key_bias: Float[AnyArray, " n"] | None = None,
    visible: Visible = None,
) -> Float[jax.Array, "m v"]:
    """The mean over the visible keys of weigh(queries . keys + key_bias) times `values`."""

    def one(queries: AnyArray, visible: Visible, blocks: Blocks) -> jax.Array:
        def step(sums: jax.Array, block: Block) -> jax.Array:
            weights = weigh(block.logits(queries))
            if visible is not None:
                weights = jnp.where(block.seen(visible), weights, 0.0)
            return sums + weights @ block.values

        zero = jnp.zeros((queries.shape[0], values.shape[1]), jnp.result_type(queries, keys))
        count = keys.shape[0] if visible is None else jnp.asarray(visible)[:, None]
        return blocks.fold(step, zero) / count

    return _over_queries(one, queries, visible, keys, values, key_bias)


class Blocks(NamedTuple):
    """Keys in blocks: equal ones stacked for a scan, and a last shorter one."""

    equal: tuple[jax.Array, jax.Array, jax.Array | None] | None
    last: Block | None

    def fold(self, step: Callable[[Carry, Block], Carry], start: Carry) -> Carry:
        """`step` over all blocks, in their order."""
        if self.equal is not None:
            count, _, size = self.equal[0].shape
            places = size * jnp.arange(count)
            start, _ = lax.scan(lambda c, xs: (step(c, Block(*xs[0], xs[1])), None), start, (self.equal, places))
        return start if self.last is None else step(start, self.last)


def _blocks(keys: AnyArray, values: AnyArray, bias: AnyArray | None, size: int) -> Blocks:
    n, count = keys.shape[0], keys.shape[0] // size
    cut = count * size

    def stack(rows: AnyArray) -> jax.Array:
        return jnp.asarray(rows[:cut]).reshape(count, size, *rows.shape[1:])

    equal = None
    if count:
        equal = (jnp.swapaxes(stack(keys), 1, 2), stack(values), None if bias is None else stack(bias))
    if cut == n:
        return Blocks(equal, None)
    rest = None if bias is None else jnp.asarray(bias[cut:])
    return Blocks(equal, Block(jnp.asarray(keys[cut:]).T, jnp.asarray(values[cut:]), rest, cut))


def _over_queries(
    one: Callable[[AnyArray, Visible, Blocks], Result],
    queries: AnyArray,
    visible: Visible,
    keys: AnyArray,
    values: AnyArray,
    bias: AnyArray | None,
) -> Result:
    """`one` on blocks of queries, joined; a gradient computes each block again instead of keeping its weights."""
    m, n = queries.shape[0], keys.shape[0]
    if m * n <= DIRECT:
        return one(queries, visible, _blocks(keys, values, bias, n + 1))
    blocks = _blocks(keys, values, bias, KEY_BLOCK)
    count = -(-m // QUERY_BLOCK)
    more = count * QUERY_BLOCK - m
    rows = jnp.pad(queries, ((0, more), (0, 0))).reshape(count, QUERY_BLOCK, queries.shape[1])
    again: Callable[[AnyArray, Visible], Result] = jax.checkpoint(lambda q, seen: one(q, seen, blocks))
    if visible is None:
        found = lax.map(lambda q: again(q, None), rows)
    else:
        seen = jnp.pad(jnp.asarray(visible), (0, more), mode="edge").reshape(count, QUERY_BLOCK)
        found = lax.map(lambda pair: again(*pair), (rows, seen))
    joined: Result = jax.tree.map(lambda block: block.reshape(count * QUERY_BLOCK, *block.shape[2:])[:m], found)
    return joined
