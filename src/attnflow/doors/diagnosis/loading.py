"""A diagnosis back from its file."""

from __future__ import annotations

from typing import Any

import xarray as xr

from .diagnosis import Diagnosis
from .fields import gate_values
from .gate import parse_gate
from .paired import pairing_from_dict
from .verdict import verdict_from_dict

OWN = ("item_state", "item_output", "label")
PLAIN = ("status", "model", "inputs", "seed", "gate", "provenance")


def from_dataset(dataset: xr.Dataset, attributes: dict[str, Any]) -> Diagnosis:
    """The diagnosis that `Diagnosis.to_dataset` made `dataset` of; `attributes` are its decoded attributes."""
    layers = dataset.drop_vars(OWN).drop_attrs(deep=False)
    layers["trusted"] = layers["trusted"].astype(bool)
    compared = attributes.get("comparison")
    comparison = None if compared is None else pairing_from_dict(compared)
    gate = attributes["gate"]
    return Diagnosis(
        layers=layers,
        verdict=verdict_from_dict(attributes["verdict"]),
        comparison=comparison,
        tripped=() if gate is None else parse_gate(gate).tripped(gate_values(layers, comparison)),
        labels=tuple(str(label) for label in dataset["label"].to_numpy()),
        item_state=dataset["item_state"].to_numpy(),
        item_output=dataset["item_output"].to_numpy(),
        notes=tuple(attributes["notes"]),
        **{name: attributes[name] for name in PLAIN},
    )
