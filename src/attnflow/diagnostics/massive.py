"""Massive activations: single entries of single tokens that are many times larger than all others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

MASSIVE = 6.0
"""An entry is massive if its distance from the median of its channel is at least this many times the root mean square
of all entries of the tokens, each channel without its mean. A normal entry of that size would be one in 5e8."""
KEPT = 3


class Massive(NamedTuple):
    """A `channel` (coordinate) with massive entries, and the `share` of the tokens in which it has one."""

    channel: int
    share: float


def massive_channels(tokens: Float[np.ndarray, "n d"], typical: float) -> tuple[tuple[Massive, ...], float]:
    """The channels of `tokens` (n, d) with the most massive entries, at most `KEPT`, and the share of tokens with any.

    `typical` is the root mean square of all entries without the means of their channels. A channel that is large but
    the same in all tokens is not massive: it is part of the mean. Tokens that are equal up to the rounding of their
    mean have none: what differs between them is no measurement.

    Source: this package, docs/theory/diagnose.md, section 1.
    """
    mean = tokens.mean(axis=0, dtype=np.float64)
    if typical <= np.finfo(tokens.dtype).eps * np.linalg.norm(mean):
        return (), 0.0
    bound = MASSIVE * typical
    deviation = np.sqrt(np.maximum(np.einsum("ij,ij->j", tokens, tokens, dtype=np.float64) / len(tokens) - mean**2, 0))
    reach = np.maximum(tokens.max(axis=0) - mean, mean - tokens.min(axis=0))
    candidates = np.flatnonzero(reach + deviation >= bound)  # mean and median differ by a deviation at most
    if not candidates.size:
        return (), 0.0
    some = tokens[:, candidates]
    large = np.abs(some - np.median(some, axis=0)) >= bound
    shares = large.mean(axis=0)
    order = np.argsort(-shares, kind="stable")[:KEPT]
    found = tuple(Massive(int(candidates[i]), float(shares[i])) for i in order if shares[i] > 0)
    return found, float(large.any(axis=1).mean())
