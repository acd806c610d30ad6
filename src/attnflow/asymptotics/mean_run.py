"""The long run of the mean: Theorem C where the covariance converges, else by following both.

Source: this package, docs/theory/long-run.md, Theorem C.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.integrate import solve_ivp

from ..flow.outcome import Basis, BlowUp
from .evidence.cycle import Cycle
from .regime import Finding, MeanRegime, Regime
from .statements import EVIDENCE
from .system import System
from .theorem_c import SEEN, MeanFinding, departs, mean_spectrum, stays_zero, theorem_c

LARGEST_GROWTH = 60.0  # e-folds that a mean is followed for
EVALUATIONS = 40_000
RTOL = 1e-9


class _TooLong(Exception):
    """More evaluations than allowed."""


def classify_mean(
    system: System, finding: Finding, factor: np.ndarray | None, mean: np.ndarray | None, cycle: Cycle | None
) -> MeanFinding:
    """The regime of the mean of `system` where the covariance has the long run `finding`.

    `factor` (d, r) and `mean` (d,) are the start, or None for all of them; `cycle` is the limit cycle of the
    covariance, if it is one.

    Source: this package, docs/theory/long-run.md, Theorem C.
    """
    still = stays_zero(system, mean)
    if still is not None:
        return still
    if finding.cov is not None and finding.basis is not Basis.UNDETERMINED:
        found = theorem_c(system, finding.cov, finding.basis, mean)
        if found.regime is not MeanRegime.DIVERGENCE or mean is None or factor is None:
            return found
        return _of_this_start(system, finding.cov, finding.rate, found, factor, mean)
    if cycle is not None:
        return _on_cycle(system, cycle)
    return _without_limit(system, finding, factor, mean)


def _without_limit(system: System, finding: Finding, factor: np.ndarray | None, mean: np.ndarray | None) -> MeanFinding:
    if mean is None or factor is None:
        return _nothing("the covariance has no limit that the mean could follow")
    if finding.regime is Regime.BLOW_UP and finding.blow_up is not None:
        return _before_blow_up(system, factor, mean, finding.blow_up)
    if finding.regime in (Regime.EXPONENTIAL, Regime.POLYNOMIAL, Regime.ROTATION):
        return _followed(system, factor, mean)
    return _nothing("the covariance has no known limit that the mean could follow")


def _nothing(reason: str) -> MeanFinding:
    return MeanFinding(MeanRegime.UNDETERMINED, Basis.UNDETERMINED, EVIDENCE, reason=reason)


def _of_this_start(
    system: System, cov: np.ndarray, rate: float | None, found: MeanFinding, factor: np.ndarray, mean: np.ndarray
) -> MeanFinding:
    """Whether this start is outside the exceptional affine set: its unstable part, once the covariance has settled."""
    values, _ = mean_spectrum(system, cov)
    settled = 12.0 / (rate or 0.2 * float(np.linalg.norm(system.A, 2) or 1.0))
    end = min(settled, LARGEST_GROWTH / float(values.real.max()))
    path = _follow(system, factor, mean, np.array([end]))
    if path is None:
        return _nothing("the mean could not be followed until the covariance has settled")
    if not departs(system, cov, path[1][-1]) > SEEN:
        return _nothing("the mean starts, within rounding, in the affine set from which it does not diverge")
    return dataclasses.replace(found, basis=Basis.NUMERICAL, reason="its unstable part was followed and is not zero")


def _on_cycle(system: System, cycle: Cycle) -> MeanFinding:
    """The Floquet multipliers of the mean's equation around the cycle of the covariance."""
    d = system.dim

    def field(t: float, state: np.ndarray) -> np.ndarray:
        cov, frame = state[: d * d].reshape(d, d), state[d * d :].reshape(d, d)
        return np.concatenate([system.rate(cov).ravel(), (system.mean_generator(cov) @ frame).ravel()])

    start = np.concatenate([cycle.point.ravel(), np.eye(d).ravel()])
    end = solve_ivp(field, (0.0, cycle.period), start, method="DOP853", rtol=1e-10, atol=1e-12).y[d * d :, -1]
    radius = float(np.abs(np.linalg.eigvals(end.reshape(d, d))).max())
    reason = f"largest Floquet multiplier of the mean around the cycle: {radius:.6g}"
    if radius > 1 + 1e-6:
        return MeanFinding(MeanRegime.DIVERGENCE, Basis.NUMERICAL, EVIDENCE, reason=f"{reason}; outside an affine set")
    if radius > 1 - 1e-6:
        return _nothing(reason)
    if np.any(system.bias) or np.any(system.tilts):
        return MeanFinding(MeanRegime.ROTATION, Basis.NUMERICAL, EVIDENCE, reason=f"{reason}; driven by the cycle")
    return MeanFinding(MeanRegime.LIMIT, Basis.NUMERICAL, EVIDENCE, mean=np.zeros(d), reason=reason)


