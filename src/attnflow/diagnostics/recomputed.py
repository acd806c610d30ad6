"""Softmax attention computed again from the weights, for a few queries and all of their keys."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from .attention import Attention, Keys
from .projected import HeadMoments, Seen
from .turning import turned

ENTRIES = 2**18
"""Logits of one head held at once, so that they stay in the cache."""
WINDOW_ROWS = 8
"""Queries taken at once where each sees a window, so that the keys of all of them fit into a short range."""


def attended_values(
    attention: Attention, moments: HeadMoments, seen: Seen
) -> tuple[Float[np.ndarray, "h m k"], Float[np.ndarray, "h m"]]:
    """What each head of `attention` reads: the averages (h, m, k) of the values at the queries, and sum p^2 (h, m).

    The tokens are the `seen` ones around `moments`; the averages are without `moments.value`.

    Source: this package, docs/theory/diagnose.md, section 3.
    """
    (h, n, k), m = seen.key.shape, seen.places.size
    query, key = _logit_factors(attention, moments, seen)
    averages, collisions = np.empty((h, m, k), key.dtype), np.empty((h, m))
    first, last = attention.keys.bounds(seen.places, n)
    ones = np.ones((1, n), key.dtype)
    for head in range(h):
        columns = np.ascontiguousarray(key[head].T)
        values = np.concatenate([seen.value[head].T, ones]).T  # the last column adds up the weights
        for rows in _blocks(attention.keys, m, ENTRIES // n):
            here = slice(int(first[rows].min()), int(last[rows].max()))
            p = query[head, rows] @ columns[:, here]
            if attention.keys != Keys():
                places = np.arange(here.start, here.stop)
                p[(places < first[rows, None]) | (places >= last[rows, None])] = -np.inf
            p -= p.max(axis=1, keepdims=True)
            np.exp(p, out=p)
            read = p @ values[here]
            averages[head, rows] = read[:, :k] / read[:, k:]
            collisions[head, rows] = np.einsum("mn,mn->m", p, p) / np.square(read[:, k])
    return averages, collisions


def _logit_factors(attention: Attention, moments: HeadMoments, seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """Queries (h, m, k) and keys (h, n, k) whose products are the logits, up to a constant for each query."""
    query = ((seen.query + moments.query[:, None]) * attention.scale).astype(seen.key.dtype)
    if attention.rotary is None:
        return query, seen.key
    key = seen.key + moments.key[:, None].astype(seen.key.dtype)  # turned, the mean of the keys no longer cancels
    positions = np.arange(seen.tokens)
    return turned(query, attention.rotary, seen.places), turned(key, attention.rotary, positions)


def _blocks(keys: Keys, m: int, rows: int) -> Iterator[slice]:
    window = keys.before is not None and keys.after is not None
    size = max(1, min(rows, WINDOW_ROWS) if window else rows)
    return (slice(i, min(i + size, m)) for i in range(0, m, size))
