"""`attnflow reproduce`."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..reproduce.probe import Probe
from ..reproduce.registry import TARGETS, Target, find, run
from .codes import ExitCode
from .interrupt import leaving_at_once
from .output import columns, emit_json, emit_tables, say

if TYPE_CHECKING:
    from rich.table import Table

    from ..reproduce.check import Check, Reproduction

JSON_SCHEMA = 1


def show_targets(*, json: bool) -> ExitCode:
    """Print what can be reproduced."""
    if json:
        listed = [{"name": t.name, "title": t.title, "checks": t.checks} for t in TARGETS]
        emit_json({"schema_version": JSON_SCHEMA, "targets": listed})
    else:
        table = columns("target", "what it shows", "what is checked")
        for target in TARGETS:
            table.add_row(target.name, target.title, target.checks)
        emit_tables(table)
    return ExitCode.DONE


def reproduce(name: str, folder: Path | None, probe: Probe, *, json: bool) -> ExitCode:
    """Compute the target `name`, write its files into `folder` (default: out/NAME), and print its checks.

    `probe` is the network and how many tokens go through it, for targets that look at one.

    Raises BadInput for an unknown name, a folder that cannot be written, and a network that cannot be had.
    """
    with leaving_at_once():
        target = find(name)
        importlib.import_module(target.module)
    # half a figure is none: an interrupt leaves, and files are written whole or not at all; behind a progress bar it
    # has to set the terminal right first
    with contextlib.nullcontext() if target.takes_model else leaving_at_once():
        result = run(target, Path("out") / name if folder is None else folder, probe)
    for file in result.files:
        say(f"wrote {file}")
    if json:
        emit_json(_listed(target, result))
    else:
        emit_tables(_table(result.checks))
    failed = sum(not check.ok for check in result.checks)
    say(f"{len(result.checks) - failed} of {len(result.checks)} checks agree with their references")
    return ExitCode.DONE if result.ok else ExitCode.DIFFERS


def _listed(target: Target, result: Reproduction) -> dict[str, Any]:
    return {
        "schema_version": JSON_SCHEMA,
        "target": target.name,
        "title": target.title,
        "ok": result.ok,
        "checks": [check.to_dict() for check in result.checks],
        "files": [str(file) for file in result.files],
    }


def _table(checks: tuple[Check, ...]) -> Table:
    from rich.text import Text

    table = columns("check", "value", "error", "tolerance", "", right=("error", "tolerance"))
    for check in checks:
        verdict = Text("ok", style="green") if check.ok else Text("DIFFERS", style="bold red")
        kind = " (relative)" if check.relative else ""
        table.add_row(check.name, _short(check.value), f"{check.error:.1e}", f"{check.tolerance:.0e}{kind}", verdict)
    return table


def _short(value: Any) -> str:
    """A value in few digits; nested lists row by row."""
    if isinstance(value, list):
        return "[" + ", ".join(_short(entry) for entry in value) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
