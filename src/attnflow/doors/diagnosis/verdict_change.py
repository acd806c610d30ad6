"""Changes from layer to layer that stand out from the noise between sequences or batches."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from .fields_states import median
from .thresholds import NOISE, PLATEAU


@dataclasses.dataclass(frozen=True)
class Change:
    """A quantity goes from the median `before` at layer `start` to `after` at layer `end`.

    `agreeing` is the share of the sequences or batches in which it changes in this direction.
    """

    start: int
    end: int
    before: float
    after: float
    agreeing: float

    @property
    def clear(self) -> bool:
        """Whether it changes in this direction in at least 90 % of the sequences or batches."""
        return self.agreeing >= NOISE.value

    @property
    def factor(self) -> float:
        """The larger of the two values over the smaller; infinite over zero."""
        low, high = sorted((self.before, self.after))
        return high / low if low > 0 else np.inf

    @property
    def layers(self) -> str:
        """Between which layers, in words."""
        return f"from layer {self.start} to {self.end}"


def change_between(values: Float[np.ndarray, "s l1"], start: int, end: int) -> Change:
    """The change of `values` (s, l+1), a row for each sequence or batch, from layer `start` to layer `end`."""
    middle = median(values)
    falls = middle[end] < middle[start]
    known = values[~np.isnan(values[:, [start, end]]).any(axis=1)]
    steps = known[:, end] - known[:, start]
    agreeing = float(np.mean(steps < 0 if falls else steps > 0)) if len(steps) else 0.0
    return Change(start, end, float(middle[start]), float(middle[end]), agreeing)


def largest_fall(values: Float[np.ndarray, "s l1"]) -> Change | None:
    """The two layers between which the median of positive `values` falls by the largest factor; None if it never falls.

    Of falls that are equal, or nearly so, the one that begins last is taken, and ends first.
    """
    return _largest(-np.log(_positive(median(values))), values)


def largest_rise(values: Float[np.ndarray, "s l1"]) -> Change | None:
    """The two layers between which the median of `values` rises most; None if it never rises."""
    return _largest(median(values), values)


def _positive(values: Float[np.ndarray, " l1"]) -> Float[np.ndarray, " l1"]:
    return np.asarray(np.where(values > 0, values, np.nan))


def _largest(heights: Float[np.ndarray, " l1"], values: Float[np.ndarray, "s l1"]) -> Change | None:
    """The change between the two layers in order whose `heights` differ most upward."""
    best, ends = 0.0, None
    for end in range(1, heights.size):
        for start in range(end - 1, -1, -1):
            if heights[end] - heights[start] > best:
                best, ends = heights[end] - heights[start], (start, end)
    return None if ends is None else change_between(values, *_shortest(heights, *ends))


def _shortest(heights: Float[np.ndarray, " l1"], start: int, end: int) -> tuple[int, int]:
    """The change from `start` to `end` without its ends on a plateau, where rounding alone tells layers apart."""
    near = min(PLATEAU.value, 0.1 * float(heights[end] - heights[start])) * (1 + 1e-9)
    first = first_reaching(heights[start : end + 1], float(heights[end]), near=near) + start
    low = np.flatnonzero(heights[start:first] <= heights[start] + near)
    return start + int(low[-1]), first


def first_reaching(heights: Float[np.ndarray, " l1"], top: float, *, near: float = PLATEAU.value * (1 + 1e-9)) -> int:
    """The first of `heights` that comes as `near` to their `top` as on a plateau."""
    return int(np.flatnonzero(heights >= top - near)[0])
