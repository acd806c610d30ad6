"""What heads read from Gaussian keys, predicted from mean and covariance alone.

Source: this package, docs/theory/finite-n.md; this package, docs/theory/diagnose.md, section 3.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .attention import Attention
from .finite_weights import expected_weights
from .projected import HeadMoments, Seen

FEWEST_KEYS = 3
"""The unbiased covariance of the others needs so many tokens."""


def mean_field_values(attention: Attention, moments: HeadMoments, seen: Seen) -> Float[np.ndarray, "h m k"]:
    """V cov xi for each head of `attention` at the queries `seen`, xi = scale K^T q: what infinitely many keys give.

    As all predictions here without the mean of the values, which is in `moments`. Positions must not be rotary.

    Source: :cite:alcalde2026, Lemma 3.1; this package, docs/theory/diagnose.md, section 3.
    """
    return np.asarray(_queries(attention, moments, seen) @ moments.cross_cov.transpose(0, 2, 1))


def finite_n_values(attention: Attention, moments: HeadMoments, seen: Seen) -> Float[np.ndarray, "h m k"]:
    """The expected averages when a query sees itself and independent Gaussian keys with the moments of all the others.

    V (m + p0 (x - m) + (1 - p0 - c) S xi), p0 the expected weight of the query itself and c the expected sum of the
    squared weights of the others, for each head of `attention`; m and S are the mean and the unbiased covariance of the
    n - 1 tokens but x, from `moments` and what is `seen` of x. Needs n >= 3 tokens.

    Source: this package, docs/theory/finite-n.md; this package, docs/theory/diagnose.md, section 3.
    """
    n = seen.tokens
    own_key, own_value = (part[:, seen.places].astype(np.float64) for part in (seen.key, seen.value))
    query = _queries(attention, moments, seen)
    away = n / (n - 1)
    own_logit = away * np.sum(query * own_key, axis=2)
    pulled = query @ moments.cross_cov.transpose(0, 2, 1)
    variance = np.sum((query @ moments.key_cov) * query, axis=2)
    pulled, variance = (
        (n * pulled - own_value * own_logit[..., None]) / (n - 2),
        np.maximum(n * variance - np.square(own_logit) / away, 0.0) / (n - 2),
    )
    own, pull = expected_weights(variance, own_logit, attention.keys.count(seen.places, n))
    return np.asarray(own_value * (away * own - 1 / (n - 1))[..., None] + pull[..., None] * pulled)


def _queries(attention: Attention, moments: HeadMoments, seen: Seen) -> Float[np.ndarray, "h m k"]:
    return np.asarray(attention.scale * (seen.query + moments.query[:, None]), np.float64)


def logit_variance(attention: Attention, moments: HeadMoments) -> Float[np.ndarray, " h"]:
    """E xi^T cov xi over the queries, for each head of `attention`, exact from `moments`; not for rotary positions.

    Source: this package, docs/theory/finite-n.md, section 5.
    """
    second = moments.query_cov + moments.query[:, :, None] * moments.query[:, None]
    return np.asarray(attention.scale**2 * np.sum(moments.key_cov * second, axis=(1, 2)))


def predicted_growth(attention: Attention, moments: HeadMoments, factor: Float[np.ndarray, "d r"]) -> float:
    """2 tr(G cov) / tr cov of the mean field, G = sum_h O_h V_h cov B_h, cov = L L^T with `factor` L.

    Source: :cite:alcalde2026, Lemma 3.1.
    """
    h, k, d = attention.query.shape
    q = moments.along[:, : h * k].astype(np.float64).reshape(-1, h, k)
    out = (factor.T @ attention.output.transpose(1, 0, 2).reshape(d, h * k)).reshape(-1, h, k)
    covariance = np.einsum("rhk,rhj->hkj", q, out, optimize=True)  # of the query with the tokens through O
    size = float(np.sum(np.square(factor)))
    trace = float(np.sum(moments.cross_cov.transpose(0, 2, 1) * covariance))
    return 2 * attention.scale * trace / size if size > 0 else 0.0
