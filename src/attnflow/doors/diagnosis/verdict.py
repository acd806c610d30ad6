"""The verdict of a diagnosis: one line, and below it short sentences with what each rests on.

Source: this package, docs/diagnose-fields.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import xarray as xr

from ...diagnostics.pairing import Pairing
from .verdict_finding import Finding, Part
from .verdict_layers import concentration, gaussianity, growth, massive, population
from .verdict_pairs import differences
from .verdict_theory import sharpness, sign_conditions, trust

PROBE = "on Gaussian tokens (a probe, not your data): "
QUIET = "no collapse, no concentration"


@dataclasses.dataclass(frozen=True)
class DiagnosisVerdict:
    """What a diagnosis means: one `line` first, then the `findings`, short sentences with what each rests on."""

    line: str
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        """The line."""
        return self.line

    def to_dict(self) -> dict[str, Any]:
        """Line and findings as JSON-able data."""
        findings = [{"text": finding.text, "kind": finding.kind.value} for finding in self.findings]
        return {"line": self.line, "findings": findings}


def make_verdict(layers: xr.Dataset, comparison: Pairing | None, info: Mapping[str, Any]) -> DiagnosisVerdict:
    """The verdict on the dataset `layers` of a diagnosis, and on the `comparison` with another model if there is one.

    `info` says what was looked at: `input` ("gaussian", "text", "images" or "states"), `bounded_by_norm`, `dim`.

    Source: this package, docs/diagnose-fields.md.
    """
    large = massive(layers)
    shapes = (growth(layers, bounded_by_norm=bool(info["bounded_by_norm"])), concentration(layers))
    theory = trust(layers)
    below = (gaussianity(layers), theory, sharpness(layers), sign_conditions(layers, dim=int(info["dim"])))
    compared = Part() if comparison is None else differences(comparison)
    shown = tuple(clause for part in shapes for clause in part.clauses) or large.clauses or (QUIET,)
    clauses = compared.clauses or (*shown, *theory.clauses)
    last = population(layers, dim=int(info["dim"]))
    findings = tuple(finding for part in (compared, *shapes, large, *below, last) for finding in part.findings)
    return DiagnosisVerdict((PROBE if info["input"] == "gaussian" else "") + "; ".join(clauses), findings)


def verdict_from_dict(data: Mapping[str, Any]) -> DiagnosisVerdict:
    """The verdict that `DiagnosisVerdict.to_dict` made `data` of."""
    from .verdict_finding import Kind

    return DiagnosisVerdict(
        str(data["line"]), tuple(Finding(str(item["text"]), Kind(item["kind"])) for item in data["findings"])
    )
