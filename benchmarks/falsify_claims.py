"""False statements: seconds until a counterexample is found, simplified and proved; one bar each."""

from __future__ import annotations

import time
from typing import NamedTuple

from .report import Row

BUDGET = 60.0


class Statement(NamedTuple):
    """A false statement that the language of `falsify` can express, and where it stands."""

    place: str
    hypotheses: str
    conclusion: str


FALSE = (
    Statement("Thm 4.1 as printed", "V = eta I, S <= 0", "limit of Theorem 4.1"),
    Statement("Thm 4.1, singular start", "V = eta I, S < 0, cov >= 0", "limit of Theorem 4.1"),
    Statement("Rem 4.2", "V = eta I, S <= 0, A = 0", "zero limit"),
    Statement("Thm 4.5 (1)", "V < 0, B > 0, Re(spec(A)) > 0", "positive definite equilibrium"),
    Statement("Thm 4.5 (1)", "V < 0, B > 0, Re(spec(A)) > 0", "positive definite limit"),
    Statement("Thm 4.5 (1)", "V < 0, B > 0, Re(spec(A)) > 0", "unique positive definite equilibrium"),
    Statement("Thm 4.5 (1)", "V < 0, B > 0, Re(spec(A)) > 0", "stable equilibrium"),
    Statement("Table 1 row 2", "V < 0, B > 0, Re(spec(A)) > 0", "convergent"),
    Statement("Rem 4.4, 4.10", "V < 0, B > 0, Re(spec(A)) > 0", "mean limit"),
    Statement("Rem 4.4, 4.10", "V < 0, B > 0, Re(spec(A)) > 0", "mean stable"),
    Statement("Table 1 row 2", "V < 0, B > 0, Re(spec(A)) <= 0", "zero limit"),
    Statement("Table 1 row 2", "V < 0, B > 0, Re(spec(A)) < 0", "zero limit"),
    Statement("Table 1 row 3, mean", "V > 0, B > 0, A + A^T >= 0", "mean diverges"),
    Statement("Table 1 row 1, mean", "V = eta I, S <= 0, eta < 0", "mean limit"),
    Statement("Table 1 row 1, mean", "V = eta I, S <= 0, eta > 0", "mean diverges"),
    Statement('"definite", row 2', "sym(V) < 0, sym(B) > 0", "bounded"),
    Statement('"definite", row 3', "sym(V) > 0, sym(B) > 0, A + A^T >= 0", "blow-up"),
    Statement("Thm 4.8 (1)", "V = eta I, eta < 0, B + B^T > 0, cov >= 0", "mean limit"),
    Statement("Thm 4.8 (2)", "V = eta I, eta > 0, B + B^T > 0, max(Re(spec(A))) > 0", "no blow-up"),
    Statement("Rem 4.9", "V = eta I, S <= 0, b = 0", "mean zero or diverges"),
)


def rows(*, quick: bool = False) -> list[Row]:
    """Time to the verified counterexample of each false statement; `quick`: every fourth."""
    from attnflow.doors.long_run.falsify import falsify

    found = []
    for statement in FALSE[:: 4 if quick else 1]:
        started = time.perf_counter()
        result = falsify(statement.hypotheses, statement.conclusion, budget=BUDGET, seed=0)
        seconds = time.perf_counter() - started if result.verified else float("inf")
        what = f"{statement.place}: {statement.hypotheses} => {statement.conclusion}"
        basis = "none" if result.counterexample is None else result.counterexample.basis.value
        found.append(Row(what, seconds, BUDGET, at_least=False, detail=f"{basis}, {result.tried} tried"))
    return found
