"""The dataset of a diagnosis as plain lists: the median over the inputs, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

LONG = ("eigenvalue", "level", "rank")


def medians(layers: xr.Dataset) -> dict[str, list[Any]]:
    """Each variable of `layers` that has a layer or a block, as the median over the inputs; no value is None.

    Spectra, marginals and massive channels are too long for it: they are in the dataset.
    """
    over = "batch" if "batch" in layers.dims else "sequence"
    found = {}
    for name, values in layers.items():
        if not {"layer", "block"} & set(values.dims) or set(LONG) & set(values.dims):
            continue
        found[str(name)] = _listed(_median(values, over))
    return found


def _median(values: xr.DataArray, over: str) -> np.ndarray:
    array = values.to_numpy()
    if over not in values.dims:
        return array
    if array.dtype == bool:
        return np.asarray(array.mean(axis=0))
    known = ~np.isnan(array).all(axis=0)
    found = np.full(array.shape[1:], np.nan)
    found[known] = np.nanmedian(array[:, known], axis=0)
    return found


def _listed(array: np.ndarray) -> list[Any]:
    if array.dtype.kind not in "fiub":
        return [str(x) for x in array.ravel()]
    return [_listed(x) if x.ndim else (None if np.isnan(x) else x.item()) for x in array]
