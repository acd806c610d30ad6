"""The slope at t = 0 of a distance that is known at a few small times.

Source: this package, docs/theory/departure.md, section 4.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

POINTS = 3


def initial_slope(ts: Float[np.ndarray, " t"], distances: Float[np.ndarray, " t"]) -> float | None:
    """lim distance / t as t -> 0: the polynomial through distance / t at the first (at most three) positive `ts`, at 0.

    `distances` (t,) at the same times; None when no time is positive.
    """
    seen = np.flatnonzero(ts > 0)[:POINTS]
    if not seen.size:
        return None
    t, ratio = ts[seen], distances[seen] / ts[seen]
    others = [np.delete(t, i) for i in range(t.size)]
    weights = [np.prod(rest / (rest - one)) for one, rest in zip(t, others, strict=True)]
    return float(np.dot(weights, ratio))
