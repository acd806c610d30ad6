"""`Diagnosis`: what was measured in a network, what was predicted, and the verdict."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from ...diagnostics.pairing import Outputs, Pairing, pair_outputs
from ...files.provenance import provenance
from ...measures.sliced import unit_directions
from .dataset import layer_dataset
from .facts import MODEL, input_facts, with_overflow
from .fields import gate_values
from .gate import Gate, Trip
from .inputs import SHOWN, Inputs
from .looking import DIRECTIONS, Seen
from .other import Other
from .paired import pairing_dataset, pairing_to_dict
from .verdict import DiagnosisVerdict, make_verdict

SCHEMA = 1


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """A network looked at layer by layer.

    `layers`: the dataset of all measurements and predictions (dimensions layer, block, head, and batch or sequence);
    `verdict`: what it means, the first line by itself in `verdict.line`; `comparison`: the same inputs through another
    network, or None; `tripped`: the conditions of the gate that hold (empty: it stays open). `status` is "finished", or
    "interrupted" with the inputs that were done. `model` and `inputs` say what was looked at, `labels` names inputs.
    `item_state` (items, layers + 1, d) and `item_output` (items, p) are what another diagnosis is compared with: the
    mean token of each sequence, or some of the Gaussian tokens. `seed` drew everything; `notes` is what else to know;
    `gate` the text of the gate, or None; `provenance` the versions.

    Source: this package, docs/theory/diagnose.md.
    """

    layers: xr.Dataset
    verdict: DiagnosisVerdict
    comparison: Pairing | None
    tripped: tuple[Trip, ...]
    status: str
    model: dict[str, Any]
    inputs: dict[str, Any]
    labels: tuple[str, ...]
    item_state: Float[np.ndarray, "items layer d"]
    item_output: Float[np.ndarray, "items p"]
    seed: int
    notes: tuple[str, ...]
    gate: str | None
    provenance: dict[str, str]

    @functools.cached_property
    def heads(self) -> xr.Dataset:
        """The table of heads: spectra, ranks and trace ratios of B and V, head by head."""
        return self.layers[[name for name, value in self.layers.items() if value.dims == ("block", "head")]]

    def plot(self) -> Any:
        """A matplotlib Figure: one picture with noise bands: the layers, and first the comparison if there is one."""
        from ...report.diagnosis import diagnosis_figure

        return diagnosis_figure(self.layers, self.comparison_dataset, title=self.title)

    @property
    def title(self) -> str:
        """The name of the network and what went through it."""
        return f"{self.model['name']}: {self.inputs['words']}"

    @property
    def comparison_dataset(self) -> xr.Dataset | None:
        """The comparison as a labelled dataset."""
        return None if self.comparison is None else pairing_dataset(self.comparison)

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write one self-contained page to `path`: verdict, picture, table, theory, how to read it.

        Raises BadInput when `path` cannot be written.
        """
        from .page import write_page

        write_page(self, path)

    def to_dataset(self) -> xr.Dataset:
        """All of it as one labelled dataset."""
        found = self.layers.copy()
        found["item_state"] = (("item", "layer", "feature"), self.item_state)
        found["item_output"] = (("item", "output"), self.item_output)
        found["label"] = (("input",), np.array(self.labels, dtype=object))
        head = {
            name: getattr(self, name) for name in ("status", "model", "inputs", "seed", "notes", "gate", "provenance")
        }
        kind = {"kind": "diagnosis", "schema_version": SCHEMA, "verdict": self.verdict.to_dict()}
        if self.comparison is not None:
            kind["comparison"] = pairing_to_dict(self.comparison)
        found.attrs = {name: json.dumps(value) for name, value in (kind | head).items()}
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a NetCDF file, whole or not at all; `load` reads it, `diagnose(against=path)` compares with it.

        Raises BadInput when `path` cannot be written.
        """
        from ...files.results import write_dataset

        write_dataset(self.to_dataset(), path)

    def to_dict(self) -> dict[str, Any]:
        """Verdict, gate, comparison and the medians by layer as JSON-able data with a `schema_version`."""
        from .medians import medians

        return {
            "schema_version": SCHEMA,
            "status": self.status,
            "verdict": self.verdict.to_dict(),
            "tripped": [trip.to_dict() for trip in self.tripped],
            "gate": self.gate,
            "comparison": None if self.comparison is None else pairing_to_dict(self.comparison) | self._moved(),
            "model": self.model,
            "inputs": self.inputs,
            "layers": medians(self.layers),
            "seed": self.seed,
            "notes": list(self.notes),
            "provenance": self.provenance,
        }

    def item_label(self, index: int) -> str:
        """What item number `index` of a comparison is: a passage, a file, or a Gaussian token."""
        return f"Gaussian token {index}" if self.inputs["kind"] == "gaussian" else self.labels[index]

    @property
    def command(self) -> str:
        """The command that makes this diagnosis again, as far as it can be written."""
        from .page import command_of

        return command_of(self.model, self.inputs, self.seed)

    def _moved(self) -> dict[str, Any]:
        """The inputs of the comparison that moved most."""
        if self.comparison is None:
            return {}
        rows = [dataclasses.asdict(m) | {"label": self.item_label(m.index)} for m in self.comparison.moved()]
        return {"moved": rows}

    def __repr__(self) -> str:
        """The verdict behind one line: network, inputs, status."""
        return f"Diagnosis({self.title}; {self.status})\n{self.verdict.line}"


def assemble(
    encoder: Any, inputs: Inputs, seen: Seen, *, other: Other | None, gate: Gate | None, seed: int
) -> Diagnosis:
    """The diagnosis out of what was `seen` of the `inputs` in `encoder`.

    `other` is what it is compared with, `gate` what is to be watched, `seed` the seed of all.
    """
    rows = seen.rows
    layers = layer_dataset(encoder, inputs, rows, np.asarray(unit_directions(encoder.dim, DIRECTIONS, seed)))
    item_state = np.concatenate([row["item_state"] for row in rows])
    item_output = np.concatenate([row["item_output"] for row in rows])
    compared = None
    if other is not None:
        both = [row for row in rows if "other_state" in row]
        there = [np.concatenate([row[name] for row in both]) for name in ("other_output", "other_state")]
        compared = pair_outputs(Outputs(item_output, item_state), Outputs(*there), seed=seed)
    model = {name: getattr(encoder, name) for name in MODEL}
    verdict = with_overflow(make_verdict(layers, compared, model | {"input": inputs.kind}), seen, len(inputs.labels))
    labels = tuple(inputs.labels[i] for i in seen.done)
    return Diagnosis(
        layers=layers, verdict=verdict, comparison=compared,
        tripped=() if gate is None else gate.tripped(gate_values(layers, compared)),
        status="interrupted" if seen.interrupted else "finished", model=model,
        inputs=input_facts(inputs, seen, other), item_state=item_state, item_output=item_output, seed=seed,
        labels=labels if inputs.kind == "gaussian" else tuple(label[:SHOWN] for label in labels),
        notes=(*encoder.notes, *inputs.notes), gate=None if gate is None else str(gate),
        provenance=provenance(more=("torch", "transformers")),
    )  # fmt: skip
