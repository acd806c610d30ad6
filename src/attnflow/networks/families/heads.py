"""Four projections as the attention of a layer."""

from __future__ import annotations

import numpy as np

from ...diagnostics.attention import Attention, Keys
from .weights import Projection, by_head, from_heads


def attention_of(
    query: Projection,
    key: Projection,
    value: Projection,
    output: Projection,
    *,
    heads: int,
    scale: float,
    keys: Keys,
    rotary: np.ndarray | None = None,
) -> Attention:
    """The attention of `heads` heads whose `query`, `key` and `value` stand one below the other, `output` beside.

    `scale` multiplies the logits, `keys` says who sees whom, `rotary` (k / 2,) how much a position turns.
    """
    (Q, q), (K, k), (V, v) = (by_head(projection, heads) for projection in (query, key, value))
    return Attention(
        query=Q, key=K, value=V, output=from_heads(output[0], heads),
        query_bias=q, key_bias=k, value_bias=v, output_bias=output[1],
        scale=float(scale), keys=keys, rotary=rotary,
    )  # fmt: skip
