"""Single numbers of the layers of a diagnosis: medians over its sequences or batches."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float


def repeats(layers: xr.Dataset) -> str:
    """The dimension of `layers` over which it repeats: batch for the probe, sequence for real input."""
    return "batch" if "batch" in layers.dims else "sequence"


def rows(layers: xr.Dataset, name: str) -> Float[np.ndarray, "s ..."]:
    """The variable `name` of `layers`, one row for each sequence or batch."""
    values, over = layers[name], repeats(layers)
    if over not in values.dims:
        return np.asarray(values.to_numpy()[None], dtype=np.float64)
    return np.asarray(values.transpose(over, ...).to_numpy(), dtype=np.float64)


def median(values: Float[np.ndarray, "s ..."]) -> np.ndarray:
    """The median over the first axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values).all(axis=0)
    found = np.full(values.shape[1:], np.nan)
    found[known] = np.nanmedian(values[:, known], axis=0)
    return found


def path(layers: xr.Dataset, name: str) -> Float[np.ndarray, " l1"]:
    """The median of the variable `name` of `layers`, layer by layer (or block by block)."""
    return median(rows(layers, name))


def average(layers: xr.Dataset, name: str) -> Float[np.ndarray, " l1"]:
    """The mean of the variable `name` of `layers`, layer by layer: a median says little of rare tokens."""
    return np.asarray(rows(layers, name).mean(axis=0))


def has(layers: xr.Dataset, pooled: bool, predictions: bool) -> bool:
    """Whether `layers` has pooled values, if they are asked for, and predictions, if they are."""
    if pooled:
        return "pooled_effective_rank" in layers and "pooled_token_cosine" in layers
    return not predictions or bool(predicted(layers).any())


def last_over_first(layers: xr.Dataset, name: str) -> float:
    """The last value of the path of `name` over its first; NaN over zero."""
    values = path(layers, name)
    return float(values[-1] / values[0]) if values[0] > 0 else np.nan


def largest_step(layers: xr.Dataset) -> float:
    """The largest ratio of the traces of two layers that follow one another; NaN when there is none."""
    values = path(layers, "cov_trace")
    if values.size < 2 or not np.all(values[:-1] > 0):
        return np.nan
    return float(np.max(values[1:] / values[:-1]))


def mean_share(layers: xr.Dataset) -> float:
    """|mean|^2 / (|mean|^2 + trace) at the last layer; NaN when all tokens are zero."""
    norm, trace = path(layers, "mean_norm")[-1], path(layers, "cov_trace")[-1]
    whole = np.square(norm) + trace
    return float(np.square(norm) / whole) if whole > 0 else np.nan


def excess(layers: xr.Dataset) -> Float[np.ndarray, "s l1"]:
    """The sliced distance in multiples of its floor, for each sequence or batch and layer."""
    distance, floor = rows(layers, "sliced_w2_scaled"), rows(layers, "sliced_w2_floor")
    return np.asarray(np.divide(distance, floor, out=np.full_like(distance, np.nan), where=floor > 0))


def largest_excess(layers: xr.Dataset) -> float:
    """The largest of all layers of the median `excess`."""
    return float(np.fmax.reduce(median(excess(layers))))


def best_r2(layers: xr.Dataset, suffix: str = "") -> Float[np.ndarray, "s b"]:
    """R^2 with the correction for finitely many keys where there is one, else mean-field; "_ceiling" is a `suffix`."""
    corrected, plain = rows(layers, f"r2_finite_n{suffix}"), rows(layers, f"r2{suffix}")
    return np.asarray(np.where(np.isnan(rows(layers, "r2_finite_n")), plain, corrected))


def predicted(layers: xr.Dataset) -> np.ndarray:
    """Whether each block has a prediction."""
    return np.asarray(~np.isnan(median(best_r2(layers))))


def trusted(layers: xr.Dataset) -> np.ndarray:
    """Whether the prediction of each block holds over all sequences or batches together."""
    if "valid" in layers:
        return np.asarray(layers["valid"].to_numpy().astype(bool))
    known = ~np.isnan(best_r2(layers))
    held = np.count_nonzero(known & (rows(layers, "trusted") > 0), axis=0)
    return np.asarray((held > 0) & (2 * held >= np.count_nonzero(known, axis=0)))


def trusted_layers(layers: xr.Dataset) -> float:
    """The number of trusted blocks."""
    return float(trusted(layers).sum())


def smallest_r2(layers: xr.Dataset) -> float:
    """The smallest of all blocks with a prediction of the median R^2."""
    return float(np.nanmin(median(best_r2(layers))))


def logit_excess(layers: xr.Dataset) -> Float[np.ndarray, "b h"]:
    """The median logit variance of each head in multiples of 2 log n; NaN without a prediction."""
    return median(rows(layers, "logit_variance") / rows(layers, "two_log_n")[..., None])


def largest_logit_excess(layers: xr.Dataset) -> float:
    """The largest of all heads of the median `logit_excess`."""
    return float(np.nanmax(logit_excess(layers)))
