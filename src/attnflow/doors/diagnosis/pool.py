"""All tokens of all sequences as one population, collected sequence by sequence."""

from __future__ import annotations

import numpy as np

from ...diagnostics.state import measure_state
from .row import Row, marginal

POOLED = (
    "mean_norm", "cov_trace", "effective_rank", "token_cosine", "sliced_w2_scaled", "mmd", "mmd_floor", "massive_share",
)  # fmt: skip
SIZE = 4096
"""Tokens of the sample, over all sequences."""


def shares(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """How many tokens of each sequence go into the sample, in proportion to their `sizes`."""
    total = sum(sizes)
    return tuple(min(n, max(1, round(SIZE * n / total))) if total > SIZE else n for n in sizes)


def pooled(rows: list[Row], axes: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Measurements of the pooled sample of tokens in `rows` by layer, the quantiles of a coordinate, and which it is.

    The sample holds tokens of each sequence in proportion to its length, so that it stands for all of them.
    """
    sample = np.concatenate([row["sample"] for row in rows], axis=1)
    states = [measure_state(tokens, axes) for tokens in sample]
    found = {f"pooled_{name}": np.array([float(getattr(s, name)) for s in states]) for name in POOLED}
    found["pooled_sliced_w2_floor"] = np.array([s.sliced_w2_floor_scaled for s in states])
    marginals = [marginal(tokens) for tokens in sample]
    return found, np.stack([q for _, q in marginals]), np.array([c for c, _ in marginals])
