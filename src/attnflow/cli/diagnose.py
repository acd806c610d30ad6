"""`attnflow diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._atomic import check_writable
from ..doors.diagnosis.diagnose import diagnose as look
from ..doors.diagnosis.diagnosis import Diagnosis
from .cache import cache_folder
from .codes import ExitCode
from .output import PICTURES, columns, emit_json, emit_tables, require_suffix, say

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLE = Path(__file__).parents[1] / "files" / "passages.txt"
"""Passages that ship with the package."""


def diagnose(
    source: str | None, *, random_init: str | None, example_text: bool, out: Path | None, save: Path | None,
    plot: Path | None, as_json: bool, options: dict[str, Any],
) -> ExitCode:  # fmt: skip
    """Diagnose the network `source`, or one with random weights of the configuration `random_init`.

    `example_text` stands for the passages of the package; `out` is the HTML page, `save` the dataset, `plot` the
    picture; `options` go to the door. Raises BadInput, before any computation, when a file or an argument breaks a
    rule.
    """
    from .._check import BadInput

    if (source is None) == (random_init is None):
        raise BadInput(
            "Give one of PATH_OR_ID and `--random-init CONFIG`: "
            f"{'none' if source is None else 'both'} was given; for example `attnflow diagnose ./my-encoder`."
        )
    if example_text:
        if options["text"] is not None:
            raise BadInput("`--text` and `--example-text` exclude each other: both were given.")
        options = {**options, "text": EXAMPLE}
    for option, file, known in (
        ("--out", out, (".html", ".htm")),
        ("--save", save, (".nc",)),
        ("--plot", plot, PICTURES),
    ):
        if file is not None:
            require_suffix(option, file, known)
            check_writable(file)
    chosen = source if source is not None else random_init
    found = look(chosen, random_init=source is None, resume=cache_folder() / "diagnose", **options)
    _write(found, out=out, save=save, plot=plot)
    if as_json:
        emit_json(found.to_dict())
    else:
        emit_tables(_table(found))
    return _ended(found)


def _write(found: Diagnosis, *, out: Path | None, save: Path | None, plot: Path | None) -> None:
    if save is not None:
        found.save(save)
        say(f"wrote {save}")
    if plot is not None:
        from ..report.overview import save as draw

        draw(found.plot(), plot)
        say(f"wrote {plot}")
    if out is not None:
        found.to_html(out)
        say(f"wrote {out}")


def _ended(found: Diagnosis) -> ExitCode:
    say(found.verdict.line)
    for finding in found.verdict.findings:
        say(f"- {finding}")
    for note in found.notes:
        say(f"note: {note}")
    if found.status == "interrupted":
        done, asked = found.inputs["count"], found.inputs["asked"]
        say(f"interrupted after {done} of {asked} inputs; they are kept, and the same command goes on from there")
        return ExitCode.INTERRUPTED
    if found.gate is None:
        return ExitCode.DONE
    for trip in found.tripped:
        say(f"gate: {trip}")
    if not found.tripped:
        say(f"gate: {found.gate} does not hold: passed")
    return ExitCode.DIFFERS if found.tripped else ExitCode.DONE


def _table(found: Diagnosis) -> Table:
    """The measurements by layer."""
    from ..report.diagnosis_table import LAYER_HEADERS, layer_rows

    table = columns(*LAYER_HEADERS, right=LAYER_HEADERS)
    for row in layer_rows(found.layers):
        table.add_row(*row)
    return table
