"""What a diagnosis says of its network and its inputs beside the measurements."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .inputs import Inputs
from .looking import Seen
from .other import Other
from .verdict import DiagnosisVerdict
from .verdict_finding import measured

MODEL = (
    "name", "source", "family", "modality", "dim", "layers", "licence", "fingerprint", "parameters", "bounded_by_norm",
)  # fmt: skip
"""What is told of a network."""

KINDS = {"text": "passage", "images": "image", "states": "saved sequence"}


def input_facts(inputs: Inputs, seen: Seen, other: Other | None) -> dict[str, Any]:
    """What went through: kind, words and sizes of the `inputs` that were `seen`, the time, what `other` is."""
    count, spent = len(seen.rows), np.sum([row["seconds"] for row in seen.rows], axis=0)
    return {
        "kind": inputs.kind,
        "words": in_words(inputs, count),
        "count": count,
        "asked": len(inputs.labels),
        "overflow": {str(i): layer for i, layer in seen.overflow.items()},
        "size": inputs.sizes[0],
        "tokens": int(np.sum([row["tokens"] for row in seen.rows])),
        "seconds": {"forward": float(spent[0]), "measuring": float(spent[1])},
        "fingerprint": inputs.fingerprint,
        "path": inputs.path,
        "against": None if other is None else other.name,
        "against_source": None if other is None else other.source,
    }


def in_words(inputs: Inputs, count: int) -> str:
    """The first `count` of the `inputs` in words."""
    if inputs.kind == "gaussian":
        return f"{count} x {inputs.sizes[0]} Gaussian tokens (a probe)"
    return f"{count} {KINDS[inputs.kind]}{'s' * (count != 1)}"


def with_overflow(verdict: DiagnosisVerdict, seen: Seen, asked: int) -> DiagnosisVerdict:
    """The `verdict`, with the inputs out of those `asked` that grew beyond all bounds in front, if any were `seen`."""
    own = [layer for layer in seen.overflow.values() if layer >= 0]
    beside = len(seen.overflow) - len(own)
    texts = []
    if own:
        texts.append(f"overflow in {len(own)} of {asked} inputs (first at layer {min(own)})")
    if beside:
        texts.append(f"overflow in the other network on {beside} of {asked} inputs")
    if not texts:
        return verdict
    findings = [measured(f"{text}: numbers beyond 1e15, or none; these inputs are left out") for text in texts]
    return dataclasses.replace(verdict, line="; ".join([*texts, verdict.line]), findings=(*findings, *verdict.findings))