def _before_blow_up(system: System, factor: np.ndarray, mean: np.ndarray, blow_up: BlowUp) -> MeanFinding:
    """The mean at T_f (1 - 10^-k): a power law or a limit."""
    last = min(blow_up.lower, blow_up.estimate)
    width = max(1e-12, (blow_up.estimate - last) / blow_up.estimate)
    gaps = 10.0 ** -np.arange(2, min(8, int(-np.log10(width)) - 1))
    if len(gaps) < 4:
        return _nothing("the blow-up time is not known well enough to look at the mean before it")
    path = _follow(system, factor, mean, blow_up.estimate * (1 - gaps))
    if path is None:
        return _nothing("the mean could not be followed up to the blow-up")
    sizes = np.abs(path[1]).max(axis=1)  # squares would overflow
    grown = sizes[1:] / np.maximum(sizes[:-1], 1e-300)
    if np.all(grown[-3:] > 1.1):
        slope = float(np.log10(grown[-1]))
        reason = f"|mean| grows like (T_f - t)^-{slope:.3g} up to the blow-up time"
        return MeanFinding(MeanRegime.DIVERGENCE, Basis.NUMERICAL, EVIDENCE, reason=reason)
    steps = np.abs(np.diff(path[1], axis=0)).max(axis=1)
    if np.all(steps[1:] < 0.5 * steps[:-1]) and steps[-1] < 1e-3 * sizes[-1]:
        reason = "the mean stays finite up to the blow-up time"
        return MeanFinding(MeanRegime.LIMIT, Basis.NUMERICAL, EVIDENCE, mean=path[1][-1], reason=reason)
    return _nothing("the mean neither grows nor settles clearly before the blow-up time")


def _followed(system: System, factor: np.ndarray, mean: np.ndarray) -> MeanFinding:
    """Growth of the mean itself over doublings of the time, where the covariance has no limit."""
    unit = 1.0 / float(np.linalg.norm(system.A, 2) or 1.0)
    times = unit * 2.0 ** np.arange(1, 9)
    path = _follow(system, factor, mean, times)
    if path is None:
        return _nothing("the mean could not be followed for long")
    reached, means = path
    sizes = np.abs(means).max(axis=1)
    slopes = np.diff(np.log(np.maximum(sizes, 1e-300))) / np.diff(reached)
    if len(slopes) >= 4 and np.all(slopes[-3:] > 0.02 / unit) and sizes[-1] > 1e3 * (sizes[0] + 1e-300):
        reason = f"|mean| grows like e^({slopes[-1]:.4g} t)"
        return MeanFinding(MeanRegime.DIVERGENCE, Basis.NUMERICAL, EVIDENCE, reason=reason)
    if len(means) >= 6:
        change = np.abs(np.diff(means[-4:], axis=0)).max(axis=1)
        if np.all(change <= 1e-6 * (sizes.max() + 1e-300)):
            unforced = not np.any(system.bias) and not np.any(system.tilts) and sizes[-1] <= 1e-6 * sizes.max()
            limit = np.zeros_like(mean) if unforced else means[-1]
            reason = "followed until it no longer moves"
            return MeanFinding(MeanRegime.LIMIT, Basis.NUMERICAL, EVIDENCE, mean=limit, reason=reason)
    return _nothing("the mean neither settles nor grows clearly")


def _follow(
    system: System, factor: np.ndarray, mean: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """The times reached and the means (t, d) there, by DOP853 on [L | mean]; None if it takes too long."""
    d, r = factor.shape
    count = 0

    def field(t: float, state: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        if count > EVALUATIONS:
            raise _TooLong
        L, center = state[: d * r].reshape(d, r), state[d * r :]
        forms = np.einsum("ia,hij->haj", L, system.B)
        moved = system.A @ L + np.einsum("hij,ja,hab->ib", system.V, L, forms @ L)
        pulled = np.einsum("hij,j->i", system.V, center) + np.einsum("hij,ja,ha->i", system.V, L, forms @ center)
        drift = system.bias + np.einsum("hij,ja,ha->i", system.V, L, np.einsum("ja,hj->ha", L, system.tilts))
        return np.concatenate([moved.ravel(), system.A @ center + pulled + drift])

    start = np.concatenate([factor.ravel(), mean])
    size = float(np.abs(start).max(initial=0.0)) or 1.0
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            found = solve_ivp(
                field, (0.0, times[-1]), start, method="DOP853", t_eval=times, rtol=RTOL, atol=1e-12 * size
            )
    except _TooLong:
        return None
    if not len(found.t) or not np.all(np.isfinite(found.y)):
        return None
    return found.t, found.y[d * r :].T
