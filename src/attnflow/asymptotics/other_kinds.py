"""The long run under attention for which Section 4 proves nothing: global existence, and numerical evidence.

Source: this package, docs/theory/definite.md, Global existence.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..flow.outcome import Basis
from ..measures.gaussian import Gaussian
from ..transformer.layer import AbstractLayer
from .classification import Classified, as_finding, beside_existence, together
from .evidence import Budget, long_run_of_layer, start_factors
from .existence import global_existence
from .hypotheses import EPS
from .regime import Finding, MeanRegime
from .statements import EVIDENCE, GLOBAL_EXISTENCE
from .theorem_c import MeanFinding


def classify_layer(
    layer: AbstractLayer, dim: int, factor: np.ndarray | None, mean: np.ndarray | None, *, budget: Budget, seed: int
) -> tuple[Classified, MeanFinding]:
    """What becomes of covariance and mean under a `layer` of any kind in dimension `dim`.

    `factor` (d, r) and `mean` (d,) are the start; without them several starts are drawn with `seed`, the mean zero.
    Each is followed within the `budget`. That there is no blow-up may be a theorem; the rest is numerical. Runs in
    JAX's x64 mode, which the caller sets.

    Source: this package, docs/theory/long-run.md, Numerical evidence.
    """
    exists = global_existence(layer)
    center = np.zeros(dim) if mean is None else mean
    if factor is None:
        starts = start_factors(dim, seed=seed)
        runs = tuple(long_run_of_layer(layer, Gaussian(center, L), budget=budget) for L in starts)
        finding = together(runs, never=exists.applies)
    else:
        runs = (long_run_of_layer(layer, Gaussian(center, factor), budget=budget),)
        finding = as_finding(runs[0])
    tried = () if exists.applies else (exists,)
    excluded = f"this kind of attention excludes it ({GLOBAL_EXISTENCE.name})" if exists.applies else ""
    finding = beside_existence(finding, excluded)
    moved = _mean(layer, finding, None if factor is None else mean)
    return Classified(finding, tried, runs), moved


def _mean(layer: AbstractLayer, finding: Finding, mean: np.ndarray | None) -> MeanFinding:
    """The mean at the limit of the covariance, where its velocity there is affine in the mean."""
    if finding.cov is None:
        return _nothing("the covariance has no known limit that the mean could follow")
    velocity = _mean_velocity(layer, finding.cov)
    dim = len(finding.cov)
    drift = velocity(np.zeros(dim))
    R = np.stack([velocity(unit) - drift for unit in np.eye(dim)], axis=1)
    probe = np.cos(np.arange(1.0, dim + 1.0))
    gap = velocity(probe) - (R @ probe + drift)
    scale = float(np.linalg.norm(R)) + float(np.linalg.norm(drift))
    if float(np.linalg.norm(gap)) > 1e-8 * scale:
        return _nothing("the mean's velocity is not affine in the mean for this kind of attention")
    if mean is not None and not np.any(mean) and not np.any(drift):
        return MeanFinding(MeanRegime.LIMIT, Basis.NUMERICAL, EVIDENCE, mean=np.zeros(dim), reason="it stays zero")
    abscissa = float(np.linalg.eigvals(R).real.max())
    reason = f"largest real part of the mean's generator at the limit of the covariance: {abscissa:.6g}"
    if abscissa < -1e6 * EPS * scale:
        limit = np.linalg.solve(R, -drift)
        return MeanFinding(MeanRegime.LIMIT, Basis.NUMERICAL, EVIDENCE, mean=limit, reason=reason)
    if abscissa > 1e6 * EPS * scale:
        outside = f"{reason}; outside an affine set of means"
        return MeanFinding(MeanRegime.DIVERGENCE, Basis.NUMERICAL, EVIDENCE, reason=outside)
    return _nothing(reason)


def _mean_velocity(layer: AbstractLayer, cov: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    values, vectors = np.linalg.eigh(cov)
    factor = vectors * np.sqrt(np.maximum(values, 0.0))

    def velocity(mean: np.ndarray) -> np.ndarray:
        field = layer.at_gaussian(Gaussian(mean, factor))
        return np.asarray(field.apply(mean[:, None])[:, 0] + field.offset)

    return velocity


def _nothing(reason: str) -> MeanFinding:
    return MeanFinding(MeanRegime.UNDETERMINED, Basis.UNDETERMINED, EVIDENCE, reason=reason)
