"""The Gaussian prediction of one attention layer against what the layer does, and how far to trust it."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from .attention import Attention
from .attention_fit import Fit, fit, why_nothing
from .attention_trust import DEVIATIONS, Verdict, verdict
from .gaussian_reading import predicted_growth
from .predicted import Predicted, predicted
from .projected import head_moments, see, stacked_weights
from .recomputed import attended_values
from .spread import Spread, spread_of

ROTARY_PAIRS, ROTARY_FEWEST = 2**19, 32
"""Pairs of a query and a key for which the form of rotary positions is evaluated in each head; but so many queries."""

Number = float | None
Seven = tuple[Number, Number, Number, Number, Number, Number, Number]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the Gaussian formulas say of one attention layer on one cloud of tokens, beside what it does.

    R^2 of the mean-field prediction, `r2`, and with the exact correction for the keys at hand, `r2_finite_n`; the same
    for Gaussian tokens with these moments, `r2_ceiling` and `r2_finite_n_ceiling`; for tokens with these moments that
    are not Gaussian, `r2_control` and `r2_finite_n_control`; and of the output at the mean alone, `r2_mean_only`. None
    where there is no such prediction: without a correction for rotary positions, all for fewer than 8 tokens or a
    constant output.

    `trusted` and, in one sentence, the `reason`. `logit_variance` (h,): E xi^T cov xi over the queries (and offsets,
    where positions are rotary), to be compared with `two_log_n`, for the n keys of a typical query; `effective_keys`
    (h,): the median over the queries of 1 / sum p^2. `predicted_growth`, `measured_growth`: 2 tr Cov(x, attention) /
    tr cov(x). `queries`: how many tokens asked; all tokens were keys. `recomputed`: relative difference of the
    attention computed from the weights and the layer's own.

    Source: this package, docs/theory/diagnose.md, sections 3 to 5.
    """

    r2: float | None
    r2_finite_n: float | None
    r2_ceiling: float | None
    r2_finite_n_ceiling: float | None
    r2_mean_only: float | None
    r2_control: float | None
    r2_finite_n_control: float | None
    trusted: bool
    reason: str
    logit_variance: Float[np.ndarray, " h"]
    two_log_n: float
    effective_keys: Float[np.ndarray, " h"]
    predicted_growth: float
    measured_growth: float
    queries: int
    recomputed: float


def predict_attention(
    attention: Attention,
    attended: Float[np.ndarray, "n d"],
    output: Float[np.ndarray, "n d"],
    *,
    seed: int = 0,
    queries: int = 384,
    draws: int = 1,
    spread: Spread | None = None,
) -> Prediction:
    """How well mean and covariance of the tokens `attended` (n, d) predict the `output` (n, d) of `attention`.

    At most `queries` tokens ask, chosen with `seed`, which also draws the Gaussian tokens and those of the control; the
    keys are all tokens, as the layer has them. The ceiling is the mean over `draws` clouds of Gaussian tokens; from two
    clouds on, two of their standard deviations are granted to chance. `spread`: the moments of the tokens, if they are
    at hand. Products in float32, sums in float64.

    Source: this package, docs/theory/diagnose.md, sections 3 to 5.
    """
    rng = np.random.default_rng(seed)
    places = _places(attention, attended.shape[0], queries, rng)
    spread = spread_of(attended) if spread is None else spread
    moments = head_moments(attention, spread)
    centred = attended - spread.mean.astype(attended.dtype)
    seen = see(centred, stacked_weights(attention).astype(attended.dtype), places, attention.heads)
    averages, collisions = attended_values(attention, moments, seen)
    at_mean = moments.outward(moments.value[:, None])[0] + attention.output_bias
    own = output[places]
    found = predicted(attention, moments, seen)
    nothing = why_nothing(seen.tokens, own)
    fitted = None if nothing else fit(attention, moments, seen, own - at_mean, found, rng, draws=draws)
    two_log_n = float(2 * np.log(np.median(attention.keys.count(places, seen.tokens))))
    trust = Verdict(False, nothing) if fitted is None else _trust(fitted, found, two_log_n)
    return Prediction(
        *_numbers(fitted),
        trusted=trust.trusted,
        reason=trust.reason,
        logit_variance=found.logit_variance,
        two_log_n=two_log_n,
        effective_keys=np.median(1 / collisions, axis=1),
        predicted_growth=_of_queries(centred[places], found.mean_field, spread)
        if attention.rotary is not None
        else predicted_growth(attention, moments, spread.factor),
        measured_growth=_of_queries(centred, output, spread),
        queries=places.size,
        recomputed=_apart(moments.outward(averages) + at_mean, own),
    )


def _places(attention: Attention, n: int, queries: int, rng: np.random.Generator) -> Int[np.ndarray, " m"]:
    """Which tokens ask, rising: fewer for rotary positions, where each pair of query and key costs k^2."""
    most = queries
    if attention.rotary is not None:
        keys = int(attention.keys.count(np.array([n // 2]), n)[0])
        most = min(queries, max(ROTARY_FEWEST, ROTARY_PAIRS // keys))
    return np.sort(rng.choice(n, min(most, n), replace=False))


def _trust(fitted: Fit, found: Predicted, two_log_n: float) -> Verdict:
    return verdict(
        fitted.real.best,
        fitted.ceiling.best,
        fitted.mean_only,
        fitted.control.best,
        logit_variance=float(found.logit_variance.max()),
        two_log_n=two_log_n,
        slack=DEVIATIONS * fitted.chance,
    )


def _numbers(fitted: Fit | None) -> Seven:
    """The values of R^2 in the order of the fields of `Prediction`."""
    if fitted is None:
        return None, None, None, None, None, None, None
    real, ceiling, control = fitted.real, fitted.ceiling, fitted.control
    return (
        real.mean_field, real.finite_n, ceiling.mean_field, ceiling.finite_n, fitted.mean_only, control.mean_field,
        control.finite_n,
    )  # fmt: skip


def _of_queries(tokens: Float[np.ndarray, "m d"], moved: Float[np.ndarray, "m d"], spread: Spread) -> float:
    """2 tr Cov(tokens, moved) / tr cov of all tokens."""
    away = tokens - tokens.mean(axis=0, dtype=np.float64).astype(tokens.dtype)
    covariance = np.einsum("ij,ij->i", away, moved).mean(dtype=np.float64)
    return float(2 * covariance / spread.trace) if spread.rank else 0.0


def _apart(again: Float[np.ndarray, "m d"], own: Float[np.ndarray, "m d"]) -> float:
    size = float(np.linalg.norm(own))
    apart = float(np.linalg.norm(again - own))
    return apart / size if size > 0 else apart
