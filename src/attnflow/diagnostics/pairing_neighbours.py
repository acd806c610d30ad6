"""Which inputs are neighbours of which, by cosine, and how many neighbours two models share."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

BLOCK = 256
DECIMALS = 12  # cosines closer than rounding are equal, and the earlier input comes first


def unit_rows(rows: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n p"]:
    """The `rows` (n, p), none of them zero, divided by their norms, in float64."""
    rows = np.asarray(rows, dtype=np.float64)
    rows = rows / np.max(np.abs(rows), axis=1, keepdims=True)  # so that no square overflows
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def row_cosines(first: Float[np.ndarray, "n p"], second: Float[np.ndarray, "n p"]) -> Float[np.ndarray, " n"]:
    """The cosine of each row of `first` (n, p) with the same row of `second` (n, p); exactly 1 for equal rows."""
    between = unit_rows(first) - unit_rows(second)
    return np.asarray(np.maximum(1.0 - 0.5 * np.sum(np.square(between), axis=1), -1.0))


def neighbour_overlap(
    first: Float[np.ndarray, "n p"], second: Float[np.ndarray, "n q"], *, neighbours: int
) -> Float[np.ndarray, " n"]:
    """Of the nearest `neighbours` of each input in `first` (n, p), the share that are so in `second` (n, q) too."""
    u, v = unit_rows(first), unit_rows(second)
    shared = [
        np.count_nonzero(_nearest(u, start, neighbours) & _nearest(v, start, neighbours), axis=1)
        for start in range(0, len(u), BLOCK)
    ]
    return np.asarray(np.concatenate(shared) / neighbours)


def _nearest(units: Float[np.ndarray, "n p"], start: int, count: int) -> Bool[np.ndarray, "b n"]:
    """Which inputs are among the `count` nearest of the block of inputs that begins at `start`."""
    cosines = np.round(units[start : start + BLOCK] @ units.T, DECIMALS)
    own = np.arange(len(cosines))
    cosines[own, start + own] = -np.inf
    last = np.partition(cosines, -count, axis=1)[:, -count, None]
    nearer, level = cosines > last, cosines == last
    places_left = count - np.count_nonzero(nearer, axis=1)[:, None]
    return np.asarray(nearer | (level & (np.cumsum(level, axis=1) <= places_left)))
