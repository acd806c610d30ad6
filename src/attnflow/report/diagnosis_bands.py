"""What a diagnosis repeats, batches or sequences, summed up as a median and a band of noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr
from jaxtyping import Float

LOW, HIGH = 0.1, 0.9
"""The band holds all but a tenth of the repeats on either side."""


@dataclasses.dataclass(frozen=True)
class Band:
    """The quantiles `low` (0.1), `middle` (0.5) and `high` (0.9) over the repeats; NaN where there is no value."""

    low: Float[np.ndarray, ...]
    middle: Float[np.ndarray, ...]
    high: Float[np.ndarray, ...]


def quantile_band(values: Float[np.ndarray, "s ..."]) -> Band:
    """The band of `values` (s, ...) over their s repeats; what is not finite does not count."""
    values = np.asarray(values, np.float64)
    seen = np.isfinite(values)
    some = seen.any(axis=0)
    rows = np.full((3, *values.shape[1:]), np.nan)
    if some.any():
        rows[:, some] = np.nanquantile(np.where(seen, values, np.nan)[:, some], (LOW, 0.5, HIGH), axis=0)
    return Band(*rows)


def repeated(layers: xr.Dataset) -> str:
    """The dimension that `layers` repeats: "batch" for Gaussian tokens, "sequence" for real input."""
    return "batch" if "batch" in layers.dims else "sequence"


def band(layers: xr.Dataset, name: str) -> Band:
    """The band of the variable `name` of `layers` over its repeats; a variable without repeats is its own band."""
    values = layers[name]
    over = repeated(layers)
    if over not in values.dims:
        alone = np.asarray(values.values, np.float64)
        return Band(alone, alone, alone)
    return quantile_band(values.transpose(over, ...).values)


def has_values(layers: xr.Dataset, name: str) -> bool:
    """Whether `layers` has a variable `name` with a finite number in it."""
    return name in layers and bool(np.isfinite(layers[name].values).any())


def repeats_in_words(layers: xr.Dataset) -> str:
    """What `layers` repeats: "20 batches of 8192 tokens", "400 sequences of 8 to 59 tokens"."""
    over = repeated(layers)
    count = int(layers.sizes[over])
    noun = over if count == 1 else {"batch": "batches", "sequence": "sequences"}[over]
    if "tokens" not in layers:
        return f"{count} {noun}"
    least, most = int(layers["tokens"].min()), int(layers["tokens"].max())
    return f"{count} {noun} of {least if least == most else f'{least} to {most}'} tokens"


def how_to_read(layers: xr.Dataset) -> str:
    """What the lines and the bands of a picture of `layers` are."""
    over = repeated(layers)
    if layers.sizes[over] == 1:
        return f"One {over}: no band of noise."
    pooled = " Dashed: the tokens of all sequences in one cloud." if "pooled_cov_trace" in layers else ""
    return f"Lines: medians; bands: from 10 % to 90 % of {repeats_in_words(layers)}.{pooled}"
