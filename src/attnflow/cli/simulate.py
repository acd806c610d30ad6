"""`attnflow simulate`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .._atomic import check_writable
from .._check import BadInput
from ..doors.beside import TITLES, Beside
from ..doors.run import Run
from ..doors.simulate import simulate as flow
from ..doors.token_run import TokenRun
from ..doors.verify import TokenVerification, Verification
from ..files.problem import Problem, read_problem
from ..flow.outcome import Basis, Status
from .beside import beside, beside_table, check_tokens
from .clock import PICTURE, parse_times, picture_times
from .codes import ExitCode
from .output import PICTURES, emit_json, emit_tables, require_suffix, say
from .summary import moments, summary, token_summary

Replay: TypeAlias = Verification | TokenVerification

CLOCK = ("t1", "ts", "layers", "step")
BEFORE_BLOW_UP = 5e-3
"""How far before a blow-up pictures end, relative to its time."""

CODES = {
    Status.BUDGET: ExitCode.NOT_FINISHED,
    Status.NOT_CONVERGED: ExitCode.NOT_FINISHED,
    Status.INTERRUPTED: ExitCode.INTERRUPTED,
}
REMEDIES = {
    Status.BUDGET: "the budget of steps was used up; raise --max-steps or loosen --rtol",
    Status.NOT_CONVERGED: "the iterations of Sinkhorn did not converge; raise max_iterations or epsilon",
    Status.INTERRUPTED: "interrupted; what was reached is kept",
}


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where the result goes: files, and JSON instead of a table on stdout."""

    out: Path | None
    plot: Path | None
    animate: Path | None
    json: bool


def simulate(
    path: Path, outputs: Outputs, *, t1: float | None, times: str | None, verify: bool, strict: bool,
    options: Mapping[str, Any], tokens: tuple[int | None, int | None] = (None, None),
) -> ExitCode:  # fmt: skip
    """Run the problem file `path` and write what `outputs` asks for.

    `t1`, `times` and `options` go before what the file says; `tokens` are the number of tokens beside a Gaussian and
    their seed. Raises BadInput, before any computation, when a file or an output breaks a rule.
    """
    problem = read_problem(path)
    chosen = _options(problem, t1, times, options)
    _check_outputs(outputs)
    check_tokens(problem, *tokens)
    run = flow(problem.model, problem.start, **chosen)
    cloud = beside(run, *tokens, given="ts" in chosen)
    replay = run.verify() if verify and run.status is not Status.INTERRUPTED else None
    if outputs.out is not None:
        _save(run, cloud, problem, outputs.out)
    if outputs.plot is not None or outputs.animate is not None:
        _draw(run, cloud, problem, chosen, outputs)
    _print(run, cloud, replay, as_json=outputs.json)
    return _code(run, cloud, replay, strict=strict)


