"""The search: draw, prove, screen; then simplify what was found and check it once more by its own script.

Source: this package, docs/falsify.md.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from .evidence import confirmed, screen
from .example import Example
from .language import Claim
from .proofs import Case, Proof
from .prove import meets_exactly, prove
from .sampler import Family, Sampler, Stack, parts_of
from .script import numerical_script, run_script, script_of
from .simplify import simplified

BATCH = 128
# samples that are looked at after the first find, for a simpler one, and the part of the budget that this may take;
# the part for simplification, and at most so many seconds
LOOK_ON, LOOK_TIME, SIMPLIFY, LONG = 150, 0.1, 0.2, 10.0
# seconds of proofs alone before batches are integrated as well, and the part of the budget after which a numerical
# counterexample is good enough
PROOFS_FIRST, PATIENCE = 2.0, 0.3
# the part of the time that integrations may take
SHARE = 0.3

Report = Callable[[float], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Tightest:
    """The sample that came closest to a violation: `margin`, measured as `words` say."""

    example: Example
    margin: float
    words: str


@dataclasses.dataclass(eq=False)
class Search:
    """What was found: `proof` with its `script`, `exact` or numerical, `verified` by running the script.

    `tried` samples met the conditions out of `drawn`; `accepted` by family; `seconds` and whether it was `interrupted`.
    """

    proof: Proof | None = None
    exact: bool = False
    verified: bool = False
    script: str = ""
    tried: int = 0
    drawn: int = 0
    tightest: Tightest | None = None
    seconds: float = 0.0
    interrupted: bool = False
    accepted: dict[Family, int] = dataclasses.field(default_factory=dict)


def search(claim: Claim, *, dim: int, budget: float, seed: int, report: Report) -> Search:
    """Look for a system of dimension `dim` that contradicts `claim` for at most about `budget` seconds.

    `report` is called with the seconds that have passed. An interrupt ends the search with what was tried. Runs in
    JAX's x64 mode, which the caller sets.
    """
    started, found = time.monotonic(), Search()
    sampler = Sampler(claim.conditions, dim, np.random.default_rng(seed))
    try:
        best = _hunt(claim, sampler, found, started, budget, report)
        if best is not None:
            deadline = time.monotonic() + min(SIMPLIFY * budget, LONG)
            _finish(claim, sampler, found, best, deadline)
    except KeyboardInterrupt:
        found.interrupted = True
    found.drawn, found.accepted = sum(sampler.drawn.values()), dict(sampler.accepted)
    found.seconds = time.monotonic() - started
    return found


def _hunt(
    claim: Claim, sampler: Sampler, found: Search, started: float, budget: float, report: Report
) -> tuple[Proof, bool] | None:
    """The lightest proof, or a numerical counterexample after a while without one; whether it is exact."""
    best, numerical, stop, left = None, None, started + (1 - SIMPLIFY) * budget, LOOK_ON
    screening = 0.0
    while left and (now := time.monotonic()) < stop:
        report(min(now - started, budget))
        stack = sampler.draw(2 * BATCH)
        for index in range(len(stack["A"])):
            if time.monotonic() > stop or not left:
                break
            found.tried += 1
            left -= best is not None
            case = Case(parts_of(stack, index), claim.conclusion, singular=sampler.singular, hint=stack["hint"][index])
            if best is not None and case.example.matrix_weight >= _total(best):
                continue
            proof = prove(case, claim.conditions)
            if proof is not None and (best is None or _total(proof) < _total(best)):
                if best is None:
                    stop = min(stop, time.monotonic() + LOOK_TIME * budget)
                best = proof
        if best is None and len(stack["A"]) and time.monotonic() < stop:
            now = time.monotonic()
            if now - started > min(PROOFS_FIRST, 0.1 * budget) and screening <= SHARE * (now - started):
                numerical = _screened(claim, sampler, found, _filled(stack), numerical)
                screening += time.monotonic() - now
            if numerical is not None and now - started > PATIENCE * budget:
                break
    if best is not None:
        return best, True
    return None if numerical is None else (numerical, False)


def _filled(stack: Stack) -> Stack:
    """A batch of the one size that is compiled for: the samples of `stack`, repeated or cut."""
    index = np.resize(np.arange(len(stack["A"])), BATCH)
    return {name: values[index] for name, values in stack.items()}


def _screened(claim: Claim, sampler: Sampler, found: Search, stack: Stack, known: Proof | None) -> Proof | None:
    """Integrate a batch: keep the tightest sample, and a violation that SciPy confirms if none is `known` yet."""
    seen = screen(stack, claim.conclusion)
    if np.isfinite(seen.margin).any():
        index = int(np.argmin(seen.margin))
        if found.tightest is None or seen.margin[index] < found.tightest.margin:
            example = _case(claim, sampler, stack, index).example
            found.tightest = Tightest(example, float(seen.margin[index]), seen.words)
    for index in seen.suspects[:2] if known is None else ():
        proof = _numerical(claim, sampler, _case(claim, sampler, stack, int(index)).example)
        if proof is not None:
            return proof
    return known


def _case(claim: Claim, sampler: Sampler, stack: Stack, index: int) -> Case:
    return Case(parts_of(stack, index), claim.conclusion, singular=sampler.singular)


def _numerical(claim: Claim, sampler: Sampler, example: Example) -> Proof | None:
    """What two integrations show, for a system that meets the conditions exactly."""
    if not meets_exactly(example, claim.conditions, singular=sampler.singular):
        return None
    words = confirmed(example, claim.conclusion)
    return None if words is None else Proof(example, words, ())


def _finish(claim: Claim, sampler: Sampler, found: Search, best: tuple[Proof, bool], deadline: float) -> None:
    proof, exact = best

    def again(example: Example) -> Proof | None:
        if not exact:
            return _numerical(claim, sampler, example)
        return prove(Case.of(example, claim.conclusion, singular=sampler.singular), claim.conditions)

    found.proof, found.exact = proof, exact  # an interrupt keeps it as it is
    found.proof = simplified(proof, again, deadline)
    writer = script_of if exact else numerical_script
    found.script = writer(claim, found.proof, singular=sampler.singular)
    found.verified = run_script(found.script) if exact else confirmed(found.proof.example, claim.conclusion) is not None


def _total(proof: Proof) -> float:
    return proof.burden + proof.example.weight
