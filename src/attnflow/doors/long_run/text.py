"""A verdict in words, as JSON-able data, and as LaTeX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...asymptotics.regime import Attempt, Hypothesis
from ...asymptotics.statements import STATEMENTS
from ...files.description import describe, describe_gaussian

if TYPE_CHECKING:
    from .verdict import BoundedBlowUp, Verdict

JSON_SCHEMA = 1
SMALL = 4


def words(verdict: Verdict) -> str:
    """The verdict, one line for each thing that is known."""
    rows = facts(verdict)
    width = max(len(name) for name in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def facts(verdict: Verdict) -> dict[str, str]:
    """What is known, by name, as text."""
    v = verdict
    rows = {"covariance": f"{v.covariance} ({v.basis})" + _because(v.reason), "rests on": _short(v.statement)}
    for h in v.hypotheses:
        rows[f"  {h.name}"] = f"{h.held.value}{', exactly' if h.exact else ''}, margin {h.margin:.4g}"
    if v.blow_up is not None:
        rows["blow-up"] = _blow_up(v.blow_up)
    if v.never:
        rows["no blow-up"] = v.never
    if v.covariance_limit is not None:
        rows["limit"] = _matrix(v.covariance_limit) + (f", rank {v.rank}" if v.rank is not None else "")
    if v.equilibrium is not None:
        rows["equilibrium"] = str(v.equilibrium)
    if v.rate is not None:
        rows["rate"] = f"e^(-{v.rate:.6g} t)" if v.covariance_limit is not None else f"e^({v.rate:.6g} t)"
    if v.cycle is not None:
        leading = float(np.abs(v.cycle.multipliers).max(initial=0.0))
        rows["period"] = f"{v.cycle.period:.12g}, leading Floquet multiplier {leading:.4g}"
    rows["mean"] = f"{v.mean} ({v.mean_basis})" + _because(v.mean_reason)
    rows["mean rests on"] = _short(v.mean_statement)
    for h in v.mean_hypotheses:
        rows[f"  {h.name} "] = f"{h.held.value}{', exactly' if h.exact else ''}, margin {h.margin:.4g}"
    if v.mean_limit is not None:
        rows["mean limit"] = _vector(v.mean_limit)
    return rows


def _short(statement: str) -> str:
    """The name of a statement, its number in the paper and the correction, without what it says."""
    return next((s.brief for s in STATEMENTS if str(s) == statement), statement)


def tried(verdict: Verdict) -> dict[str, str]:
    """The theorems that did not decide, by name, and why."""
    return {attempt.statement.split(" (")[0].split(":")[0]: _why(attempt) for attempt in verdict.tried}


def _why(attempt: Attempt) -> str:
    note = f" [known: {attempt.note}]" if attempt.note and attempt.reason != attempt.note else ""
    return f"{attempt.reason or 'its hypotheses hold, but it does not decide'}{note}"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _blow_up(blow_up: BoundedBlowUp) -> str:
    b = blow_up
    if b.estimate is None:
        head = "in finite time"
    else:
        head = f"at {b.estimate:.12g}, in [{b.lower:.12g}, {b.upper:.12g}] ({b.basis})"
    if b.bounds is None:
        return head
    return "; ".join([head, *(str(bound) for bound in b.bounds.bounds if bound.value is not None)])


def _matrix(matrix: np.ndarray) -> str:
    if len(matrix) > SMALL:
        return f"a {len(matrix)} x {len(matrix)} matrix of trace {np.trace(matrix):.8g}"
    return "[" + ", ".join(_vector(row) for row in matrix) + "]"


def _vector(vector: np.ndarray) -> str:
    if len(vector) > 2 * SMALL:
        return f"a vector of norm {np.linalg.norm(vector):.8g}"
    return "[" + ", ".join(f"{x:.8g}" for x in vector + 0.0) + "]"


def to_dict(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON-able data; see `Verdict.to_dict`."""
    v = verdict
    return {
        "schema_version": JSON_SCHEMA,
        "kind": "long run",
        "covariance": {
            "regime": v.covariance.value,
            "basis": v.basis.value,
            "statement": v.statement,
            "hypotheses": [_hypothesis(h) for h in v.hypotheses],
            "reason": v.reason,
            "limit": _listed(v.covariance_limit),
            "rank": v.rank,
            "rate": v.rate,
            "period": v.period,
            "never_blows_up": v.never or None,
            "blow_up": None if v.blow_up is None else _blow_up_dict(v.blow_up),
            "equilibrium": _equilibrium(v),
        },
        "mean": {
            "regime": v.mean.value,
            "basis": v.mean_basis.value,
            "statement": v.mean_statement,
            "hypotheses": [_hypothesis(h) for h in v.mean_hypotheses],
            "reason": v.mean_reason,
            "limit": _listed(v.mean_limit),
        },
        "tried": [
            {"statement": a.statement, "hypotheses": [_hypothesis(h) for h in a.hypotheses], "note": a.note}
            for a in v.tried
        ],
        "model": describe(v.model),
        "start": None if v.start is None else describe_gaussian(v.start),
        "seed": v.seed,
        "provenance": v.provenance,
    }


def _hypothesis(h: Hypothesis) -> dict[str, Any]:
    return {"name": h.name, "held": h.held.value, "margin": _number(h.margin), "exact": h.exact}


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _listed(array: np.ndarray | None) -> Any:
    return None if array is None else array.tolist()


def _blow_up_dict(blow_up: BoundedBlowUp) -> dict[str, Any]:
    bounds = None
    if blow_up.bounds is not None:
        bounds = [
            {"name": b.name, "side": b.side.value, "value": _number(b.value), "statement": b.statement}
            for b in blow_up.bounds.bounds
        ]
    return {
        "lower": blow_up.lower,
        "upper": blow_up.upper,
        "estimate": blow_up.estimate,
        "basis": blow_up.basis.value,
        "statement": blow_up.statement,
        "bounds": bounds,
    }


def _equilibrium(verdict: Verdict) -> dict[str, Any] | None:
    e = verdict.equilibrium
    if e is None:
        return None
    return {
        "error_bound": e.error_bound,
        "certificate": e.certificate.value,
        "residual": e.residual,
        "stable": e.stable,
        "abscissa": e.abscissa,
        "mean_stable": e.mean_stable,
        "mean_abscissa": e.mean_abscissa,
    }


def to_latex(verdict: Verdict) -> str:
    """The verdict as a LaTeX description list; see `Verdict.to_latex`."""
    rows = [rf"  \item[{_escaped(name.strip())}] {_escaped(text)}" for name, text in facts(verdict).items()]
    rows += [rf"  \item[not {_escaped(name)}] {_escaped(text)}" for name, text in tried(verdict).items()]
    return "\n".join([r"\begin{description}", *rows, r"\end{description}"]) + "\n"


def _escaped(text: str) -> str:
    table = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    table |= {character: "\\" + character for character in "&%$#_{}"}
    table |= {"<": r"\ensuremath{<}", ">": r"\ensuremath{>}"}
    return "".join(table.get(character, character) for character in text)