def _options(problem: Problem, t1: float | None, times: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    chosen = dict(problem.options) | dict(given)
    if t1 is not None and times is not None:
        raise BadInput("`--t1` and `--times` exclude each other: both were given; the last of the times is the end.")
    if (t1 is not None or times is not None) and "layers" in given:
        raise BadInput("`--layers` replaces `--t1` and `--times`: both were given; remove one of them.")
    if t1 is not None or times is not None or "layers" in given:
        chosen = {name: value for name, value in chosen.items() if name not in CLOCK or name in given}
    if t1 is not None or times is not None:
        chosen |= {"t1": t1} if times is None else {"ts": parse_times(times)}
    if not {"t1", "ts", "layers"} & set(chosen):
        raise BadInput("`simulate.t1` or `simulate.times` is missing: add one of them to the file, or give --t1.")
    return chosen


def _check_outputs(outputs: Outputs) -> None:
    if outputs.out is not None:
        require_suffix("--out", outputs.out, (".nc",))
    if outputs.animate is not None:
        require_suffix("--animate", outputs.animate, (".gif",))
    if outputs.plot is not None:
        require_suffix("--plot", outputs.plot, PICTURES)
    for file in (outputs.out, outputs.plot, outputs.animate):
        if file is not None:
            check_writable(file)


def _save(run: Run | TokenRun, cloud: Beside | None, problem: Problem, path: Path) -> None:
    from ..files.results import write_dataset

    dataset = run.to_dataset()
    if cloud is not None:
        dataset = dataset.merge(cloud.to_dataset())
        dataset.attrs["tokens"] = json.dumps({"n": cloud.n, "seed": cloud.seed, "status": cloud.status.value})
    dataset.attrs |= {"title": json.dumps(problem.title), "problem_file": json.dumps(problem.text)}
    write_dataset(dataset, path)
    say(f"wrote {path}")


def _draw(
    run: Run | TokenRun, cloud: Beside | None, problem: Problem, chosen: Mapping[str, Any], outputs: Outputs
) -> None:
    shown = run if isinstance(run, TokenRun) else _resolved(run, problem, chosen)
    if not shown.ts.size:
        say("nothing was drawn: no time was reached")
        return
    if outputs.plot is not None:
        from ..report.overview import overview

        bracket = None if run.blow_up is None else (run.blow_up.lower, run.blow_up.upper, run.blow_up.estimate)
        tokens = shown.tokens if isinstance(shown, TokenRun) else None
        if cloud is not None and cloud.ts.size:
            from ..report.beside import overview_beside

            overview_beside(
                shown.ts, shown.mean, shown.cov, cloud.ts, cloud.distances, cloud.floors, titles=TITLES,
                cloud=cloud.points, n=cloud.n, title=problem.title, blow_up=bracket, path=outputs.plot,
            )  # fmt: skip
        else:
            overview(
                shown.ts, shown.mean, shown.cov, title=problem.title, blow_up=bracket, tokens=tokens, path=outputs.plot
            )
        say(f"wrote {outputs.plot}")
    if outputs.animate is not None:
        _animate(shown, outputs.animate)
        say(f"wrote {outputs.animate}")


def _animate(run: Run | TokenRun, path: Path) -> None:
    from ..doors.progress import progress_bar
    from ..report.animation import animate

    with progress_bar(1.0, words="animation") as report:
        animate(run.ts, run.mean, run.cov, path, progress=lambda done, total: report(done / total))


def _resolved(run: Run, problem: Problem, chosen: Mapping[str, Any]) -> Run:
    """The run at enough times for a smooth picture: a second one where few times were reached."""
    enough = (run.ts.size >= PICTURE and "ts" in chosen) or "layers" in chosen
    end = _last_picture(run, chosen)
    if enough or end <= 0 or run.status is Status.INTERRUPTED:
        return run
    ts = picture_times(run.ts, end, run.start.dim, blow_up=run.status is Status.BLOW_UP)
    options = {name: value for name, value in chosen.items() if name not in ("t1", "ts", "stop_at_rest")}
    return flow(problem.model, run.start, ts, **options)


def _last_picture(run: Run, chosen: Mapping[str, Any]) -> float:
    """The end of what was reached; before a blow-up, the last time asked for or a little before it explodes."""
    if run.status is not Status.BLOW_UP or run.blow_up is None:
        return run.until
    asked = float(run.ts[-1]) if "ts" in chosen and run.ts.size else 0.0
    return max(asked, (1.0 - BEFORE_BLOW_UP) * run.blow_up.lower)


def _print(run: Run | TokenRun, cloud: Beside | None, replay: Replay | None, *, as_json: bool) -> None:
    if as_json:
        more = {} if replay is None else {"verification": _listed(replay)}
        emit_json(run.to_dict() | more | ({} if cloud is None else {"tokens": cloud.to_dict()}))
    elif isinstance(run, TokenRun):
        emit_tables(token_summary(run, replay), moments(run))
    else:
        emit_tables(summary(run, replay), moments(run), *([] if cloud is None else [beside_table(cloud)]))
    for note in run.notes:
        say(f"note: {note}")
    if cloud is not None and cloud.status not in (Status.REACHED_END, run.status):
        say(f"note: the tokens ended with status {cloud.status.value}")
    if run.status in REMEDIES:
        say(f"not finished: {REMEDIES[run.status]}")


def _listed(replay: Replay) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(replay).items() if name != "ts"}


def _code(run: Run | TokenRun, cloud: Beside | None, replay: Replay | None, *, strict: bool) -> ExitCode:
    for status in (run.status, None if cloud is None else cloud.status):
        if status in CODES:
            return CODES[status]
    undetermined = run.blow_up is not None and run.blow_up.basis is Basis.UNDETERMINED
    if strict and (undetermined or (replay is not None and not replay.complete)):
        return ExitCode.UNDETERMINED
    return ExitCode.DONE
