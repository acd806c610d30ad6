"""A comparison of two models as JSON-able data, and as a labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .pairing import Overlap, Pairing
from .pairing_drift import Drift

if TYPE_CHECKING:
    import xarray as xr

CURVES = ("value", "low", "high")


def pairing_to_dict(pairing: Pairing) -> dict[str, Any]:
    """All fields of `pairing` as lists, numbers and text."""
    overlap, drift = pairing.overlap, pairing.drift
    return {
        "inputs": pairing.inputs,
        "cosine": None if pairing.cosine is None else pairing.cosine.tolist(),
        "overlap": None if overlap is None else {**vars(overlap), "each": overlap.each.tolist()},
        "drift": None if drift is None else {name: getattr(drift, name).tolist() for name in CURVES},
        "drift_start": None if drift is None else drift.start,
        "identical": pairing.identical,
        "notes": list(pairing.notes),
    }


def pairing_from_dict(data: Mapping[str, Any]) -> Pairing:
    """The comparison that `pairing_to_dict` made `data` of."""
    overlap, drift = data["overlap"], data["drift"]
    return Pairing(
        inputs=int(data["inputs"]),
        cosine=None if data["cosine"] is None else np.array(data["cosine"], dtype=np.float64),
        overlap=None if overlap is None else Overlap(**{**overlap, "each": np.array(overlap["each"])}),
        drift=None
        if drift is None
        else Drift(start=data["drift_start"], **{name: np.array(drift[name]) for name in CURVES}),
        identical=bool(data["identical"]),
        notes=tuple(data["notes"]),
    )


def pairing_dataset(pairing: Pairing) -> xr.Dataset:
    """Cosine and overlap by sequence, drift by layer, as far as `pairing` has them; single numbers stand in `attrs`.

    The attribute `drift_start` is the number of blocks plus 1 when the drift starts nowhere.
    """
    import xarray as xr

    arrays: dict[str, tuple[str, np.ndarray, dict[str, str]]] = {}
    attrs: dict[str, Any] = {"inputs": pairing.inputs, "identical": int(pairing.identical)}
    if pairing.cosine is not None:
        arrays["cosine"] = ("sequence", pairing.cosine, {"long_name": "cosine of the two outputs"})
    if (overlap := pairing.overlap) is not None:
        arrays["overlap"] = ("sequence", overlap.each, {"long_name": "share of the nearest neighbours that is kept"})
        attrs |= {"overlap10": overlap.mean, "overlap10_low": overlap.low, "overlap10_high": overlap.high}
        attrs["overlap10_chance"] = overlap.chance
    coords = {"sequence": np.arange(pairing.inputs)}
    if (drift := pairing.drift) is not None:
        words = "distance of the states of the two models over the spread between inputs"
        arrays["drift"] = ("layer", drift.value, {"long_name": words})
        arrays["drift_low"] = ("layer", drift.low, {"long_name": "lower end of its 95 % bootstrap interval"})
        arrays["drift_high"] = ("layer", drift.high, {"long_name": "upper end of its 95 % bootstrap interval"})
        coords["layer"] = np.arange(drift.value.size)
        attrs["drift_start"] = drift.value.size if drift.start is None else drift.start
    return xr.Dataset(arrays, coords=coords, attrs=attrs)
