"""`classify`: the long run of a Gaussian under constant parameters, by theorem where one applies."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from ..._check import positive
from ...asymptotics.blow_up import blow_up_bounds
from ...asymptotics.classification import Classified, classify_covariance
from ...asymptotics.equilibria.equilibrium import Equilibrium
from ...asymptotics.evidence import Budget
from ...asymptotics.evidence.run import visible_columns
from ...asymptotics.mean_run import classify_mean
from ...asymptotics.other_kinds import classify_layer
from ...asymptotics.regime import Finding, Regime
from ...asymptotics.system import System, system_of
from ...asymptotics.theorem_c import MeanFinding
from ...files.provenance import provenance
from ...flow.gaussian import flow_gaussian, is_exact
from ...flow.leg import Options
from ...flow.outcome import BlowUp
from ...measures.gaussian import Gaussian
from ...transformer.layer import AbstractLayer
from ..progress import waiting
from .constant_model import dimension_of
from .verdict import BoundedBlowUp, Verdict

BEYOND = 1.01


def classify(
    model: AbstractLayer,
    start: Gaussian | None = None,
    *,
    dim: int | None = None,
    budget: float = 10.0,
    seed: int = 0,
) -> Verdict:
    """The long-run regime of covariance and mean under `model` with constant parameters.

    With a `start` the verdict is about that Gaussian, without one about every positive definite covariance (and every
    mean). The theorems of docs/theory/long-run.md are tried first, with all hypotheses evaluated; where none decides,
    the flow is followed for at most `budget` seconds a start (several ones drawn with `seed` if none is given), and the
    verdict is numerical; else it is undetermined. `dim` is needed only without a start, when all parameters are
    scalars.

    Raises BadInput for parameters that change with depth, for what is not a layer or not a Gaussian, when the
    dimensions disagree, and for attention that moves tokens only.

    Source: this package, docs/theory/long-run.md; :cite:alcalde2026, Sect. 4.
    """
    size = dimension_of(model, start, dim)
    allowed = Budget(seconds=positive("budget", budget))
    with jax.enable_x64(True), waiting("following the flow"):
        factor, mean = (None, None) if start is None else _columns(start)
        system = system_of(model, size)
        if system is None:
            is_exact(model, Gaussian(np.zeros(size), np.eye(size)), 0.0)  # attention that moves tokens only says so
            covariance, moved = classify_layer(model, size, factor, mean, budget=allowed, seed=seed)
            return _verdict(model, start, None, covariance, moved, seed)
        covariance = classify_covariance(system, factor, budget=allowed, seed=seed)
        covariance = dataclasses.replace(covariance, finding=_timed(model, start, system, covariance.finding))
        cycle = next((run.cycle for run in covariance.evidence if run.cycle is not None), None)
        moved = classify_mean(system, covariance.finding, factor, mean, cycle)
        return _verdict(model, start, system, covariance, moved, seed)


def _columns(start: Gaussian) -> tuple[np.ndarray, np.ndarray]:
    """A factor with independent columns, and the mean, in float64."""
    factor = visible_columns(np.asarray(start.factor, dtype=np.float64))
    return factor, np.asarray(start.mean, dtype=np.float64)


def _timed(model: AbstractLayer, start: Gaussian | None, system: System, finding: Finding) -> Finding:
    """The finding with a bracket of the blow-up time where a theorem gave only the fact and bounds."""
    if finding.regime is not Regime.BLOW_UP or finding.blow_up is not None or start is None:
        return finding
    upper = blow_up_bounds(system, np.asarray(start.cov, dtype=np.float64)).upper
    if upper is None:
        return finding
    options = Options()
    solution = flow_gaussian(model, start, BEYOND * upper, np.array([BEYOND * upper]), options, lambda t: None)
    return dataclasses.replace(finding, blow_up=solution.blow_up)


def _verdict(
    model: AbstractLayer, start: Gaussian | None, system: System | None, found: Classified, moved: MeanFinding,
    seed: int,
) -> Verdict:  # fmt: skip
    finding = found.finding
    runs = [run for run in found.evidence if run.equilibrium is not None or run.cycle is not None]
    equilibrium = None
    if system is not None and finding.cov is not None:
        known = next((run.equilibrium for run in runs if run.equilibrium is not None), None)
        equilibrium = known or Equilibrium(system, finding.cov, finding.rank)
    return Verdict(
        covariance=finding.regime,
        mean=moved.regime,
        basis=finding.basis,
        mean_basis=moved.basis,
        statement=str(finding.statement),
        mean_statement=str(moved.statement),
        hypotheses=finding.hypotheses,
        mean_hypotheses=moved.hypotheses,
        tried=found.tried,
        covariance_limit=finding.cov,
        mean_limit=moved.mean,
        rank=finding.rank,
        rate=finding.rate,
        cycle=next((run.cycle for run in runs if run.cycle is not None), None),
        blow_up=_bounded(start, system, finding),
        never=finding.never,
        equilibrium=equilibrium,
        reason=finding.reason,
        mean_reason=moved.reason,
        system=system,
        model=model,
        start=start,
        seed=seed,
        provenance=provenance(),
    )


def _bounded(start: Gaussian | None, system: System | None, finding: Finding) -> BoundedBlowUp | None:
    """The blow-up with the bounds of Theorem E, for verdicts of blow-up."""
    if finding.regime is not Regime.BLOW_UP:
        return None
    bounds = None
    if system is not None and start is not None:
        bounds = blow_up_bounds(system, np.asarray(start.cov, dtype=np.float64), rank=start.rank)
    if finding.blow_up is None:
        return BoundedBlowUp(None, None, None, finding.basis, str(finding.statement), bounds)
    b: BlowUp = finding.blow_up
    return BoundedBlowUp(b.lower, b.upper, b.estimate, b.basis, b.statement, bounds)
