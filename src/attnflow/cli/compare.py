"""`attnflow compare`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._atomic import check_writable
from .._check import BadInput
from ..doors.compare import compare as tokens_beside
from ..doors.comparison import Comparison
from ..files.problem import Problem, read_problem
from ..flow.outcome import Status
from ..measures.gaussian import Gaussian
from ..measures.tokens import Tokens
from .clock import parse_times
from .codes import ExitCode
from .output import PICTURES, columns, emit_json, emit_tables, require_suffix, say

if TYPE_CHECKING:
    from rich.table import Table


def compare(
    path: Path, *, n: str, t1: float | None, times: str | None, out: Path | None, plot: Path | None, as_json: bool,
    strict: bool, options: Mapping[str, Any],
) -> ExitCode:  # fmt: skip
    """Draw tokens from the start of the problem file `path`, and run them beside the Gaussian flow.

    `n` are the numbers of tokens, "256,1024,4096". Raises BadInput, before any computation, when a file or an argument
    breaks a rule.
    """
    problem = read_problem(path)
    chosen = _clock(problem, t1, times) | dict(options)
    for option, file, known in (("--out", out, (".nc",)), ("--plot", plot, PICTURES)):
        if file is not None:
            require_suffix(option, file, known)
            check_writable(file)
    found = tokens_beside(problem.model, _start(problem), _numbers(n), **chosen)
    if out is not None:
        found.save(out)
        say(f"wrote {out}")
    if plot is not None:
        from ..report.overview import save

        save(found.plot(), plot)
        say(f"wrote {plot}")
    if as_json:
        emit_json(found.to_dict())
    else:
        emit_tables(_table(found))
    for line in found.verdict.splitlines():
        say(line)
    finished = all(len(samples) == found.repeats for samples in found.measured.values())
    if not finished:
        say("interrupted; the samples that were finished are kept")
        return ExitCode.INTERRUPTED
    ended = {sample.status for samples in found.measured.values() for sample in samples}
    if ended & {Status.NOT_CONVERGED, Status.BUDGET}:
        return ExitCode.NOT_FINISHED
    trusted = found.n.size and found.trusted_until(int(found.n[-1])) == float(found.run.requested[-1])
    return ExitCode.DONE if trusted or not strict else ExitCode.UNDETERMINED


def _start(problem: Problem) -> Gaussian:
    start = problem.start
    return Gaussian.from_tokens(start.points) if isinstance(start, Tokens) else start


def _clock(problem: Problem, t1: float | None, times: str | None) -> dict[str, Any]:
    if t1 is not None and times is not None:
        raise BadInput("`--t1` and `--times` exclude each other: both were given; the last of the times is the end.")
    if t1 is not None:
        return {"t1": t1}
    if times is not None:
        return {"ts": parse_times(times)}
    return {name: value for name, value in problem.options.items() if name in ("ts", "t1", "layers", "step")}


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f'`--n` must list whole numbers: {text!r} was found; give "256,1024,4096".') from None


def _table(found: Comparison) -> Table:
    """The largest errors over the times for each number of tokens, and what sampling alone costs."""
    headers = ("n", "trusted up to", "mean", "(sampling)", "covariance", "(sampling)", "sliced W", "(sampling)")
    table = columns(*headers, right=headers)
    for i, count in enumerate(found.n):
        until = found.trusted_until(int(count))
        cells = []
        for name in ("mean", "cov", "sliced"):
            cells += [f"{found.errors[name][i].max(initial=0.0):.3g}", f"{found.floors[name][i].max(initial=0.0):.3g}"]
        table.add_row(str(count), "never" if until is None else f"t = {until:.4g}", *cells)
    return table
