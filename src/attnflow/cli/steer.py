"""`attnflow steer`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._atomic import check_writable
from .._check import BadInput
from ..doors.steering.costs import Cost, comparison, explanation
from ..doors.steering.dataset import replay_dict
from ..doors.steering.plan import Plan, PlanStatus
from ..doors.steering.steer import steer as plan_between
from ..doors.steering.text import LARGE, facts, replay_facts
from ..files.fixed import read_fixed
from ..files.gaussian import read_gaussian
from ..reachability.compilation import Scheme
from ..reachability.constructions import ConstantControls, Construction, McCann, PaperConstruction, Rotation
from ..reachability.replay import Replay
from .codes import ExitCode
from .output import PICTURES, columns, emit_json, emit_tables, require_suffix, say
from .output import facts as table_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..doors.steering.network import Network

METHODS: dict[str, type[Construction]] = {
    "rotation": Rotation,
    "constant": ConstantControls,
    "mccann": McCann,
    "paper": PaperConstruction,
}

FIXED = {
    "attention-only": ("A", "B", "b"),
    "time-invariant": ("A", "B", "V", "b"),
    "least-energy": (),
}
"""The constraints, and which parameters of the file of --with each may fix."""

LAYERS = 64


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where the plan goes: files, and JSON instead of tables on stdout."""

    out: Path | None
    export: Path | None
    plot: Path | None
    json: bool


def steer(
    origin: Path, target: Path, outputs: Outputs, *, time: float, method: str | None, constrain: str | None,
    fixed: Path | None, layers: int | None, scheme: str | None, strict: bool, seed: int, options: Mapping[str, Any],
) -> ExitCode:  # fmt: skip
    """Plan the way from the Gaussian in the file `origin` to that in `target`, replay it, and write what is asked for.

    `method` or `constrain` with the file `fixed` choose the plan, `layers` and `scheme` compile it. Raises BadInput,
    before any computation, when a file or an argument breaks a rule, and when the target cannot be reached.
    """
    _check_outputs(outputs)
    _check_network(layers, scheme, outputs.export)
    start, goal = read_gaussian(origin), read_gaussian(target)
    asked = dict(options) | _chosen(method, constrain, fixed, start.dim, seed, options)
    plan = plan_between(start, goal, time=time, **asked)
    if outputs.out is not None:
        plan.save(outputs.out)
        say(f"wrote {outputs.out}")
    replay = plan.replay(seed=seed)
    network = _compiled(plan, layers, scheme, outputs.export)
    costs = comparison(plan) if plan.start.dim <= LARGE else ()
    _print(plan, replay, costs, network, as_json=outputs.json)
    if outputs.plot is not None:
        from ..report.overview import save

        save(plan.plot(), outputs.plot)
        say(f"wrote {outputs.plot}")
    return _code(plan, replay, strict=strict)


def _check_outputs(outputs: Outputs) -> None:
    known = {
        "--out": (outputs.out, (".nc",)),
        "--export": (outputs.export, (".safetensors",)),
        "--plot": (outputs.plot, PICTURES),
    }
    for option, (file, endings) in known.items():
        if file is not None:
            require_suffix(option, file, endings)
            check_writable(file)


def _check_network(layers: int | None, scheme: str | None, export: Path | None) -> None:
    if scheme is not None:
        _named("--scheme", scheme, {kind.value: kind for kind in Scheme})
        if layers is None and export is None:
            raise BadInput("`--scheme` belongs to a compiled plan: add --layers or --export, or remove it.")
    if layers is not None and layers < 1:
        raise BadInput(f"`--layers` must be at least 1: {layers} was found; {LAYERS} is a good start.")


