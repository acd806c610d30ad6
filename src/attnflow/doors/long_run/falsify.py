"""`falsify`: a claim about all systems of a kind, and a system that contradicts it."""

from __future__ import annotations

import jax

from ..._check import BadInput, positive
from ...asymptotics.falsify.language import Claim, parse
from ...asymptotics.falsify.search import search
from ...flow.leg import Progress
from ...flow.outcome import Basis
from ..progress import progress_bar
from .falsification import Counterexample, Falsification, NearMiss, exact_arrays

MAX_DIM = 6


def falsify(
    claim: str,
    conclusion: str | None = None,
    *,
    d: int = 2,
    budget: float = 60.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Falsification:
    """Look for a system that meets the hypotheses of `claim` and contradicts its `conclusion`.

    `claim` lists conditions on A, B, V, b and the start, such as "V < 0, B > 0, Re(spec(A)) > 0"; for matrices < 0
    means symmetric and negative definite. `conclusion` is one such as "positive definite limit"; it may also stand in
    `claim` after "=>". The claim is about every system of dimension `d` and every start, positive definite unless
    "cov >= 0" is among the conditions. The grammar and the conclusions: docs/falsify.md.

    Samples come from generic and structured families with small exact entries, by the seed `seed`; the search takes at
    most about `budget` seconds and less when it finds something. What it finds is made as simple as possible, its
    hypotheses are checked in rational arithmetic and the contradiction is proved exactly wherever one of the proofs of
    docs/falsify.md applies; otherwise it rests on two integrations. `progress` is called with the seconds that have
    passed; by default a bar appears on a terminal.

    No counterexample, hypotheses that no sample met, and an interrupt are results: see `Falsification`. Raises BadInput
    for text that is no claim, naming what was not understood.

    Source: this package, docs/falsify.md.
    """
    stated = parse(claim, conclusion)
    dim, seconds, start = _whole("d", d, 1, MAX_DIM), positive("budget", budget), _whole("seed", seed, 0, 2**63 - 1)
    with jax.enable_x64(True), progress_bar(seconds, progress, words="falsify") as report:
        return _result(stated, dim, seconds, start, report)


def _result(claim: Claim, dim: int, budget: float, seed: int, report: Progress) -> Falsification:
    found = search(claim, dim=dim, budget=budget, seed=seed, report=report)
    proof, near = found.proof, found.tightest
    basis = Basis.THEOREM if found.exact else Basis.NUMERICAL
    return Falsification(
        claim=claim,
        dim=dim,
        seed=seed,
        counterexample=None if proof is None else Counterexample(exact_arrays(proof.example), proof.reason, basis),
        verified=found.verified,
        tried=found.tried,
        drawn=found.drawn,
        tightest=None if near is None else NearMiss(exact_arrays(near.example), near.margin, near.words),
        seconds=found.seconds,
        interrupted=found.interrupted,
        script=found.script,
    )


def _whole(name: str, value: int, least: int, most: int) -> int:
    if isinstance(value, bool) or int(value) != value or not least <= value <= most:
        raise BadInput(f"`{name}` must be a whole number from {least} to {most}: {value!r} was found.")
    return int(value)
