"""`attnflow falsify`."""

from __future__ import annotations

from pathlib import Path

from .._atomic import check_writable, replacing
from .._check import BadInput
from ..doors.long_run.falsify import falsify as look
from .codes import ExitCode
from .output import emit, emit_json, say


def falsify(
    claim: str, conclusion: str | None, *, dim: int, budget: float, seed: int, as_json: bool, as_latex: bool,
    script: Path | None, strict: bool,
) -> ExitCode:  # fmt: skip
    """Look for a counterexample to `claim`; the options are those of the command.

    Raises BadInput for text that is no claim, options that exclude each other, a script that cannot be written.
    """
    if as_json and as_latex:
        raise BadInput("`--json` and `--latex` exclude each other: both were given; leave one out.")
    if script is not None:
        check_writable(script)
    found = look(claim, conclusion, d=dim, budget=budget, seed=seed)
    if as_json:
        emit_json(found.to_dict())
    elif as_latex:
        emit(found.to_latex())
    else:
        emit(f"{found}\n")
    if script is not None and found.counterexample is not None:
        with replacing(script) as partial:
            partial.write_text(found.to_script(), encoding="utf-8")
        say(f"wrote {script}; it needs SymPy and nothing else")
    elif script is not None:
        say(f"no counterexample, so {script} was not written")
    if found.interrupted:
        say("interrupted; what was tried is reported")
        return ExitCode.INTERRUPTED
    return ExitCode.UNDETERMINED if strict and found.counterexample is None else ExitCode.DONE
