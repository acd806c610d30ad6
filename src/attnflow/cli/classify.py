"""`attnflow classify`."""

from __future__ import annotations

from pathlib import Path

from .._atomic import check_writable
from .._check import BadInput
from ..doors.long_run.classify import classify as long_run
from ..doors.long_run.text import facts as known
from ..doors.long_run.text import tried
from ..doors.long_run.verdict import Verdict
from ..files.problem import read_problem
from ..measures.gaussian import Gaussian
from ..measures.tokens import Tokens
from ..transformer.depth import Depth
from .codes import ExitCode
from .output import PICTURES, emit, emit_json, emit_tables, facts, require_suffix, say


def classify(
    path: Path, *, every_start: bool, budget: float, seed: int, plot: Path | None, basin: Path | None, as_json: bool,
    latex: bool, strict: bool,
) -> ExitCode:  # fmt: skip
    """The long run of the problem file `path`, from its start or, with `every_start`, from all of them.

    Raises BadInput, before any computation, when the file or an argument breaks a rule.
    """
    problem = read_problem(path)
    if isinstance(problem.model, Depth):
        raise BadInput(f"`{path}` must have constant parameters: it has a [depth]; classify one of its models.")
    if as_json and latex:
        raise BadInput("`--json` and `--latex` exclude each other: both were given; remove one.")
    for option, file in (("--plot", plot), ("--basin", basin)):
        if file is not None:
            require_suffix(option, file, PICTURES)
            check_writable(file)
    start = Gaussian.from_tokens(problem.start.points) if isinstance(problem.start, Tokens) else problem.start
    dim = start.dim
    try:
        verdict = long_run(problem.model, None if every_start else start, dim=dim, budget=budget, seed=seed)
    except KeyboardInterrupt:
        say("interrupted: no verdict")
        return ExitCode.INTERRUPTED
    if as_json:
        emit_json(verdict.to_dict())
    elif latex:
        emit(verdict.to_latex())
    else:
        emit_tables(facts(known(verdict)))
        for name, why in tried(verdict).items():
            say(f"not {name}: {why}")
    try:
        _draw(verdict, plot, basin)
    except KeyboardInterrupt:
        say("interrupted: the verdict above stands, the picture was not drawn")
        return ExitCode.INTERRUPTED
    return ExitCode.DONE if verdict.determined or not strict else ExitCode.UNDETERMINED


def _draw(verdict: Verdict, plot: Path | None, basin: Path | None) -> None:
    from ..report.overview import save

    if plot is not None:
        save(verdict.plot(), plot)
        say(f"wrote {plot}")
    if basin is not None:
        from ..doors.long_run.picture import basin_picture

        save(basin_picture(verdict), basin)
        say(f"wrote {basin}")
