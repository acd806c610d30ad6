"""The fit of the Gaussian formulas to one attention layer, beside what it could be at best and what the control gives.

Source: this package, docs/theory/diagnose.md, sections 3 and 4.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from .attention import Attention
from .matched_noise import two_lengths, whitening
from .predicted import Explained, Predicted, explained, predicted, r_squared
from .projected import HeadMoments, Seen, see
from .recomputed import attended_values

FEWEST = 8
"""From fewer tokens nothing is predicted."""
ROUNDING = 100 * np.finfo(np.float32).eps
"""An output that varies by less than this between the queries, relative to its size, is constant."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """What the predictions explain: `real` on the tokens, `ceiling` on Gaussian ones with the same moments, `control`.

    `mean_only`: R^2 of the output at the mean token. `chance`: the standard deviation of the best R^2 between draws of
    Gaussian tokens, 0 when one was drawn.
    """

    real: Explained
    ceiling: Explained
    control: Explained
    mean_only: float
    chance: float


def why_nothing(n: int, output: Float[np.ndarray, "m d"]) -> str:
    """Why the `output` (m, d) of attention to `n` tokens cannot be compared with a prediction, or nothing."""
    if n < FEWEST:
        return f"{n} tokens are too few to compare with a Gaussian: at least {FEWEST} are needed"
    away = np.linalg.norm(output - output.mean(axis=0, dtype=np.float64))
    if away <= ROUNDING * np.linalg.norm(output):
        return "the attention output is the same for all tokens: there is nothing to predict"
    return ""


def fit(
    attention: Attention,
    moments: HeadMoments,
    seen: Seen,
    output: Float[np.ndarray, "m d"],
    found: Predicted,
    rng: np.random.Generator,
    *,
    draws: int,
) -> Fit:
    """The fit of the predictions `found` for `attention` to its `output` (m, d), without that of the mean token.

    The other tokens, as many as were `seen` and asking at the same places, are drawn by `rng` with the same `moments`,
    the Gaussian ones `draws` times.

    Source: this package, docs/theory/diagnose.md, sections 3 and 4.
    """
    ceilings = []
    for _ in range(draws):
        noise = rng.standard_normal((seen.tokens, moments.along.shape[0]), dtype=np.float32)
        ceilings.append(_on_tokens_of(noise, attention, moments, seen))
    chance = float(np.std([c.best for c in ceilings], ddof=1)) if draws > 1 else 0.0
    noise *= two_lengths(seen.tokens, rng)[:, None]
    control = _on_tokens_of(noise, attention, moments, seen)
    return Fit(explained(output, found), _average(ceilings), control, r_squared(output, 0.0), chance)


def _average(some: list[Explained]) -> Explained:
    finite = [one.finite_n for one in some if one.finite_n is not None]
    return Explained(float(np.mean([one.mean_field for one in some])), float(np.mean(finite)) if finite else None)


def _on_tokens_of(noise: Float[np.ndarray, "n r"], attention: Attention, moments: HeadMoments, seen: Seen) -> Explained:
    """The fit where the tokens are mean + L z, z the standardised `noise`: with exactly the same moments."""
    centred, W = whitening(noise)
    others = see(centred, W.astype(noise.dtype) @ moments.along, seen.places, attention.heads)
    averages, _ = attended_values(attention, moments, others)
    return explained(moments.outward(averages), predicted(attention, moments, others))
