"""A plan, its replay and its costs in words."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import numpy as np

from ...reachability.replay import Replay

if TYPE_CHECKING:
    from .plan import Plan

LARGE = 128
"""Above this dimension a text computes no energies; they are there once something else has asked for them."""


def words(plan: Plan) -> str:
    """The plan, one line for each thing that is known."""
    return aligned(facts(plan))


def aligned(rows: dict[str, str]) -> str:
    """Names and texts of `rows` in two columns."""
    width = max(len(name) for name in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def facts(plan: Plan) -> dict[str, str]:
    """What is known of a plan, by name, as text."""
    rows = {
        "status": f"{plan.status.value}: {plan.reason.partition(': ')[2]}",
        "plan": f"{plan.method} ({plan.basis.value}), T = {plan.time:g}, d = {plan.start.dim}",
        "reachable": plan.reachability.reason,
    }
    if plan.start.dim <= LARGE or "energy" in vars(plan):
        e = plan.energy
        rows["energies"] = f"kinetic {e.kinetic:.6g}, of V {e.control:.6g}, of A {e.feedforward:.6g}"
        rows["largest |V|"] = f"{plan.largest_control:.6g}"
        rows["conditioning"] = f"at most {plan.conditioning:.4g} on the way"
    rows |= {name.replace("_", " "): text for name, value in plan.details.items() if (text := _text(value))}
    rows |= {f"note {i}" if len(plan.notes) > 1 else "note": note for i, note in enumerate(plan.notes, 1)}
    return rows


def replay_facts(replay: Replay) -> dict[str, str]:
    """What an independent replay found, by name, as text."""
    if not replay.complete:
        return {"replay": f"stopped at t = {replay.time:g} after {replay.evaluations} evaluations ({replay.method})"}
    rows = {
        "replay": (
            f"relative error {replay.mean_error:.1e} (mean), {replay.cov_error:.1e} (covariance), "
            f"{replay.worst_direction:.1e} (worst direction), Bures-Wasserstein distance "
            f"{replay.bures_wasserstein:.1e} ({replay.method}, rtol {replay.rtol:g})"
        )
    }
    if replay.tokens is not None:
        t = replay.tokens
        rows["tokens"] = (
            f"n = {t.n}: relative error {t.mean_error:.1e} (mean), {t.cov_error:.1e} (covariance); sampling alone "
            f"{t.mean_floor:.1e}, {t.cov_floor:.1e}"
        )
    return rows


def _text(value: Any) -> str:
    """A detail in few words; nothing for an array of more than eight numbers, or what is nested."""
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, (str, enum.Enum)):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, float, np.number)):
        return f"{value:.6g}"
    return _listed(np.asarray(value, dtype=object).ravel())


def _listed(entries: np.ndarray) -> str:
    if not 0 < entries.size <= 8 or not all(isinstance(x, (int, float, str, np.number)) for x in entries):
        return ""
    return ", ".join(x if isinstance(x, str) else f"{x:.4g}" for x in entries)
