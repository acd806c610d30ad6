"""The Gaussian that the theory moves through modified blocks, beside which their tokens are measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from .._linalg import semidefinite_factor
from ..measures.gaussian import Gaussian
from ..transformer.finite_softmax import FiniteSoftmaxAttention
from ..transformer.softmax import SoftmaxAttention
from .modified import FeedForwards, Modified, fed_forward

DRAWS = 4096
"""Tokens that carry a Gaussian through a feed-forward; at least eight times the dimension."""


class Place(NamedTuple):
    """A Gaussian by its `mean` (d,) and covariance `cov` (d, d)."""

    mean: Float[np.ndarray, " d"]
    cov: Float[np.ndarray, "d d"]


def modified_flow(
    network: FeedForwards, dim: int, rule: Modified, *, keys: int | None = None, seed: int = 0
) -> Iterator[Place]:
    """N(0, I) in dimension `dim`, and the Gaussian behind each block of `network` modified by `rule`.

    Attention moves the Gaussian by its mean field, which is exact for infinitely many tokens; with `keys`, the number
    of tokens, by the mean over so many independent tokens, one of which is the query, made affine in the query, and
    with the noise that their choice adds. The feed-forward, which is not affine, moves `DRAWS` tokens, drawn with
    `seed` and made to have the mean and covariance of the Gaussian exactly; the moments behind it are those of the next
    Gaussian. It ends early, before the first tokens beyond the range of float32.

    Source: :cite:alcalde2026, Section 5.2; this package, docs/theory/finite-n.md.
    """
    normal = _standard_draws(dim, seed)
    place = Place(np.zeros(dim), np.eye(dim))
    yield place
    for block in range(network.layers):
        mean, cov = behind_attention(place, rule, keys)
        factor, _ = semidefinite_factor(cov)  # fewer columns when eigenvalues are lost in rounding
        tokens = mean + normal[:, : factor.shape[1]] @ factor.T
        if not np.abs(tokens).max() < np.finfo(np.float32).max:
            return
        moved = fed_forward(network, block, tokens.astype(np.float32), rule).astype(np.float64)
        if not np.isfinite(moved).all():
            return
        place = _moments(moved)
        yield place


def behind_attention(place: Place, rule: Modified, keys: int | None) -> Place:
    """The Gaussian at `place` behind the attention of `rule`: its mean field, or the mean over `keys` drawn tokens.

    Source: :cite:alcalde2026, Section 5.2; this package, docs/theory/finite-n.md.
    """
    factor, _ = semidefinite_factor(place.cov)
    measure = Gaussian(place.mean, factor)
    with jax.enable_x64(True):
        if keys is None:
            affine = SoftmaxAttention(B=rule.B, V=rule.V).at_gaussian(measure)
            noise = np.zeros_like(place.cov)
        else:
            layer = FiniteSoftmaxAttention(B=rule.B, V=rule.V, n=keys)
            affine, noise = layer.at_gaussian(measure), np.asarray(layer.noise(measure))
        mean = place.mean + np.asarray(affine.apply(place.mean[:, None])[:, 0]) + np.asarray(affine.offset)
        moved = factor + np.asarray(affine.apply(factor))
    return Place(mean, moved @ moved.T + noise)


def _standard_draws(dim: int, seed: int) -> Float[np.ndarray, "m d"]:
    """Normal tokens whose mean is 0 and whose covariance is I, both exactly."""
    drawn = np.random.default_rng(seed).standard_normal((max(DRAWS, 8 * dim), dim))
    drawn -= drawn.mean(axis=0)
    root = np.linalg.cholesky(drawn.T @ drawn / len(drawn))
    return np.asarray(np.linalg.solve(root, drawn.T).T)


def _moments(tokens: Float[np.ndarray, "m d"]) -> Place:
    mean = tokens.mean(axis=0)
    centred = tokens - mean
    return Place(mean, centred.T @ centred / len(tokens))
