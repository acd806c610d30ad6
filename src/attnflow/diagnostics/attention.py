"""The attention of one layer of a real network, as arrays: what every measurement of heads takes."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True)
class Keys:
    """Which tokens a query attends to: those at positions from i - `before` to i + `after`; None is no limit.

    `Keys()` is attention to all, `Keys(after=0)` causal, `Keys(before=64, after=64)` a window of 129.
    """

    before: int | None = None
    after: int | None = None

    def count(self, positions: Int[np.ndarray, " m"], n: int) -> Int[np.ndarray, " m"]:
        """How many of `n` tokens the queries at `positions` (m,) attend to."""
        first, last = self.bounds(positions, n)
        return np.asarray(last - first)

    def bounds(self, positions: Int[np.ndarray, " m"], n: int) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """The first token, and one after the last, of `n` that the queries at `positions` (m,) attend to."""
        first = np.zeros_like(positions) if self.before is None else np.maximum(positions - self.before, 0)
        last = np.full_like(positions, n) if self.after is None else np.minimum(positions + self.after + 1, n)
        return first, last


@dataclasses.dataclass(frozen=True)
class Attention:
    """Softmax attention with h heads of width k on tokens x in R^d, after the norm that stands before it, if any.

    Head h gives query = `query`[h] x + `query_bias`[h], and likewise key and value; its logits are `scale` times
    query . key; its output is `output`[h] times the average of the values. The layer's output is the sum over the heads
    plus `output_bias`. Shapes: `query`, `key`, `value` (h, k, d); their biases (h, k); `output` (h, d, k);
    `output_bias` (d,). `keys` says which tokens a query sees. With `rotary` (k / 2,), the angles per position, query
    and key at position p are first turned: coordinates i and i + k / 2 by the angle p rotary[i].
    """

    query: Float[np.ndarray, "h k d"]
    key: Float[np.ndarray, "h k d"]
    value: Float[np.ndarray, "h k d"]
    output: Float[np.ndarray, "h d k"]
    query_bias: Float[np.ndarray, "h k"]
    key_bias: Float[np.ndarray, "h k"]
    value_bias: Float[np.ndarray, "h k"]
    output_bias: Float[np.ndarray, " d"]
    scale: float
    keys: Keys = Keys()
    rotary: Float[np.ndarray, " half"] | None = None

    @property
    def heads(self) -> int:
        """The number of heads."""
        return int(self.query.shape[0])

    @property
    def dim(self) -> int:
        """The dimension d of the tokens."""
        return int(self.query.shape[2])
