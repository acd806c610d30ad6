"""The long run of one start: integrate until a verdict, and say what it rests on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..._linalg import numerical_rank
from ...flow.outcome import Basis, BlowUp, bracket
from ..carrier import carrier
from ..equilibria.newton import polish
from ..regime import Regime
from ..system import System
from .capture import Ball, Root
from .dynamics import SystemDynamics
from .growth import growth_of
from .large import LARGE, long_run_of_large
from .march import March
from .orbit import Orbit, orbit_of
from .outcome import Budget, Evidence
from .stratum import stratum_abscissa

if TYPE_CHECKING:
    from .cycle import Cycle


def long_run(
    system: System, factor: Float[np.ndarray, "d r"], *, budget: Budget | None = None, roots: list[Root] | None = None
) -> Evidence:
    """What becomes of the covariance L L^T, L the `factor`, under a `system` with constant parameters, by integration.

    The orbit is followed within the `budget` until it enters a ball around a stable equilibrium that no orbit leaves,
    settles on a limit cycle, or grows beyond doubt; else the verdict is undetermined. `roots` collects the equilibria
    met, so that other starts of the same system need not find them again; it must belong to this system.

    Source: this package, docs/theory/long-run.md.
    """
    budget = budget or Budget()
    start = visible_columns(factor)
    if start.shape[1] == 0:
        zero = np.zeros((system.dim, system.dim))
        return Evidence(
            Regime.ZERO, Basis.NUMERICAL, "the start is zero, and zero stays", 0.0, start, cov_limit=zero, rank=0
        )
    carried = carrier(system, start)
    basis = carried.basis
    if carried.near:
        reason = "the start lies within rounding of an invariant subspace: the floats do not say whether it leaves it"
        return Evidence(Regime.UNDETERMINED, Basis.UNDETERMINED, reason, 0.0, start)
    if system.dim > LARGE:
        return long_run_of_large(system, start, budget)
    if basis.shape[1] == system.dim:
        found = evidence_of(orbit_of(SystemDynamics(system), start, budget, [] if roots is None else roots))
    else:
        inside = carried.within(system, start)
        found = in_space(evidence_of(orbit_of(SystemDynamics(inside.system), inside.factor, budget, [])), basis)
    if found.cov_limit is None:
        return found
    equilibrium = polish(system, found.cov_limit)
    if equilibrium is not None and np.linalg.norm(equilibrium.cov - found.cov_limit) > 1e-6 * _size(found.cov_limit):
        equilibrium = None
    return dataclasses.replace(found, equilibrium=equilibrium)


def evidence_of(orbit: Orbit) -> Evidence:
    """Follow the `orbit`, and put what was found into words."""
    with np.errstate(all="ignore"):  # far out, covariances overflow: what is not finite is never a verdict
        orbit.follow()
    if orbit.captured is not None:
        found = _captured(orbit, *orbit.captured)
    elif orbit.stratum_root is not None:
        found = _on_stratum(orbit, orbit.stratum_root)
    elif orbit.growth is not None:
        found = _growing(orbit)
    elif orbit.cycle is not None:
        found = _periodic(orbit, orbit.cycle)
    elif orbit.slow is not None:
        found = _evidence(orbit, orbit.slow.regime, orbit.slow.how, cov_limit=orbit.slow.cov, rank=orbit.slow.rank)
    else:
        found = _undetermined(orbit, _why(orbit))
    return found


def visible_columns(factor: Float[np.ndarray, "d r"]) -> Float[np.ndarray, "d k"]:
    """A factor of the same covariance as `factor` with as many columns as its rank."""
    left, sizes, _ = np.linalg.svd(factor, full_matrices=False)
    keep = numerical_rank(sizes)  # of the factor, not of the covariance: small columns are not rounding
    if keep == factor.shape[1]:
        return np.array(factor, dtype=np.float64)
    return np.asarray(left[:, :keep] * sizes[:keep])


def in_space(found: Evidence, basis: Float[np.ndarray, "d k"]) -> Evidence:
    """What was `found` in the coordinates of `basis`, in all of R^d; its equilibrium is left out."""
    limit = None if found.cov_limit is None else basis @ found.cov_limit @ basis.T
    cycle = found.cycle
    if cycle is not None:
        cycle = dataclasses.replace(cycle, point=basis @ cycle.point @ basis.T)
    regime = Regime.RANK_DEFICIENT if found.regime is Regime.POSITIVE_DEFINITE else found.regime
    return dataclasses.replace(
        found,
        regime=regime,
        cov_limit=limit,
        cycle=cycle,
        equilibrium=None,
        end_factor=basis @ found.end_factor,
        reason=f"{found.reason}; the start lies in an invariant subspace of dimension {basis.shape[1]}, never left",
    )


def _captured(orbit: Orbit, root: Root, ball: Ball) -> Evidence:
    certified = ball.certified and root.proved
    how = "a ball that provably captures" if certified else "the neighbourhood (not proved)"
    words = f"enters {how}, around an equilibrium of abscissa {root.abscissa:.3g}"
    regime = _regime_of(root)
    if regime is None:
        return _undetermined(orbit, f"{words}, the rank of which is in doubt")
    return _evidence(orbit, regime, words, cov_limit=root.cov, rank=root.rank, rate=-root.abscissa, certified=certified)


def _regime_of(root: Root) -> Regime | None:
    """Zero, of lower rank or positive definite: the last one only with a margin beyond the error bound."""
    if root.rank is None:
        return None
    if root.rank < len(root.cov):
        return Regime.RANK_DEFICIENT if root.rank else Regime.ZERO
    return Regime.POSITIVE_DEFINITE if np.linalg.eigvalsh(root.cov)[0] > 2.0 * root.error else None


def _on_stratum(orbit: Orbit, root: Root) -> Evidence:
    rank = orbit.march.factor.shape[1]
    abscissa = stratum_abscissa(root, rank)
    words = f"rests at an equilibrium of its own rank {rank}, abscissa {abscissa:.3g} among covariances of that rank"
    if root.abscissa > 0:
        words += f" ({root.abscissa:.3g} among all: a start of full rank nearby leaves)"
    return _evidence(orbit, Regime.RANK_DEFICIENT, words, cov_limit=root.cov, rank=rank, rate=-abscissa)


def _periodic(orbit: Orbit, cycle: Cycle) -> Evidence:
    largest = float(np.abs(cycle.multipliers).max(initial=0.0))
    rank = int(np.count_nonzero(np.linalg.eigvalsh(cycle.point) > 1e-9 * np.trace(cycle.point)))
    if cycle.neutral:
        words = f"turns periodically, period {cycle.period:.6g}, among other periodic orbits"
        return _evidence(orbit, Regime.ROTATION, words, cycle=cycle, rank=rank)
    words = f"settles on a cycle of period {cycle.period:.6g}, largest multiplier {largest:.3g}"
    return _evidence(orbit, Regime.CYCLE, words, cycle=cycle, rank=rank)


def _growing(orbit: Orbit) -> Evidence:
    growth, march = orbit.growth, orbit.march
    assert growth is not None
    decades = (march.logs[-1] - min(march.logs)) / np.log(10.0)
    if growth.regime is Regime.BLOW_UP:
        assert growth.end is not None
        bracketed = _bracket(orbit, growth.end)
        if bracketed is None:
            return _undetermined(orbit, "looks like blow-up, but not at a second, tighter tolerance")
        words = f"the trace grows by {decades:.0f} decades like 1 / (T_f - t), T_f = {bracketed.estimate:.8g}"
        return _evidence(orbit, Regime.BLOW_UP, words, blow_up=bracketed)
    if growth.regime is Regime.EXPONENTIAL:
        words = f"log trace rises along a straight line over {decades:.0f} decades"
        return _evidence(orbit, Regime.EXPONENTIAL, words, rate=growth.rate)
    return _evidence(orbit, Regime.POLYNOMIAL, f"the trace grows like t^{growth.power:.3g}")


def _bracket(orbit: Orbit, first: float) -> BlowUp | None:
    """The blow-up time from a second run at a tighter tolerance, with its distance from the first as the width."""
    rtol = orbit.budget.rtol
    march = March(orbit.dynamics.generator, orbit.march.path[0], 0.03 * rtol)
    end = None
    while not march.stalled and end is None and march.steps < 4 * orbit.budget.steps:
        march.advance(16)
        growth = growth_of(march, orbit.dynamics)
        if growth is not None:
            end = growth.end
            break
    if end is None or abs(end - first) > 1e-2 * end:
        return None
    words = "integration to two tolerances: the trace grows in proportion to its square"
    here, there = (BlowUp(march.t, end, at, Basis.NUMERICAL, words) for at in (first, end))
    return bracket(here, there, rtol)


def _why(orbit: Orbit) -> str:
    march = orbit.march
    if march.stalled:
        return f"the integration cannot go on at t = {march.t:.6g}"
    return f"no verdict after {march.steps} steps, t = {march.t:.4g}"


def _undetermined(orbit: Orbit, reason: str) -> Evidence:
    return Evidence(
        Regime.UNDETERMINED, Basis.UNDETERMINED, reason, orbit.march.t, orbit.march.factor, steps=orbit.march.steps
    )


def _evidence(orbit: Orbit, regime: Regime, reason: str, **found: object) -> Evidence:
    base = Evidence(regime, Basis.NUMERICAL, reason, orbit.march.t, orbit.march.factor, steps=orbit.march.steps)
    return dataclasses.replace(base, **found)  # type: ignore[arg-type]


def _size(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix)) or 1.0
