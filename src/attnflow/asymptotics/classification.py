"""The long run of a system: the theorems in turn, then numerical evidence, else undetermined.

Source: this package, docs/theory/long-run.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from ..flow.outcome import Basis
from .carrier import carrier
from .equilibria.equilibrium import Equilibrium
from .evidence import Budget, Evidence, long_run, several_starts
from .evidence.capture import Root
from .evidence.run import in_space
from .existence import global_existence
from .hypotheses import EXACT_LIMIT, ExactSystem
from .regime import Attempt, Finding, Held, Hypothesis, Regime, Trial
from .statements import AT_REST, EVIDENCE
from .system import System
from .theorem_a import theorem_a
from .theorem_b import theorem_b
from .theorem_d import theorem_d
from .theorem_e import small_start, theorem_e

VALUE = "V = eta I"
GROWING = (Regime.EXPONENTIAL, Regime.POLYNOMIAL)
BLOWING = (Regime.BLOW_UP, Regime.ZERO_OR_BLOW_UP)


@dataclasses.dataclass(frozen=True)
class Classified:
    """The `finding` about the covariance, the theorems that were `tried` before it, and the `evidence` if any."""

    finding: Finding
    tried: tuple[Attempt, ...]
    evidence: tuple[Evidence, ...] = ()


def classify_covariance(
    system: System, factor: np.ndarray | None, *, budget: Budget, seed: int, roots: list[Root] | None = None
) -> Classified:
    """The regime of the covariance of `system` from the start `factor` (d, r), or from every positive definite one.

    The first theorem that decides is the answer. Else the start, or several ones drawn with `seed`, are followed within
    the `budget`. `roots` collects the equilibria met, for further starts of the same system.

    Source: this package, docs/theory/long-run.md.
    """
    if factor is not None:
        carried = carrier(system, factor)
        if carried.basis.shape[1] < system.dim:
            inside = carried.within(system, factor)
            found = classify_covariance(inside.system, inside.factor, budget=budget, seed=seed)
            return _lifted(found if inside.exact else _rounded(found), carried.basis)
    exact = ExactSystem(system)
    tried: list[Attempt] = []
    for theorem in _theorems(system, exact, factor):
        trial = theorem()
        if trial.finding is not None:
            return Classified(_with_never(system, trial.finding), tuple(tried))
        tried.append(trial.attempt)
    if factor is None:
        runs = tuple(several_starts(system, seed=seed, budget=budget))
        finding = together(runs, never=global_existence(system).applies)
        return Classified(_with_never(system, finding), tuple(tried), runs)
    run = long_run(system, factor, budget=budget, roots=roots)
    finding = as_finding(run)
    whole = factor.shape[1] == system.dim and not run.certified
    if whole and run.cov_limit is not None and Equilibrium(system, run.cov_limit).stable is False:
        reason = "it seems to come to rest at an equilibrium that repels: closer than floating point can follow"
        finding = Finding(Regime.UNDETERMINED, Basis.UNDETERMINED, EVIDENCE, reason=reason)
    return Classified(_with_never(system, finding), tuple(tried), (run,))


def _theorems(system: System, exact: ExactSystem, factor: np.ndarray | None) -> tuple[Callable[[], Trial], ...]:
    return (
        lambda: at_rest(exact, factor),
        lambda: theorem_a(system, exact, factor),
        lambda: theorem_b(system, exact, factor),
        lambda: theorem_d(system, exact),
        lambda: theorem_e(system, exact, factor),
        lambda: small_start(system, exact, factor),
    )


def at_rest(exact: ExactSystem, factor: np.ndarray | None) -> Trial:
    """Whether the start `factor` (d, r) is an equilibrium exactly, in rational arithmetic (`exact`)."""
    if factor is None:
        return Trial(Attempt(str(AT_REST), (), note="there is no start"))
    cov = factor @ factor.T
    close = _nearly_rests(exact, cov)
    rests = factor.shape[1] == 0 or (close and exact.rests(factor))
    if not rests:
        near = close and exact.is_at_rest(cov)  # L L^T rounds to an equilibrium, which may repel
        rule = Hypothesis("F(cov(0)) = 0", Held.BORDERLINE if near else Held.FAILS, 0.0, exact=not near)
        return Trial(Attempt(str(AT_REST), (rule,)))
    rule = Hypothesis("F(cov(0)) = 0", Held.HOLDS, 0.0, exact=True)
    dim, rank = factor.shape
    regime = Regime.ZERO if rank == 0 else Regime.POSITIVE_DEFINITE if rank == dim else Regime.RANK_DEFICIENT
    reason = "other starts nearby may go elsewhere"
    finding = Finding(
        regime, Basis.THEOREM, AT_REST, (rule,), cov=cov, rank=rank, never="the start is at rest", reason=reason
    )
    return Trial(Attempt(str(AT_REST), (rule,)), finding)


def _nearly_rests(exact: ExactSystem, cov: np.ndarray) -> bool:
    """Whether floats leave it open that cov is at rest, in a dimension where exact arithmetic can tell."""
    system = exact.system
    terms = float(np.linalg.norm(system.A) + np.linalg.norm(system.generator(cov) - system.A))
    return len(cov) <= EXACT_LIMIT and bool(np.linalg.norm(system.rate(cov)) <= 1e-8 * terms * np.linalg.norm(cov))


def as_finding(run: Evidence) -> Finding:
    """What the orbit of one start (`run`) says."""
    return Finding(
        run.regime,
        run.basis,
        EVIDENCE,
        cov=run.cov_limit,
        rank=run.rank,
        rate=run.rate,
        blow_up=run.blow_up,
        reason=run.reason,
    )


def together(runs: tuple[Evidence, ...], *, never: bool) -> Finding:
    """What the orbits of several starts (`runs`) say of all of them: one regime, several, or nothing.

    Growth counts only where blow-up is `never` possible: else a slower direction may still blow up.
    """
    doubtful = (Regime.UNDETERMINED, *(BLOWING if never else GROWING))
    decided = [run for run in runs if run.regime not in doubtful]
    regimes = {run.regime for run in decided}
    count = f"{len(runs)} starts followed"
    if len(decided) < len(runs) and len(regimes) < 2:
        reason = next(run.reason for run in runs if run not in decided)
        return Finding(Regime.UNDETERMINED, Basis.UNDETERMINED, EVIDENCE, reason=f"{count}: {reason}")
    limits = _distinct([run.cov_limit for run in decided if run.cov_limit is not None])
    if regimes == {Regime.ZERO, Regime.BLOW_UP}:
        return Finding(Regime.ZERO_OR_BLOW_UP, Basis.NUMERICAL, EVIDENCE, reason=count)
    if len(regimes) > 1 or (len(limits) > 1 and regimes != {Regime.CONTINUUM}):
        found = ", ".join(sorted(str(regime) for regime in regimes))
        reason = f"{count}: {found}" + (f"; {len(limits)} different limits" if len(limits) > 1 else "")
        return Finding(Regime.SEVERAL, Basis.NUMERICAL, EVIDENCE, reason=reason)
    first = decided[0]
    one = len(limits) == 1
    return Finding(
        first.regime, Basis.NUMERICAL, EVIDENCE, cov=limits[0] if one else None, rank=first.rank if one else None,
        rate=min((run.rate for run in decided if run.rate is not None), default=None) if one else None,
        reason=f"{count}, all alike: {first.reason}",
    )  # fmt: skip


def _distinct(limits: list[np.ndarray]) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for limit in limits:
        if not any(np.linalg.norm(limit - other) <= 1e-6 * np.linalg.norm(other) for other in found):
            found.append(limit)
    return found


def _with_never(system: System, finding: Finding) -> Finding:
    """The finding beside what signs alone say of a blow-up: where they exclude it, and where nothing does.

    Growth that was only seen does not exclude that a slower direction blows up later; without a proof that nothing does
    it stays undetermined.
    """
    if finding.basis is Basis.THEOREM and (finding.never or finding.regime in BLOWING):
        return finding
    excluded = "the signs of V and B exclude it (Global existence)" if global_existence(system).applies else ""
    return beside_existence(finding, excluded)


def beside_existence(finding: Finding, excluded: str) -> Finding:
    """A numerical `finding` beside a proof, in the words `excluded`, that nothing blows up ("" if there is none)."""
    if excluded and finding.regime in BLOWING:
        reason = f"the integration saw a {Regime.BLOW_UP}, but {excluded}"
        return Finding(Regime.UNDETERMINED, Basis.UNDETERMINED, EVIDENCE, reason=reason)
    if excluded:
        return dataclasses.replace(finding, never=excluded)
    if finding.basis is Basis.NUMERICAL and finding.regime in GROWING:
        reason = f"{finding.regime} so far ({finding.reason}); nothing excludes a later blow-up in a slower direction"
        return Finding(Regime.UNDETERMINED, Basis.UNDETERMINED, EVIDENCE, rate=finding.rate, reason=reason)
    return finding


def _rounded(found: Classified) -> Classified:
    """What was `found` of matrices that were rounded: equalities that were decided for them say nothing."""
    if found.finding.basis is not Basis.THEOREM or not any(
        h.exact and h.name != VALUE for h in found.finding.hypotheses
    ):
        return found
    reason = "within its invariant subspace a hypothesis of the theorem is decided by rounding"
    return Classified(Finding(Regime.UNDETERMINED, Basis.UNDETERMINED, EVIDENCE, reason=reason), found.tried)


def _lifted(found: Classified, basis: np.ndarray) -> Classified:
    """What was `found` in the coordinates of an invariant subspace, in all of R^d."""
    finding = found.finding
    regime = Regime.RANK_DEFICIENT if finding.regime is Regime.POSITIVE_DEFINITE else finding.regime
    cov = None if finding.cov is None else basis @ finding.cov @ basis.T
    words = f"the start lies exactly in an invariant subspace of dimension {basis.shape[1]}, which it never leaves"
    reason = f"{finding.reason}; {words}" if finding.reason else words
    lifted = dataclasses.replace(finding, regime=regime, cov=cov, reason=reason)
    evidence = tuple(in_space(run, basis) for run in found.evidence)
    return Classified(lifted, found.tried, evidence)
