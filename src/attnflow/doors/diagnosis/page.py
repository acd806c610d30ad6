"""A diagnosis as one HTML page."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..._atomic import replacing
from ...report.html_diagnosis import DiagnosisPage, diagnosis_html
from .fields import FIELDS, gate_values

if TYPE_CHECKING:
    from .diagnosis import Diagnosis

MOVED = 10
SHORT = 12
"""Characters of a fingerprint that are shown."""


def write_page(found: Diagnosis, path: str | os.PathLike[str]) -> None:
    """Write `found` as one self-contained page to `path`.

    Raises BadInput when it cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(diagnosis_html(page_of(found)), encoding="utf-8")


def page_of(found: Diagnosis) -> DiagnosisPage:
    """What the page of `found` says."""
    model = found.model
    return DiagnosisPage(
        verdict=found.verdict.line,
        findings=[str(finding) for finding in found.verdict.findings],
        layers=found.layers.assign_attrs(input=found.inputs["kind"]),
        model={
            "name": model["name"],
            "source": model["source"],
            "family": f"{model['family']}, {model['layers']} blocks of width {model['dim']}",
            "parameters": f"{model['parameters']:,}",
            "licence": model["licence"] or "not stated",
            "fingerprint": model["fingerprint"][:SHORT],
        },
        inputs=_inputs(found),
        provenance={**found.provenance, "seed": str(found.seed)},
        comparison=found.comparison_dataset,
        comparison_facts=_comparison(found),
        moved=_moved(found),
        gate=[str(trip) for trip in found.tripped],
        notes=found.notes,
        command=found.command,
    )


def _inputs(found: Diagnosis) -> dict[str, str]:
    facts = {"what": found.inputs["words"], "tokens": f"{found.inputs['tokens']:,} in all"}
    seconds = found.inputs["seconds"]
    facts["time"] = f"{seconds['forward']:.3g} s in the network, {seconds['measuring']:.3g} s of measuring"
    if found.status == "interrupted":
        facts["interrupted"] = f"{found.inputs['count']} of {found.inputs['asked']} inputs were done"
    if found.gate is not None:
        facts["gate"] = f"{found.gate} ({'tripped' if found.tripped else 'passed'})"
    return facts


def _comparison(found: Diagnosis) -> dict[str, str]:
    if found.comparison is None:
        return {}
    values = gate_values(found.layers, found.comparison)
    known = {name: values[name] for name, field in FIELDS.items() if field.of_pairs is not None and name in values}
    facts = {"against": str(found.inputs["against"])}
    facts |= {name: f"{value:.4g} ({FIELDS[name].words})" for name, value in known.items()}
    return facts | {f"note {i}": note for i, note in enumerate(found.comparison.notes, 1)}


def _moved(found: Diagnosis) -> list[tuple[str, float, float]]:
    if found.comparison is None:
        return []
    nothing = float("nan")
    return [
        (
            found.item_label(moved.index),
            nothing if moved.cosine is None else moved.cosine,
            nothing if moved.overlap is None else moved.overlap,
        )
        for moved in found.comparison.moved(MOVED)
    ]


def command_of(model: dict[str, Any], inputs: dict[str, Any], seed: int) -> str:
    """The command that makes a diagnosis of `model` on `inputs` with `seed` again, as far as it can be written."""
    words = ["attnflow diagnose", model["source"]]
    if inputs["kind"] == "gaussian":
        words.append(f"--tokens {inputs['size']} --batches {inputs['asked']}")
    elif inputs["kind"] == "text":
        words.append(f"--text {inputs['path'] or 'PASSAGES'}")
    elif inputs["kind"] == "images":
        words.append(f"--images {inputs['path'] or 'FOLDER'}")
    if inputs["against_source"] is not None:
        words.append(f"--against {inputs['against_source']}")
    return " ".join([*words, f"--seed {seed}"])
