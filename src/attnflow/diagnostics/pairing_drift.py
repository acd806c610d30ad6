"""How far the states of two models are apart, layer by layer, in units of the spread between inputs.

Source: this package, docs/theory/drift.md.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

DRIFT_START = 0.02
RESAMPLES = 1000
COVERAGE = 0.95


@dataclasses.dataclass(frozen=True)
class Drift:
    """The `value` (l+1,) of the drift at each layer, and its bootstrap interval from `low` to `high`.

    `start` is the first layer at which `low` exceeds 0.02, None if there is none; 0 means the embeddings.
    """

    value: Float[np.ndarray, " l1"]
    low: Float[np.ndarray, " l1"]
    high: Float[np.ndarray, " l1"]
    start: int | None


def resample_counts(inputs: int, *, seed: int) -> Float[np.ndarray, "1000 n"]:
    """How often each of the `inputs` is drawn in each of 1000 resamples, from `seed`."""
    drawn = np.random.default_rng(seed).multinomial(inputs, np.full(inputs, 1.0 / inputs), size=RESAMPLES)
    return np.asarray(drawn, dtype=np.float64)


def percentile_interval(samples: Float[np.ndarray, "1000 ..."]) -> tuple[np.ndarray, np.ndarray]:
    """The middle 95 % of the resampled `samples`, along their first axis."""
    low, high = np.quantile(samples, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], axis=0)
    return np.asarray(low), np.asarray(high)


def drift_by_layer(
    states: Float[np.ndarray, "n l1 d"], reference: Float[np.ndarray, "n l1 d"], *, counts: Float[np.ndarray, "1000 n"]
) -> Drift | None:
    """The root mean square over inputs of |states - reference|, over that of |reference - its mean|, for each layer.

    `states` and `reference` (n, l+1, d) hold a vector for each input and layer. The interval is that of the resamples
    `counts`, with the mean of the reference held fixed. None when the reference does not vary between inputs in some
    layer.

    Source: this package, docs/theory/drift.md.
    """
    moved, spread = _squares(states, reference)
    if not np.all(spread.sum(axis=0) > 0):
        return None
    value = np.sqrt(moved.sum(axis=0) / spread.sum(axis=0))
    below = counts @ spread
    # a resample of inputs that are all at the mean says nothing: it counts as the value itself
    ratio = np.divide(counts @ moved, below, out=np.broadcast_to(np.square(value), below.shape).copy(), where=below > 0)
    low, high = percentile_interval(np.sqrt(ratio))
    above = np.flatnonzero(low > DRIFT_START)
    return Drift(value, low, high, int(above[0]) if above.size else None)


def _squares(
    states: Float[np.ndarray, "n l1 d"], reference: Float[np.ndarray, "n l1 d"]
) -> tuple[Float[np.ndarray, "n l1"], Float[np.ndarray, "n l1"]]:
    """The squared distance of each input from itself in the other model, and from the mean input, layer by layer."""
    moved, spread = [], []
    for layer in range(states.shape[1]):
        a, b = (np.asarray(side[:, layer], dtype=np.float64) for side in (states, reference))
        moved.append(np.sum(np.square(a - b), axis=1))
        spread.append(np.sum(np.square(b - b.mean(axis=0)), axis=1))
    return np.stack(moved, axis=1), np.stack(spread, axis=1)
