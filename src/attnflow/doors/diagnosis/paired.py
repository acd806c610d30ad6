"""A comparison of two networks as a labelled dataset, as JSON-able data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ...diagnostics.pairing import Overlap, Pairing
from ...diagnostics.pairing_drift import Drift

CURVES = ("value", "low", "high")


def pairing_dataset(pairing: Pairing) -> xr.Dataset:
    """The numbers of `pairing`: cosine and overlap by item (dimension `sequence`), drift by layer, if it has them."""
    found, attributes = dict[str, Any](), dict[str, Any]()
    if pairing.cosine is not None:
        found["cosine"] = ("sequence", pairing.cosine, {"long_name": "cosine of the two outputs"})
    if pairing.overlap is not None:
        words = "share of the 10 nearest neighbours that is kept"
        found["overlap"] = ("sequence", pairing.overlap.each, {"long_name": words})
        attributes |= {"overlap10": pairing.overlap.mean, "overlap10_low": pairing.overlap.low}
        attributes["overlap10_chance"] = pairing.overlap.chance
    if pairing.drift is not None:
        words = "distance of the two states over the spread between inputs"
        found["drift"] = ("layer", pairing.drift.value, {"long_name": words})
        attributes["drift_start"] = pairing.drift.value.size if pairing.drift.start is None else pairing.drift.start
        for end in ("low", "high"):
            found[f"drift_{end}"] = ("layer", getattr(pairing.drift, end), {"long_name": "95 % bootstrap interval"})
    return xr.Dataset(found, attrs=attributes)


def pairing_to_dict(pairing: Pairing) -> dict[str, Any]:
    """All fields of `pairing` as lists, numbers and text."""
    overlap, drift = pairing.overlap, pairing.drift
    return {
        "inputs": pairing.inputs,
        "cosine": None if pairing.cosine is None else pairing.cosine.tolist(),
        "overlap": None if overlap is None else {**vars(overlap), "each": overlap.each.tolist()},
        "drift": None
        if drift is None
        else {name: getattr(drift, name).tolist() for name in CURVES} | {"start": drift.start},
        "identical": bool(pairing.identical),
        "notes": list(pairing.notes),
    }


def pairing_from_dict(data: Mapping[str, Any]) -> Pairing:
    """The comparison that `pairing_to_dict` made `data` of."""
    overlap, drift = data["overlap"], data["drift"]
    return Pairing(
        inputs=int(data["inputs"]),
        cosine=None if data["cosine"] is None else np.array(data["cosine"], dtype=np.float64),
        overlap=None if overlap is None else Overlap(**{**overlap, "each": np.array(overlap["each"])}),
        drift=None if drift is None else _drift(drift),
        identical=bool(data["identical"]),
        notes=tuple(data["notes"]),
    )


def _drift(data: Mapping[str, Any]) -> Drift:
    value, low, high = (np.array(data[name]) for name in CURVES)
    return Drift(value, low, high, start=data["start"])