def _chosen(
    method: str | None, constrain: str | None, fixed: Path | None, dim: int, seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The construction, or the constraint with what it fixes."""
    if method is not None and constrain is not None:
        raise BadInput("`--method` and `--constrain` exclude each other: both were given; remove one of them.")
    if constrain is None:
        for option, present in (("--with", fixed is not None), ("--budget", "budget" in options)):
            if present:
                raise BadInput(f"`{option}` belongs to a constraint: add --constrain {' or '.join(FIXED)}.")
        return {} if method is None else {"method": _named("--method", method, METHODS)()}
    allowed = _named("--constrain", constrain, FIXED)
    given = {} if fixed is None else read_fixed(fixed, dim)
    foreign = [name for name in given if name not in allowed]
    if foreign:
        known = ", ".join(allowed) or "none"
        raise BadInput(
            f"`{fixed}`: `{foreign[0]}` cannot be fixed by --constrain {constrain} ({known} can); remove it."
        )
    return {"constrain": _constraint(constrain, given), "seed": seed}


def _constraint(name: str, given: dict[str, Any]) -> Any:
    from ..reachability.constrained.constraints import AttentionOnly, LeastEnergy, TimeInvariant

    if name == "least-energy":
        return LeastEnergy()
    if name == "time-invariant":
        return TimeInvariant(**given)
    if "A" not in given:
        raise BadInput(
            "`--constrain attention-only` needs the feed-forward matrix A: give --with FILE, with A = ... in it."
        )
    return AttentionOnly(**given)


def _named(option: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise BadInput(f"`{option}` must be one of {', '.join(known)}: {name!r} was found.")
    return known[name]


def _compiled(plan: Plan, layers: int | None, scheme: str | None, export: Path | None) -> Network | None:
    if layers is None and export is None:
        return None
    network = plan.compile(LAYERS if layers is None else layers, scheme=scheme or Scheme.EXPONENTIAL.value)
    if export is not None:
        network.save(export)
        say(f"wrote {export}")
    return network


def _print(plan: Plan, replay: Replay, costs: tuple[Cost, ...], network: Network | None, *, as_json: bool) -> None:
    if as_json:
        more = {"comparison": [dataclasses.asdict(cost) for cost in costs], "replay": replay_dict(replay)}
        emit_json(plan.to_dict() | more | ({} if network is None else {"network": network.to_dict()}))
    else:
        rows = facts(plan) | replay_facts(replay) | ({} if network is None else {"network": _network_words(network)})
        emit_tables(table_of(rows), *([_cost_table(costs)] if costs else []))
        if costs:
            say(explanation(costs))
    if plan.status is PlanStatus.MISSED:
        say(f"missed: {plan.reason}")


def _network_words(network: Network) -> str:
    head = f"{network.layers} layers ({network.scheme.value}): "
    error = network.error
    if error is None:
        return head + "the Gaussian behind them leaves float64; give more --layers"
    return head + (
        f"relative error {error.mean_error:.1e} (mean), {error.cov_error:.1e} (covariance), Bures-Wasserstein distance "
        f"{error.bures_wasserstein:.1e}"
    )


def _cost_table(costs: tuple[Cost, ...]) -> Table:
    numbers = ("kinetic", "int |V|^2", "int |A|^2", "max |V|", "conditioning", "error")
    table = columns("plan", *numbers, right=numbers)
    for cost in costs:
        cells = (cost.kinetic, cost.control, cost.feedforward, cost.largest_control, cost.conditioning)
        name = f"{cost.method} (chosen)" if cost.chosen else cost.method
        table.add_row(name, *(f"{x:.5g}" for x in cells), f"{cost.error:.1e}")
    return table


def _code(plan: Plan, replay: Replay, *, strict: bool) -> ExitCode:
    ending = str(plan.details.get("ending", ""))
    if ending == "interrupted":
        say("interrupted: this is the best plan that was found")
        return ExitCode.INTERRUPTED
    missed = plan.status is PlanStatus.MISSED
    if missed and ending == "budget":
        say("not finished: the budget was used up; raise --budget")
        return ExitCode.NOT_FINISHED
    worst = max(replay.mean_error or 0.0, replay.cov_error or 0.0, replay.worst_direction or 0.0)
    return (
        ExitCode.UNDETERMINED if strict and (missed or not replay.complete or worst > plan.tolerance) else ExitCode.DONE
    )
