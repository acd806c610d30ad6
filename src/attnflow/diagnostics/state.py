"""What a cloud of tokens looks like: its moments, its ranks, its distance from a Gaussian, its massive activations."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ..measures.floors import fitted_floor
from ..measures.gaussian import Gaussian
from ..measures.normality import exact_null_mean, henze_zirkler_p_value
from ..measures.sliced import sliced_squared
from .kernel_discrepancy import discrepancy_floor_squared, discrepancy_squared
from .massive import Massive, massive_channels
from .spread import Spread, spread_of

TESTED_FROM = 4
"""The test of normality needs so many tokens for each dimension that they span."""


@dataclasses.dataclass(frozen=True)
class State:
    """What was measured on `n` tokens of dimension d.

    `mean_norm`: the Euclidean norm of the mean; `cov_trace`, `spectrum` (d,) falling, `effective_rank` =
    tr(cov)^2 / |cov|_F^2 and `numerical_rank` of the covariance; `token_cosine`: the mean cosine of two different
    tokens, None for a single one.

    Distances to the Gaussian with the same mean and covariance: `sliced_w2`, the same in units of sqrt(tr cov / d)
    `sliced_w2_scaled`, and in that unit what Gaussian tokens would have `sliced_w2_floor_scaled`; `mmd`, the root of
    the V-statistic with h^2 = tr cov, and what Gaussian tokens would have, `mmd_floor`. `normality_p`: p-value of the
    test of Henze and Zirkler with h^2 the rank; None when the tokens are too few for it.

    `massive_channels`: at most three channels with massive entries; `massive_share`: the share of tokens with any.

    Source: this package, docs/theory/diagnose.md, section 1.
    """

    n: int
    mean_norm: float
    cov_trace: float
    spectrum: Float[np.ndarray, " d"]
    effective_rank: float
    numerical_rank: int
    token_cosine: float | None
    sliced_w2: float
    sliced_w2_scaled: float
    sliced_w2_floor_scaled: float
    mmd: float
    mmd_floor: float
    normality_p: float | None
    massive_channels: tuple[Massive, ...]
    massive_share: float


def measure_state(
    tokens: Float[np.ndarray, "n d"], axes: Float[np.ndarray, "l d"], *, spread: Spread | None = None
) -> State:
    """Everything in `State` of `tokens` (n, d); `axes` (l, d) are the unit vectors of the sliced distance.

    `spread`: their moments, if they are at hand. One covariance and one eigenproblem of size min(n, d) serve all of it.
    A single point, or n equal ones, are at distance 0 from their Gaussian.

    Source: this package, docs/theory/diagnose.md, section 1.
    """
    n, d = tokens.shape
    spread = spread_of(tokens) if spread is None else spread
    typical = np.sqrt(spread.trace / d)
    massive, share = massive_channels(tokens, typical) if spread.rank else ((), 0.0)
    sliced, (mmd, floor, p_value) = 0.0, (0.0, 0.0, None)
    if spread.rank:
        centred = tokens - spread.mean.astype(tokens.dtype)
        here = Gaussian(np.zeros(d, tokens.dtype), spread.factor.astype(tokens.dtype))
        sliced = float(np.sqrt(sliced_squared(centred, here, axes)))
        mmd, floor, p_value = _kernels(centred, spread)
    return State(
        n=n,
        mean_norm=float(np.linalg.norm(spread.mean)),
        cov_trace=spread.trace,
        spectrum=spread.spectrum,
        effective_rank=float(spread.trace**2 / np.sum(np.square(spread.spectrum))) if spread.rank else 0.0,
        numerical_rank=spread.rank,
        token_cosine=token_cosine(tokens),
        sliced_w2=sliced,
        sliced_w2_scaled=sliced / typical if spread.rank else 0.0,
        sliced_w2_floor_scaled=float(np.sqrt(fitted_floor(n))) if spread.rank else 0.0,
        mmd=mmd,
        mmd_floor=floor,
        normality_p=p_value,
        massive_channels=massive,
        massive_share=share,
    )


def token_cosine(tokens: Float[np.ndarray, "n d"]) -> float | None:
    """The mean cosine over the pairs of different `tokens` (n, d), not centred; a zero token has cosine 0 with all.

    It is 1 when the tokens have collapsed to one direction, which says nothing about rank; None for a single token.

    Source: this package, docs/theory/diagnose.md, section 1.
    """
    n = tokens.shape[0]
    if n < 2:
        return None
    lengths = np.sqrt(np.einsum("ij,ij->i", tokens, tokens, dtype=np.float64))
    inverse = np.divide(1.0, lengths, out=np.zeros(n), where=lengths > 0)
    total = inverse @ tokens
    return float((total @ total - np.count_nonzero(inverse)) / (n * (n - 1)))


def _kernels(centred: Float[np.ndarray, "n d"], spread: Spread) -> tuple[float, float, float | None]:
    """The discrepancy with h^2 = tr cov, its floor, and the p-value: the same sum for the standardised tokens."""
    n, r = centred.shape[0], spread.rank
    coordinates = centred @ spread.axes.astype(centred.dtype)
    bandwidth = float(np.sqrt(spread.trace))
    squared = discrepancy_squared(coordinates, spread.values, bandwidth)
    floor = discrepancy_floor_squared(spread.values, bandwidth, n)
    p_value = None
    if n >= TESTED_FROM * r:
        standard = coordinates / np.sqrt(spread.values).astype(centred.dtype)
        h = float(np.sqrt(r))
        statistic = n * discrepancy_squared(standard, np.ones(r), h)
        p_value = henze_zirkler_p_value(statistic, n, r, h, mean=exact_null_mean(n, r, h))
    return float(np.sqrt(max(squared, 0.0))), float(np.sqrt(max(floor, 0.0))), p_value
