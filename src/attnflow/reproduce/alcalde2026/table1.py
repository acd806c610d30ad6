"""Table 1, row by row: the printed claims and the corrected ones against integrations of generic and chosen systems.

Source: :cite:alcalde2026, Table 1.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr

from ..._atomic import replacing
from ...files.provenance import provenance
from ...files.results import write_dataset
from ..check import Check, Reproduction, close, same
from . import table1_flows as flows
from . import table1_systems as systems
from .table1_flows import Ends, Flow, MeanEnds
from .table1_systems import Case

NAME: Final = "alcalde2026/table1"
FILES: Final = ("table1.md", "table1.nc", "table1.json")
REPLAYED: Final = 3
NONE: Final = "none"
MEANS: Final = 8
"""Generic systems of the second row whose means are integrated."""


@dataclass(frozen=True)
class Row:
    """A row of the table: where it holds, what is printed and what is right, its `cases`, and what they did.

    `contradict` names the chosen systems that contradict the printed column of the covariance, `contradict_mean` that
    of the mean.
    """

    name: str
    printed: str
    corrected: str
    cases: tuple[Case, ...]
    flows: tuple[Flow, ...]
    contradict: str = NONE
    contradict_mean: str = NONE

    @property
    def pairs(self) -> list[tuple[Case, Flow]]:
        """Each case with what it did."""
        return list(zip(self.cases, self.flows, strict=True))


def reproduce(folder: Path) -> Reproduction:
    """Integrate the systems of all rows, count who is right, and write table, data and checks into `folder`.

    Source: :cite:alcalde2026, Table 1.
    """
    rows = all_rows(systems.GENERIC)
    checks = tuple(check for row in rows for check in row_checks(row))
    dataset = _dataset(rows)
    dataset.attrs = {"kind": "reproduction", "target": NAME, "checks": [check.to_dict() for check in checks]}
    table, data, report = (folder / file for file in FILES)
    write_dataset(dataset, data)
    with replacing(table) as partial:
        partial.write_text(markdown(rows), encoding="utf-8")
    listed = {"target": NAME, "checks": [check.to_dict() for check in checks], "provenance": provenance()}
    with replacing(report) as partial:
        partial.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    return Reproduction(checks, {"table": dataset}, (table, data, report))


def all_rows(generic: int) -> list[Row]:
    """The six rows with `generic` drawn systems each, integrated."""
    return [*_scalar_rows(generic), *_opposite_rows(generic), *_equal_rows(generic)]


def _scalar_rows(generic: int) -> list[Row]:
    down, up = (tuple(systems.scalar_row(sign, generic)) for sign in (-1.0, 1.0))
    limit = "the limit of Theorem 4.1"
    only = f"{limit}, if A has no unobservable eigenvalue with Re >= 0"
    return [
        Row(
            "V = eta I, eta (B + B^T) <= 0, eta < 0", f"covariance: {limit}; mean: a limit",
            f"covariance: {only}; mean: a limit, under the same condition",
            down, tuple(flows.scalar_flow(case.problem) for case in down),
            contradict="T1, T2: Remark 4.2, T3, T4, B = 0", contradict_mean="B = 0",
        ),
        Row(
            "V = eta I, eta (B + B^T) <= 0, eta > 0", f"covariance: {limit}; mean: diverges",
            f"covariance: {only}; mean: diverges for almost all (mean, b) if A has an eigenvalue with Re > 0, "
            "else as A + eta I says",
            up, tuple(flows.scalar_flow(case.problem) for case in up),
            contradict_mean="A + eta I stable, mean and bias zero, Remark 4.9, a circle",
        ),
    ]  # fmt: skip


def _opposite_rows(generic: int) -> list[Row]:
    up, down = (tuple(systems.opposite_row(unstable, generic)) for unstable in (True, False))
    depends = "depends on spec(A + V + V limit B)"
    bounded = "bounded by max(0, lambda_max(A + A^T)) / beta"
    return [
        Row(
            "V < 0 < B, Re spec A > 0", f"covariance: a positive definite limit; mean: {depends}",
            f"covariance: {bounded}, does not vanish; stays definite if B A + A^T B > 0 > B V + V B; mean: {depends}",
            *_with_means(up, _grouped(up)), contradict="C1, C2",
        ),
        Row(
            "V < 0 < B, Re spec A <= 0", f"covariance: vanishes; mean: {depends}",
            f"covariance: {bounded}; vanishes if A + A^T <= 0, or B A + A^T B <= 0 and B V + V B < 0, or if it starts "
            f"small and A is Hurwitz; mean: {depends}",
            *_with_means(down, _grouped(down)), contradict="C4, C4b, C5",
        ),
    ]  # fmt: skip


def _equal_rows(generic: int) -> list[Row]:
    equal, mixed = tuple(systems.equal_row(generic)), tuple(systems.mixed_row(generic))
    return [
        Row(
            "V > 0, B > 0, A + A^T >= 0", "covariance: diverges; mean: diverges",
            "covariance: blow-up in finite time between the bounds, V and B symmetric; mean: diverges for almost all "
            "(mean, b)",
            equal, tuple(_equal_flow(case) for case in equal),
            contradict="V, B not symmetric", contradict_mean="mean across the blow-up, mean and bias zero",
        ),
        Row(
            "V > 0, B > 0, lambda_min(A + A^T) < 0", "covariance: depends on the start",
            "covariance: A Hurwitz: zero inside an explicit ball (V = eta I: exactly if lambda_max(L^T N L) < 1), "
            "blow-up for large starts; V = eta I and max Re spec A >= 0: blow-up",
            mixed, tuple(flows.blowing_flow(case.problem) for case in mixed),
        ),
    ]  # fmt: skip


def _equal_flow(case: Case) -> Flow:
    """A flow to its blow-up; one that is not claimed to blow up, in plain time."""
    return flows.matrix_flows([case.problem])[0] if case.bounds is None else flows.blowing_flow(case.problem)


def _with_means(cases: Sequence[Case], found: Sequence[Flow]) -> tuple[tuple[Case, ...], tuple[Flow, ...]]:
    """The mean where the covariance has a limit: both versions of the table let A + V + V limit B decide.

    All chosen systems, and the first generic ones; not where the generator is too near to the imaginary axis to see it.
    """
    known, seen, left = list(cases), list(found), MEANS
    for i, (case, flow) in enumerate(zip(cases, found, strict=True)):
        one, chosen = case.problem, not case.name.startswith("generic")
        abscissa = float(np.linalg.eigvals(one.A + one.V + one.V @ flow.last @ one.B).real.max())
        if flow.ends not in (Ends.ZERO, Ends.SINGULAR, Ends.DEFINITE) or abs(abscissa) < 0.1 or not (chosen or left):
            continue
        left -= not chosen
        ends, mean = flows.mean_flow(one, 40.0 + 20.0 / abs(abscissa))
        claim = frozenset({MeanEnds.DIVERGES if abscissa > 0 else MeanEnds.LIMIT})
        known[i] = replace(case, printed_mean=claim, corrected_mean=claim)
        seen[i] = replace(flow, mean_ends=ends, mean=mean)
    return tuple(known), tuple(seen)


def _grouped(cases: Sequence[Case]) -> tuple[Flow, ...]:
    """All cases of one shape at once."""
    found: dict[int, Flow] = {}
    for shape in sorted({case.problem.factor.shape for case in cases}):
        places = [i for i, case in enumerate(cases) if case.problem.factor.shape == shape]
        found |= zip(places, flows.matrix_flows([cases[i].problem for i in places]), strict=True)
    return tuple(found[i] for i in range(len(cases)))


def row_checks(row: Row) -> list[Check]:
    """Who is right, how far the limits are from what is claimed, and the bounds."""
    claimed = [(case, flow) for case, flow in row.pairs if case.corrected]
    right = sum(flow.ends in case.corrected for case, flow in claimed)
    said = [_mean(case, flow) for case, flow in row.pairs if case.corrected_mean]
    checks = [
        same(f"{row.name}: covariances as corrected ({_printed(row)})", right, len(claimed)),
        same(f"{row.name}: chosen systems that contradict the printed covariance", _contradicting(row), row.contradict),
        *_limits(row),
        *_bounds(row),
    ]
    if said:
        checks += [
            same(f"{row.name}: means as corrected ({_printed_mean(row)})", sum(said), len(said)),
            same(f"{row.name}: chosen systems that contradict the printed mean", _contradicting_mean(row),
                 row.contradict_mean),
        ]  # fmt: skip
    drawn = [case for case in row.cases if case.name.startswith("generic")][:REPLAYED]
    if all(flow.blow_up is None for flow in row.flows):
        error = max(flows.replayed(case.problem, 3.0) for case in drawn)
        checks.append(close(f"{row.name}: replays by SciPy to t = 3, relative", error, 0.0, atol=1e-6))
    return checks


def _limits(row: Row) -> list[Check]:
    """The limits that the corrected table names, relative to 1 + their size."""
    checks = []
    for what, pairs in (
        ("limits of covariances", [(c.limit, f.last) for c, f in row.pairs]),
        ("limits of means", [(c.limit_mean, f.mean) for c, f in row.pairs]),
    ):
        errors = [
            float(np.linalg.norm(found - limit) / (1.0 + np.linalg.norm(limit)))
            for limit, found in pairs
            if limit is not None and found is not None
        ]
        if errors:
            checks.append(close(f"{row.name}: {len(errors)} {what}, largest error", max(errors), 0.0, atol=1e-5))
    return checks


def _bounds(row: Row) -> list[Check]:
    """Traces in the long run, and blow-up times, against their bounds."""
    checks = []
    traces = [(flow.highest, case.trace) for case, flow in row.pairs if np.isfinite(case.trace)]
    if traces:
        within = sum(highest <= bound for highest, bound in traces)
        checks.append(same(f"{row.name}: traces within their bound", within, len(traces)))
    times = [(case.bounds, flow.blow_up) for case, flow in row.pairs if case.bounds is not None]
    if times:
        inside = sum(
            time is not None and (b.lower or 0.0) * (1 - 1e-6) <= time <= (b.upper or np.inf) * (1 + 1e-6)
            for b, time in times
        )
        checks.append(same(f"{row.name}: blow-up times between their bounds", inside, len(times)))
    return checks


def _mean(case: Case, flow: Flow) -> bool:
    return flow.mean_ends in case.corrected_mean


def _chosen(row: Row) -> list[tuple[Case, Flow]]:
    return [(case, flow) for case, flow in row.pairs if not case.name.startswith("generic")]


def _contradicting(row: Row) -> str:
    return ", ".join(c.name for c, f in _chosen(row) if c.printed and f.ends not in c.printed) or NONE


def _contradicting_mean(row: Row) -> str:
    return ", ".join(c.name for c, f in _chosen(row) if c.printed_mean and f.mean_ends not in c.printed_mean) or NONE


def _printed(row: Row) -> str:
    """How many systems do as printed; "depends on the start" is counted for pairs of starts."""
    said = [flow.ends in case.printed for case, flow in row.pairs if case.printed]
    if not said:
        ends = [flow.ends for flow in row.flows]
        said = [small != large for small, large in zip(ends[::2], ends[1::2], strict=True)]
        return f"as printed: {sum(said)} of {len(said)} pairs of starts"
    return f"as printed: {sum(said)} of {len(said)}"


def _printed_mean(row: Row) -> str:
    said = [flow.mean_ends in case.printed_mean for case, flow in row.pairs if case.printed_mean]
    return f"as printed: {sum(said)} of {len(said)}"


def markdown(rows: Sequence[Row]) -> str:
    """The table of `rows` with both versions and the counts, and what every chosen system did."""
    lines = ["# Table 1, printed and corrected", "", "| systems | printed | corrected | counts |", "|---|---|---|---|"]
    for row in rows:
        claimed = [flow.ends in case.corrected for case, flow in row.pairs if case.corrected]
        counts = f"covariance: {_printed(row)}, as corrected: {sum(claimed)} of {len(claimed)}"
        said = [_mean(case, flow) for case, flow in row.pairs if case.corrected_mean]
        if said:
            counts += f"; mean: {_printed_mean(row)}, as corrected: {sum(said)} of {len(said)}"
        lines.append(f"| {row.name} | {row.printed} | {row.corrected} | {counts} |")
    for row in rows:
        ends = Counter(flow.ends.value for flow in row.flows)
        lines += ["", f"## {row.name}", "", "Covariances: " + ", ".join(f"{n} {word}" for word, n in ends.items()), ""]
        lines += [
            f"- {case.name}: {flow.ends.value}" + ("" if flow.mean_ends is None else f"; mean: {flow.mean_ends.value}")
            for case, flow in _chosen(row)
        ]
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _dataset(rows: Sequence[Row]) -> xr.Dataset:
    """One entry a system; its matrices as JSON text, since dimensions differ."""
    pairs = [(row.name, case, flow) for row in rows for case, flow in row.pairs]
    blown = [i for i, (_, _, flow) in enumerate(pairs) if flow.blow_up is not None]

    def text(words: Callable[[str, Case, Flow], str]) -> tuple[str, np.ndarray]:
        return "system", np.array([words(*entry) for entry in pairs], dtype=object)

    return xr.Dataset(
        {
            "row": text(lambda row, case, flow: row),
            "name": text(lambda row, case, flow: case.name),
            "problem": text(lambda row, case, flow: _problem(case)),
            "covariance": text(lambda row, case, flow: flow.ends.value),
            "covariance_printed": text(lambda row, case, flow: _words(case.printed)),
            "covariance_corrected": text(lambda row, case, flow: _words(case.corrected)),
            "mean": text(lambda row, case, flow: "" if flow.mean_ends is None else flow.mean_ends.value),
            "mean_printed": text(lambda row, case, flow: _words(case.printed_mean)),
            "mean_corrected": text(lambda row, case, flow: _words(case.corrected_mean)),
            "last_covariance": text(lambda row, case, flow: json.dumps(flow.last.tolist())),
            "blow_up_system": ("blow_up", np.array(blown, dtype=np.int64)),
            "blow_up_time": ("blow_up", np.array([pairs[i][2].blow_up for i in blown], dtype=np.float64)),
        }
    )


def _problem(case: Case) -> str:
    one = case.problem
    named = {name: getattr(one, name).tolist() for name in ("A", "V", "B", "bias", "mean", "factor")}
    return json.dumps(named)


def _words(claim: frozenset[Ends] | frozenset[MeanEnds]) -> str:
    return " or ".join(sorted(ends.value for ends in claim))
