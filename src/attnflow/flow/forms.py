"""The two forms of the flow of a Gaussian: L' = G L on a factor, cov' = G cov + cov G^T on a covariance.

Both move the mean by mean' = G mean + c, with the affine map (G, c) of the layer at the present Gaussian.

Source: :cite:alcalde2026, eq. (2.6) and Lemma 3.1.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ..measures.gaussian import Gaussian, Moments
from ..transformer.depth import Model, layer_at
from .step import Form, Watch

CONDITION_LIMIT = 1e5
GAUGE_GAIN = 4.0
GAUGE_FILTER = 1e-10


def factor_field(t: jax.Array, state: jax.Array, gauge: jax.Array, model: Model) -> jax.Array:
    """[L | mean]' = [G L + L K | G mean + c] with the gauge K, which is constant over a step.

    K is skew, so L L^T does not see it; it removes the rotation of L that a covariance at rest keeps up.
    """
    rate = plain_factor_field(t, state, model)
    return rate.at[:, :-1].add(state[:, :-1] @ gauge) if gauge.shape[0] else rate


def plain_factor_field(t: jax.Array, state: jax.Array, model: Model) -> jax.Array:
    """[L | mean]' = [G L | G mean + c]: here L(t) = Psi(t) L(0) with the flow's own transition matrix Psi."""
    affine = layer_at(model, t).at_gaussian(Gaussian(state[:, -1], state[:, :-1]))
    return jnp.asarray(affine.apply(state)).at[:, -1].add(affine.offset)


def covariance_field(t: jax.Array, state: jax.Array, gauge: jax.Array, model: Model) -> jax.Array:
    """[cov | mean]' = [G cov + cov G^T | G mean + c]."""
    del gauge
    affine = layer_at(model, t).at_gaussian(Moments(state[:, -1], state[:, :-1]))
    half = affine.linear() @ state
    return jnp.concatenate([half[:, :-1] + half[:, :-1].T, (half[:, -1] + affine.offset)[:, None]], axis=1)


def watch_factor(state: jax.Array, slope: jax.Array, gauge: jax.Array, model: Model) -> Watch:
    """Trace, speed and gauge of a factor; a factor is always well conditioned in the sense of the loop."""
    del model
    factor, rate = state[:, :-1], slope[:, :-1]
    inner, size = factor.T @ rate, factor.T @ factor
    trace = jnp.trace(size)
    # |cov'|^2 = |L' L^T + L L'^T|^2, from r x r products only
    speed_squared = 2 * jnp.sum((rate.T @ rate) * size) + 2 * jnp.sum(inner * inner.T)
    speed = jnp.sqrt(jnp.maximum(speed_squared, 0.0)) / _positive(trace)
    return Watch(
        trace=trace,
        trace_rate=2 * jnp.trace(inner),
        good=jnp.asarray(True),
        speed=jnp.maximum(speed, _relative(slope[:, -1], state[:, -1])),
        gauge=_next_gauge(size, inner - size @ gauge) if gauge.shape[0] else gauge,
    )


def watch_covariance(state: jax.Array, slope: jax.Array, gauge: jax.Array, model: Model) -> Watch:
    """Trace and speed of a covariance; it is well conditioned while its Cholesky pivots stay within the limit."""
    del model
    cov, rate = state[:, :-1], slope[:, :-1]
    pivots = jnp.square(jnp.diagonal(jnp.linalg.cholesky(cov)))
    trace = jnp.trace(cov)
    return Watch(
        trace=trace,
        trace_rate=jnp.trace(rate),
        good=jnp.min(pivots) * CONDITION_LIMIT > jnp.max(pivots),
        speed=jnp.maximum(jnp.linalg.norm(rate) / _positive(trace), _relative(slope[:, -1], state[:, -1])),
        gauge=gauge,
    )


def _next_gauge(size: jax.Array, inner: jax.Array) -> jax.Array:
    """The skew K that makes L^T (G L + L K) symmetric, where the factor mostly turns; else zero.

    For `size` S = L^T L and `inner` L^T G L, K solves S K + K S = inner^T - inner. The division by sums of eigenvalues
    of S is filtered, so that collapsed directions do not stall the integrator.
    """
    turning, moving = jnp.linalg.norm(inner - inner.T), jnp.linalg.norm(inner + inner.T)
    pays = (turning > GAUGE_GAIN * moving) & (turning > 1e-6 * jnp.trace(size))

    def solve() -> jax.Array:
        eigenvalues, vectors = jnp.linalg.eigh(size)
        sums = eigenvalues[:, None] + eigenvalues[None, :]
        filtered = sums / (jnp.square(sums) + jnp.square(GAUGE_FILTER * _positive(eigenvalues[-1])))
        skew = vectors @ (filtered * (vectors.T @ (inner.T - inner) @ vectors)) @ vectors.T
        return jnp.asarray(0.5 * (skew - skew.T))

    return jnp.asarray(jax.lax.cond(pays, solve, lambda: jnp.zeros_like(size)))


def _positive(number: jax.Array) -> jax.Array:
    return jnp.maximum(number, jnp.finfo(number.dtype).tiny)


def _relative(rate: jax.Array, value: jax.Array) -> jax.Array:
    return jnp.asarray(jnp.linalg.norm(rate) / _positive(jnp.linalg.norm(value)))


FACTOR = Form(factor_field, watch_factor, is_factor=True, gauged=True)
PLAIN_FACTOR = Form(factor_field, watch_factor, is_factor=True, gauged=False)
COVARIANCE = Form(covariance_field, watch_covariance, is_factor=False, gauged=False)
