"""When the mean-field limit of softmax attention can be trusted at n tokens."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from .._check import BadInput, parameter, positive
from .._linalg import LowRank, Operator, dense
from .._types import ArrayLike
from ..measures.gaussian import Gaussian
from .finite_n import expected_collision

MARGIN = 0.1
"""What "much less than" means unless told otherwise: at most ten per cent."""


class Regime(StrEnum):
    """What n tokens do: follow the mean field, differ from it by bias or noise, or attend to single tokens."""

    MEAN_FIELD = "mean_field"
    FINITE_N = "finite_n"
    FROZEN = "frozen"


class Criterion(NamedTuple):
    """A number and the largest value at which the mean field can be trusted."""

    value: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the value is within its limit."""
        return self.value <= self.limit


class Trust(NamedTuple):
    """Three conditions under which softmax attention over n tokens of a Gaussian is its mean field.

    `kappa`: the average variance E s^2 of the logits over the keys; `collision`: the expected sum of squared weights at
    that variance, 1/n for equal weights. `bias`: kappa against log(margin n). `noise`: the variance of the
    velocity over the choice of the keys, relative to how much the mean-field velocity varies between queries, against
    the margin. `self_weight`: the average logarithm of a query's weight for itself relative to the average key,
    tr(B cov) - kappa / 2, against log(margin n). `shared`: the fraction of the noise that is the same for all queries
    and so moves the mean of all tokens, not their shape.
    """

    kappa: float
    collision: float
    bias: Criterion
    noise: Criterion
    self_weight: Criterion
    shared: float
    regime: Regime


def trust(
    measure: Gaussian,
    B: ArrayLike | LowRank,
    V: ArrayLike | LowRank,
    n: int,
    *,
    query_bias: ArrayLike | None = None,
    margin: float = MARGIN,
) -> Trust:
    """Whether one softmax head with `B`, `V`, `query_bias` at n tokens drawn from `measure` is its mean field.

    `margin` is what "much less than" means. The regime is "frozen" when kappa > 2 log n (single tokens hold the
    weight), "mean_field" when all three conditions hold, and "finite_n" otherwise. For several heads ask for each.

    Raises BadInput when the shapes disagree, `n` < 1 or `margin` is not positive.

    Source: this package, docs/theory/finite-n.md, section 5.
    """
    size, allowed = positive("n", n), positive("margin", margin)
    if size < 1:
        raise BadInput(f"`n` must be at least 1, the number of keys: {n} was found.")
    mean, factor = np.asarray(measure.mean), np.asarray(measure.factor)
    form, values = _matrix("B", B, mean.size), _matrix("V", V, mean.size)
    tilt = form @ mean + (0.0 if query_bias is None else np.asarray(parameter("query_bias", query_bias, ndim=(1,))))
    inner, center = factor.T @ form @ factor, factor.T @ tilt
    kappa = float(np.sum(np.square(inner)) + center @ center)
    collision = float(expected_collision(np.sqrt(kappa), size))
    moved = values @ factor
    noise = _ratio(
        collision * float(np.sum(np.square(moved))),
        float(np.sum(np.square(moved @ inner))),
        float(np.sum(np.square(values @ mean + moved @ center))) if not inner.any() else 0.0,
    )
    bias = Criterion(kappa, float(np.log(allowed * size)))
    own = Criterion(float(np.trace(inner)) - 0.5 * kappa, bias.limit)
    shared = float(np.exp(min(center @ center, 700.0))) / size / collision
    criteria = Criterion(noise, allowed)
    return Trust(kappa, collision, bias, criteria, own, min(1.0, shared), _regime(kappa, size, (bias, criteria, own)))


def _regime(kappa: float, n: float, criteria: tuple[Criterion, ...]) -> Regime:
    if kappa > 2 * np.log(n):
        return Regime.FROZEN
    return Regime.MEAN_FIELD if all(criterion.holds for criterion in criteria) else Regime.FINITE_N


def _ratio(noise: float, signal: float, constant: float) -> float:
    """Noise over signal; a field that is the same for all queries is compared with its own size."""
    below = signal if signal > 0 else constant
    if noise == 0:
        return 0.0
    return noise / below if below > 0 else float("inf")


def _matrix(name: str, value: ArrayLike | LowRank, dim: int) -> np.ndarray:
    operator: Operator = value if isinstance(value, LowRank) else parameter(name, value, ndim=(0, 2))
    matrix = np.asarray(dense(operator, dim))
    if matrix.shape != (dim, dim):
        raise BadInput(f"`{name}` must have shape {(dim, dim)} to agree with `measure`: {matrix.shape} was found.")
    return matrix
