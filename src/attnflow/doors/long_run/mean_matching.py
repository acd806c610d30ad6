"""`mean_matching_bias`: the bias that makes a prescribed mean the limit, or why there is none."""

from __future__ import annotations

import numpy as np

from ..._check import BadInput, real_array, require_shape
from ..._types import ArrayLike
from ...asymptotics.regime import Regime
from ...asymptotics.theorem_c import mean_spectrum
from ...flow.outcome import Basis
from ...measures.gaussian import Gaussian
from ...transformer.layer import AbstractLayer
from .classify import classify
from .constant_model import dimension_of
from .verdict import Verdict


def mean_matching_bias(
    model: AbstractLayer, target: ArrayLike, start: Gaussian | None = None, *, dim: int | None = None
) -> np.ndarray:
    """The feed-forward bias b (d,) with which the mean tends to `target` (d,), from every start or from `start`.

    b = -(A + V + V Sigma_inf B) target - (what value and query biases contribute), with Sigma_inf the limit of the
    covariance under `model`, which does not depend on b; the bias that `model` has is replaced, not added to. `dim` is
    needed only when all parameters are scalars and there is no `start`.

    Raises BadInput, saying why, when no bias can: the covariance has no limit, its limit depends on the start (and
    none is given), or the mean runs away from every rest point because A + V + V Sigma_inf B has an eigenvalue with
    Re >= 0.

    Source: :cite:alcalde2026, Sect. 4.3; this package, docs/theory/long-run.md, Theorem C.
    """
    size = dimension_of(model, start, dim)
    wanted = real_array("target", target, ndim=(1,))
    require_shape("target", wanted.shape, (size,), because="to agree with `model`")
    verdict = classify(model, start, dim=size)
    cov = _limit(verdict)
    system = verdict.system
    if system is None:
        raise BadInput(
            "`model` must be made of softmax heads and affine feed-forward: for other layers the mean's "
            "equation at the limit is not known; use attnflow.simulate."
        )
    values, noise = mean_spectrum(system, cov)
    worst = float(values.real.max())
    if worst >= -noise:
        raise BadInput(
            f"`target` cannot be the limit of the mean for any bias: A + V + V Sigma_inf B has an eigenvalue with real "
            f"part {worst:.6g}, which must be negative; make V more negative."
        )
    feedforward = _bias(model, size)
    others = system.drift(cov) - feedforward
    return np.asarray(-(system.mean_generator(cov) @ wanted) - others)


def _limit(verdict: Verdict) -> np.ndarray:
    if verdict.covariance_limit is not None and verdict.basis is not Basis.UNDETERMINED:
        return verdict.covariance_limit
    if verdict.covariance is Regime.CONTINUUM or verdict.covariance in (Regime.SEVERAL, Regime.ZERO_OR_BLOW_UP):
        raise BadInput(
            f"`start` is missing: the limit of the covariance depends on it ({verdict.covariance}); give the start."
        )
    raise BadInput(
        f"`model` has no bias that fixes the limit of the mean: the covariance has no known limit "
        f"({verdict.covariance}, {verdict.basis}): {verdict.reason}."
    )


def _bias(model: AbstractLayer, dim: int) -> np.ndarray:
    """The sum of the feed-forward biases (d,)."""
    from ...transformer.block import single_terms
    from ...transformer.feedforward import Affine

    terms = [term.b for term in single_terms(model) if isinstance(term, Affine) and term.b is not None]
    return np.asarray(sum((np.asarray(b, dtype=np.float64) for b in terms), np.zeros(dim)))
