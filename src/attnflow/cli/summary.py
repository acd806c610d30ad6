"""A run as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._linalg import numerical_rank
from ..doors.run import Run
from ..doors.token_run import TokenRun
from ..doors.verify import TokenVerification, Verification
from .output import columns, facts

if TYPE_CHECKING:
    from rich.table import Table

ROWS = 9
SMALL = 3
"""Up to this dimension vectors are written out, above it they are summed up."""


def summary(run: Run, replay: Verification | TokenVerification | None) -> Table:
    """How the run ended, what computed it, and how far it lies from its replay."""
    rows = {"status": _status(run)}
    if run.blow_up is not None:
        b = run.blow_up
        rows["blow-up"] = f"at {b.estimate:.10g}, in [{b.lower:.10g}, {b.upper:.10g}] ({b.basis.value})"
    rows["system"] = f"d = {run.start.dim}, rank {run.rank}{'' if run.exact else ', statistical linearisation'}"
    rows["engine"] = f"covariance: {run.engine}, mean: {run.mean_engine}"
    if isinstance(replay, Verification):
        rows["replay"] = (
            f"largest relative difference {replay.mean_error:.1e} (mean), {replay.cov_error:.1e} (covariance) "
            f"to {replay.method}, rtol {replay.rtol:g}" + ("" if replay.complete else "; incomplete")
        )
    return facts(rows)


def token_summary(run: TokenRun, replay: Verification | TokenVerification | None) -> Table:
    """How the run of the tokens ended, what it cost, and how far it lies from its replay."""
    rows = {"status": _status(run)}
    if run.blow_up is not None:
        b = run.blow_up
        rows["blow-up"] = f"at {b.estimate:.10g}, in [{b.lower:.10g}, {b.upper:.10g}] ({b.basis.value})"
    rows["system"] = f"n = {run.start.size} tokens, d = {run.start.dim}"
    rows["engine"] = f"{run.statements['tokens']}; {run.evaluations} velocities of all tokens"
    if isinstance(replay, TokenVerification):
        rows["replay"] = f"largest distance of a token {replay.token_error:.1e} of the largest to {replay.method}" + (
            "" if replay.complete else "; incomplete"
        )
    return facts(rows)


def moments(run: Run | TokenRun) -> Table:
    """Mean, trace, eigenvalues and visible rank at a few of the times that were reached."""
    small = run.start.dim <= SMALL
    headers = ("time", "mean" if small else "|mean|", "trace", "eigenvalues", "rank")
    table = columns(*headers, right=("time", "trace", "rank"))
    chosen = np.unique(np.linspace(0, run.ts.size - 1, min(ROWS, run.ts.size)).round().astype(int))
    covs = run.cov[chosen]
    ranks = run.numerical_rank[chosen] if isinstance(run, Run) else [_visible(cov) for cov in covs]
    for i, cov, rank in zip(chosen, covs, ranks, strict=True):
        mean, values = run.mean[i], np.linalg.eigvalsh(cov)[::-1]
        middle = _listed(mean) if small else f"{np.linalg.norm(mean):.6g}"
        visible = values[:rank]
        table.add_row(f"{run.ts[i]:.6g}", middle, f"{np.trace(cov):.6g}", _spectrum(visible, small=small), str(rank))
    return table


def _visible(cov: np.ndarray) -> int:
    return numerical_rank(np.linalg.eigvalsh(cov))


def _status(run: Run | TokenRun) -> str:
    missed = "" if run.reached.all() else f", t = {run.requested[-1]:g} was not reached"
    if not run.ts.size:
        return f"{run.status.value}; no requested time was reached"
    if run.ts.size == 1:
        return f"{run.status.value}; one time, t = {run.ts[0]:g}{missed}"
    return f"{run.status.value}; {run.ts.size} times, t = {run.ts[0]:g} to {run.ts[-1]:g}{missed}"


def _listed(numbers: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.6g}" for x in numbers) + ")"


def _spectrum(values: np.ndarray, *, small: bool) -> str:
    if small or values.size <= 1:
        return _listed(values)
    return f"{values[0]:.6g} to {values[-1]:.6g}"
