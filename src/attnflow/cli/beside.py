"""`attnflow simulate --with-tokens`: tokens beside the Gaussian of a problem file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._check import BadInput
from ..doors.beside import NAMES, Beside, tokens_beside
from ..doors.run import Run
from ..doors.token_run import TokenRun
from ..files.problem import Problem
from ..flow.outcome import Status
from ..measures.tokens import Tokens
from .output import columns
from .summary import ROWS

if TYPE_CHECKING:
    from rich.table import Table

HEADS = {"bures": "Bures-W", "sliced": "sliced W", "mmd": "MMD"}


def check_tokens(problem: Problem, n: int | None, seed: int | None) -> None:
    """Raise BadInput unless `n` tokens can be drawn from the start of `problem` with `seed`; without n no seed."""
    if n is None:
        if seed is not None:
            raise BadInput("`--seed` draws the tokens of --with-tokens: that is missing; add it or remove --seed.")
        return
    if isinstance(problem.start, Tokens):
        raise BadInput(
            "`--with-tokens` draws tokens from a Gaussian: the start of the file is tokens already; remove the option."
        )
    if n < 2:
        raise BadInput(f"`--with-tokens` must be at least 2: {n} was found.")
    if problem.start.rank == 0:
        raise BadInput("`--with-tokens` needs a start with spread: its covariance is 0, one point; remove the option.")


def beside(run: Run | TokenRun, n: int | None, seed: int | None, *, given: bool) -> Beside | None:
    """`n` tokens beside `run`, drawn with `seed`, else with that of the file, else 0; None without n.

    At the times of the run when they were `given` and more than two were reached, else at even ones.
    """
    if n is None or not isinstance(run, Run) or run.status is Status.INTERRUPTED:
        return None
    drawn = seed if seed is not None else run.seed or 0
    return tokens_beside(run, n, ts=run.ts if given and run.ts.size > 2 else None, seed=drawn)


def beside_table(found: Beside) -> Table:
    """The distances at a few of the times; beside each what as many independent points would show."""
    headers = [f"{found.n} tokens, relative: time"]
    for name in NAMES:
        headers += [HEADS[name], "(sampling)"]
    table = columns(*headers, right=tuple(headers))
    for i in np.unique(np.linspace(0, found.ts.size - 1, min(ROWS, found.ts.size)).round().astype(int)):
        cells = []
        for name in NAMES:
            cells += [f"{found.distances[name][i]:.3g}", f"{found.floors[name][i]:.3g}"]
        table.add_row(f"{found.ts[i]:.6g}", *cells)
    return table
