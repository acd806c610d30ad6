"""Theorem C: what the mean does once the covariance converges.

Source: this package, docs/theory/long-run.md, Theorem C.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..flow.outcome import Basis
from .hypotheses import EPS, eigenvalue_noise
from .regime import Held, Hypothesis, MeanRegime
from .statements import HOMOGENEOUS, THEOREM_C, Statement
from .system import System

ROUNDING = 1e3
SEEN = 1e-6


@dataclasses.dataclass(frozen=True)
class MeanFinding:
    """What becomes of the mean: the `regime`, what it rests on, the limit `mean` (d,) and `reason` in words."""

    regime: MeanRegime
    basis: Basis
    statement: Statement
    hypotheses: tuple[Hypothesis, ...] = ()
    mean: np.ndarray | None = None
    reason: str = ""


def stays_zero(system: System, mean: np.ndarray | None) -> MeanFinding | None:
    """The finding for a `mean` (d,) that starts at 0 in a `system` without any bias: it stays there; else None."""
    if mean is None or np.any(mean) or np.any(system.bias) or np.any(system.tilts):
        return None
    rule = Hypothesis("mean(0) = 0 and no bias", Held.HOLDS, 0.0, exact=True)
    return MeanFinding(MeanRegime.LIMIT, Basis.THEOREM, HOMOGENEOUS, (rule,), mean=np.zeros(system.dim))


def mean_spectrum(system: System, cov: np.ndarray) -> tuple[np.ndarray, float]:
    """The eigenvalues of A + sum V_h + sum V_h `cov` B_h of the `system`, and what rounding may move them by."""
    R = system.mean_generator(cov)
    values, vectors = np.linalg.eig(R)
    return values, max(eigenvalue_noise(R, vectors, ulps=ROUNDING / len(R)), ROUNDING * EPS * EPS)


def theorem_c(
    system: System, cov: np.ndarray, basis: Basis, mean: np.ndarray | None, *, error: float = 0.0
) -> MeanFinding:
    """The long run of the mean of `system` when the covariance converges to `cov` (d, d), known up to `error`.

    `basis` is what that limit rests on; `mean` (d,) is given only if the divergence of a single start is not asked:
    with it the verdict of divergence speaks of all means outside an affine set.

    Source: :cite:alcalde2026, Thm. 4.8; this package, docs/theory/long-run.md, Theorem C.
    """
    still = stays_zero(system, mean)
    if still is not None:
        return still
    values, noise = mean_spectrum(system, cov)
    pull = float(sum(np.linalg.norm(V, 2) * np.linalg.norm(B, 2) for V, B in zip(system.V, system.B, strict=True)))
    noise += pull * error
    abscissa = float(values.real.max())
    name = "Re spec(A + V + V Sigma_inf B)"
    if abscissa < -noise:
        rule = Hypothesis(f"{name} < 0", Held.HOLDS, -abscissa)
        limit = np.linalg.solve(system.mean_generator(cov), -system.drift(cov))
        return MeanFinding(MeanRegime.LIMIT, basis, THEOREM_C, (rule,), mean=limit)
    if abscissa > noise:
        rule = Hypothesis(f"max {name} > 0", Held.HOLDS, abscissa)
        count = int(np.count_nonzero(values.real > noise))
        reason = f"for every mean outside an affine set of codimension at least {count}"
        return MeanFinding(MeanRegime.DIVERGENCE, basis, THEOREM_C, (rule,), reason=reason)
    return _marginal(values, abscissa, noise, Hypothesis(f"{name} < 0", Held.BORDERLINE, -abscissa))


def _marginal(values: np.ndarray, abscissa: float, noise: float, rule: Hypothesis) -> MeanFinding:
    """The rightmost eigenvalues lie on the axis: a rotation if they are simple and not zero, else nothing is said."""
    on = values[values.real > abscissa - 2 * noise]
    apart = np.abs(on[:, None] - on[None, :]) + np.eye(len(on))
    simple = bool(np.all(apart > 1e3 * noise) and np.all(np.abs(on.imag) > 1e3 * noise))
    if simple:
        reason = "the rightmost eigenvalues lie on the imaginary axis within rounding"
        return MeanFinding(MeanRegime.ROTATION, Basis.NUMERICAL, THEOREM_C, (rule,), reason=reason)
    reason = "an eigenvalue of the mean's generator is zero, or multiple on the imaginary axis, within rounding"
    return MeanFinding(MeanRegime.UNDETERMINED, Basis.UNDETERMINED, THEOREM_C, (rule,), reason=reason)


def departs(system: System, cov: np.ndarray, mean: np.ndarray) -> float:
    """How much of `mean` (d,) lies in the unstable part of the mean's generator at rest at `cov`, relative to its size.

    The mean runs away from -R^{-1} drift along the eigenvectors of R = A + V + V cov B with Re > 0.
    """
    R = system.mean_generator(cov)
    values, vectors = np.linalg.eig(R)
    rest = np.linalg.lstsq(R, -system.drift(cov), rcond=None)[0]
    parts = np.linalg.solve(vectors, (mean - rest).astype(complex))
    unstable = np.linalg.norm(vectors[:, values.real > 0] @ parts[values.real > 0])
    return float(unstable / max(float(np.linalg.norm(mean - rest)), float(np.linalg.norm(rest)), 1e-300))
