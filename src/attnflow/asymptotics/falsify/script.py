"""A counterexample as a short script that needs SymPy alone: exact hypotheses, then the steps of its proof."""

from __future__ import annotations

import contextlib
import inspect
import io
import re

import numpy as np

from . import exact
from .language import Claim
from .proofs import Proof

HEADER = '''"""A counterexample, checked in exact arithmetic; needs SymPy and nothing else.

Claim: {claim}
for the flow cov' = M cov + cov M^T, mean' = (M + V) mean + b with M = A + V cov B.
It fails: {reason}.
"""

'''


def script_of(claim: Claim, proof: Proof, *, singular: bool = False) -> str:
    """The script that proves that the example of `proof` contradicts `claim`.

    The start is checked to be positive definite, or with `singular` positive semidefinite.
    """
    start = f"assert definite(cov, 1, {not singular})  # the start"
    body = [*_data(proof), start, *(c.to_python() for c in claim.conditions), "", *proof.steps]
    if not _needs(claim, proof, "S", "eta"):
        body = [line for line in body if not line.startswith("eta, S")]
    names = _called("\n".join(body))
    sources = [inspect.getsource(getattr(exact, name)).rstrip() for name in names]
    text = "\n\n\n".join(sources) + "\n\n\n" + "\n".join(body)
    imports = [f"import {module}" for module in ("itertools",) if f"{module}." in text]
    heads = [*imports, "from typing import Any", "", "import sympy as sp", ""]
    if re.search(r"\bk\b", text):
        heads += ['k = sp.Symbol("k")', ""]
    done = "refuted" if proof.steps else "hypotheses checked exactly"
    ending = f'print("{done}: {claim}")\n'
    return HEADER.format(claim=claim, reason=proof.reason) + "\n".join(heads) + "\n\n" + text + "\n" + ending


NUMERICAL = """
# The hypotheses above are exact. The last step is numerical: a Runge-Kutta integration in 30 digits.
import mpmath as mp

mp.mp.dps = 30
A, V, B, X, m, bias = (
    mp.matrix([[mp.mpf(int(x.p)) / int(x.q) for x in M[i, :]] for i in range(M.rows)]) for M in (A, V, B, cov, mean, b)
)


def rates(X, m):
    M = A + V * X * B
    return M * X + (M * X).T, (M + V) * m + bias


def norm(X):
    return max(abs(x) for x in X)


t, end, shown = mp.mpf(0), mp.mpf({end}), 0
while t < end and norm(X) < 1e8:
    h = min(end - t, mp.mpf("0.02") / (norm(A) + norm(V) * norm(B) * norm(X) * A.rows + norm(V)))
    k1, l1 = rates(X, m)
    k2, l2 = rates(X + h / 2 * k1, m + h / 2 * l1)
    k3, l3 = rates(X + h / 2 * k2, m + h / 2 * l2)
    k4, l4 = rates(X + h * k3, m + h * l3)
    X, m, t = X + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), m + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4), t + h
    if t >= end * shown / 10 or norm(X) >= 1e8:
        shown += 1
        print(f"t = {{mp.nstr(t, 6)}}: cov = {{[mp.nstr(x, 8) for x in X]}}, mean = {{[mp.nstr(x, 8) for x in m]}}")
"""


def numerical_script(claim: Claim, proof: Proof, *, singular: bool = False) -> str:
    """The script for a counterexample whose last step is an integration; the arguments are those of `script_of`."""
    parts = proof.example.floats()
    speed = max(1e-3, float(np.linalg.norm(parts["A"], 2)), 0.5 * float(np.linalg.norm(parts["V"], 2)))
    return script_of(claim, proof, singular=singular) + NUMERICAL.format(end=repr(round(40 / speed, 6)))


def run_script(script: str) -> bool:
    """Whether a script that this room wrote runs through, all its assertions holding; its output is swallowed."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(compile(script, "<counterexample>", "exec"), {"__name__": "__counterexample__"})
        except AssertionError:
            return False
    return True


def _data(proof: Proof) -> list[str]:
    values = proof.example.symbols()
    lines = [f"{name} = sp.Matrix({_entries(values[name])})" for name in ("A", "V", "B", "cov", "b", "mean")]
    return [*lines, "I = sp.eye(A.rows)", "eta, S = V[0, 0], V[0, 0] * (B + B.T)"]


def _entries(matrix: object) -> str:
    return re.sub(r"(\d+)/(\d+)", r"sp.Rational(\1, \2)", str(matrix.tolist()))  # type: ignore[attr-defined]


def _needs(claim: Claim, proof: Proof, *names: str) -> bool:
    used = frozenset[str]().union(*(condition.names for condition in claim.conditions))
    steps = "\n".join(proof.steps)
    return any(name in used or re.search(rf"\b{name}\b", steps) for name in names)


def _called(body: str) -> list[str]:
    """The functions of `exact` that `body` calls, and those that they call, in the order of the module."""
    known = [name for name, value in vars(exact).items() if inspect.isfunction(value)]
    wanted, queue = set[str](), [body]
    while queue:
        text = queue.pop()
        for name in known:
            if name not in wanted and re.search(rf"\b{name}\(", text):
                wanted.add(name)
                queue.append(inspect.getsource(getattr(exact, name)))
    return [name for name in known if name in wanted]
