"""What layers do at a mixture of Gaussians: the velocity at a point, and its linearisation under each component.

A normalised attention at a mixture is, pointwise and exactly, an average of its affine maps at the components, with
weights that depend on the point; a linear one is the average with the weights of the mixture, hence affine. A
feed-forward does not see the measure.

Source: this package, docs/theory/mixtures.md, sections 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._check import BadInput
from .._types import AnyArray
from ..measures.gaussian import Gaussian
from ..measures.mixture import Mixture
from .block import single_terms
from .feedforward import Affine, FeedForward
from .l2 import L2Attention
from .layer import AbstractLayer, AffineMap
from .linear import LinearAttention
from .mixture_rule import Rule
from .mlp import MLP
from .parameters import rows
from .softmax import SoftmaxAttention

BLIND = Affine, FeedForward, MLP
NORMALISED = SoftmaxAttention, L2Attention
KNOWN = "softmax (heads or multi-head), L2 and linear attention, Affine, FeedForward and MLP"


class Components(eqx.Module):
    """A mixture as arrays: `weights` (k,), `means` (k, d), `factors` (k, d, r), short factors filled up with zeros."""

    weights: Float[AnyArray, " k"]
    means: Float[AnyArray, "k d"]
    factors: Float[AnyArray, "k d r"]

    @staticmethod
    def of(mixture: Mixture) -> Components:
        """Those of `mixture`, in float64 on the host."""
        factors = [np.asarray(part.factor, dtype=np.float64) for part in mixture.components]
        rank = max(factor.shape[1] for factor in factors)
        filled = np.stack([np.pad(factor, ((0, 0), (0, rank - factor.shape[1]))) for factor in factors])
        means = np.stack([np.asarray(part.mean, dtype=np.float64) for part in mixture.components])
        return Components(np.asarray(mixture.weights, dtype=np.float64), means, filled)

    @property
    def count(self) -> int:
        """k, the number of components."""
        return int(self.means.shape[0])


def require_mixture_form(layer: AbstractLayer) -> None:
    """Raise BadInput when the velocity of a part of `layer` at a mixture is not known."""
    for term in single_terms(layer):
        if not isinstance(term, BLIND + NORMALISED + (LinearAttention,)):
            raise BadInput(
                f"`model` must have a known velocity at a mixture: {type(term).__name__} was found; what is known are "
                f"{KNOWN}. Tokens drawn from the mixture can be moved by simulate."
            )


def keeps_mixtures(layer: AbstractLayer) -> bool:
    """Whether the velocity of `layer` at every mixture is affine, so that mixtures stay mixtures exactly."""
    return all(isinstance(term, Affine | LinearAttention) for term in single_terms(layer))


def velocity_at_mixture(
    layer: AbstractLayer, mixture: Components, points: Float[AnyArray, "m d"]
) -> Float[jax.Array, "m d"]:
    """The velocity of `layer` at `points` (m, d) when the measure is the `mixture`; exact.

    Source: this package, docs/theory/mixtures.md, section 1.
    """
    x = jnp.asarray(points)
    return jnp.asarray(sum(_velocity(term, mixture, x) for term in single_terms(layer)))


def attention_weights(
    head: SoftmaxAttention | L2Attention, mixture: Components, points: Float[AnyArray, "m d"]
) -> Float[jax.Array, "m k"]:
    """The share of each component of the `mixture` in the attention of the `head` at `points` (m, d).

    Source: this package, docs/theory/mixtures.md, section 1.
    """
    return jax.nn.softmax(_logits(head, mixture, jnp.asarray(points)), axis=1)


def rates_at_mixture(
    layer: AbstractLayer, mixture: Components, rule: Rule
) -> tuple[Float[jax.Array, "k d"], Float[jax.Array, "k d r"]]:
    """The rates of means and factors when each component moves by its own linearisation of the common velocity.

    For component j it is x -> G x + c with G = E[grad Gamma], c = E[Gamma] - G mean under that component, Gamma being
    the velocity of `layer` at the whole `mixture`: closed forms, but for the weights of a normalised attention, whose
    expectations are sums over the nodes of `rule`.

    Source: this package, docs/theory/mixtures.md, section 2.
    """

    def at(mean: jax.Array, factor: jax.Array) -> tuple[jax.Array, jax.Array]:
        parts = [_linearised(term, mixture, mean, factor, rule) for term in single_terms(layer)]
        return jnp.asarray(sum(part[0] for part in parts)), jnp.asarray(sum(part[1] for part in parts))

    rates: tuple[jax.Array, jax.Array] = jax.vmap(at)(jnp.asarray(mixture.means), jnp.asarray(mixture.factors))
    return rates


def _velocity(term: AbstractLayer, mixture: Components, x: jax.Array) -> AnyArray:
    if isinstance(term, BLIND):
        return term.velocity(x, x)
    weights = mixture.weights[None, :] * jnp.ones((x.shape[0], 1), x.dtype)
    if isinstance(term, NORMALISED):
        weights = attention_weights(term, mixture, x)
    return jnp.einsum("mk,kmd->md", weights, _at_components(term, mixture, lambda part: _value(part, x)))


def _linearised(
    term: AbstractLayer, mixture: Components, mean: jax.Array, factor: jax.Array, rule: Rule
) -> tuple[AnyArray, AnyArray]:
    """E[Gamma] and E[grad Gamma] factor under N(mean, factor factor^T), Gamma of the `term` at the `mixture`."""
    if isinstance(term, BLIND) or mixture.count == 1:
        part = term.at_gaussian(Gaussian(mean, factor))
        return _value(part, mean[None])[0], part.apply(factor)
    means = _at_components(term, mixture, lambda part: _value(part, mean[None])[0])
    turned = _at_components(term, mixture, lambda part: part.apply(factor))
    if not isinstance(term, NORMALISED):
        return mixture.weights @ means, jnp.einsum("k,kdr->dr", mixture.weights, turned)
    share, slope, bend = _expected_weights(term, mixture, mean, factor, rule)
    # Gamma = sum_l w_l (a_l + T_l z) with a_l the value at the mean and T_l = G_l factor, z the standard normal vector
    value = share @ means + jnp.einsum("kdr,kr->d", turned, slope)
    linear = jnp.einsum("k,kdr->dr", share, turned) + means.T @ slope + jnp.einsum("kds,ksr->dr", turned, bend)
    return value, linear


def _expected_weights(
    head: SoftmaxAttention | L2Attention, mixture: Components, mean: jax.Array, factor: jax.Array, rule: Rule
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """E w_l (k,), E grad w_l (k, r) and E z (grad w_l)^T (k, r, r), gradients in z, x = mean + factor z."""
    z, omega = jnp.asarray(rule.nodes), jnp.asarray(rule.weights)

    values, pull = jax.vjp(lambda nodes: _logits(head, mixture, mean + nodes @ factor.T), z)
    units = jnp.eye(mixture.count, dtype=values.dtype)
    slopes = jax.vmap(lambda unit: pull(jnp.broadcast_to(unit, values.shape))[0], out_axes=1)(units)
    w = jax.nn.softmax(values, axis=1)
    slopes = w[:, :, None] * (slopes - jnp.einsum("qk,qkr->qr", w, slopes)[:, None, :])
    return omega @ w, jnp.einsum("q,qkr->kr", omega, slopes), jnp.einsum("q,qs,qkr->ksr", omega, z, slopes)


def _logits(head: SoftmaxAttention | L2Attention, mixture: Components, x: jax.Array) -> jax.Array:
    """log(weight_l Z_l(x)) (m, k), Z_l the expected attention weight of a key of component l, up to a common number."""
    if isinstance(head, SoftmaxAttention):
        xi = rows(head.B, x)
        xi = xi if head.query_bias is None else xi + head.query_bias
        seen = jnp.einsum("md,kdr->mkr", xi, mixture.factors)
        found = xi @ mixture.means.T + 0.5 * jnp.sum(jnp.square(seen), axis=2)
    else:
        found = jax.vmap(lambda m, L: _l2_log_weight(head, Gaussian(m, L), x), out_axes=1)(
            jnp.asarray(mixture.means), jnp.asarray(mixture.factors)
        )
    return jnp.asarray(found + jnp.log(mixture.weights))


def _l2_log_weight(head: L2Attention, part: Gaussian, x: jax.Array) -> jax.Array:
    """The log density at Q x + shift of a key K y plus noise of variance temperature / 2, up to a number."""
    shift = 0.0 if head.query_bias is None else head.query_bias
    shift = shift if head.key_bias is None else shift - head.key_bias
    seen = head.K @ part.factor
    noise = 0.5 * head.temperature * jnp.eye(head.K.shape[0], dtype=x.dtype)
    chol = jnp.linalg.cholesky(seen @ seen.T + noise)
    surprise = (x @ head.Q.T + shift - head.K @ part.mean).T
    white = jax.scipy.linalg.solve_triangular(chol, surprise, lower=True)
    return -0.5 * jnp.sum(jnp.square(white), axis=0) - jnp.sum(jnp.log(jnp.diagonal(chol)))


def _at_components(term: AbstractLayer, mixture: Components, ask: Callable[[AffineMap], AnyArray]) -> jax.Array:
    """`ask` of the affine map of `term` at each component, stacked along the first axis."""

    def at(mean: jax.Array, factor: jax.Array) -> AnyArray:
        return ask(term.at_gaussian(Gaussian(mean, factor)))

    answers: AnyArray = jax.vmap(at)(jnp.asarray(mixture.means), jnp.asarray(mixture.factors))
    return jnp.asarray(answers)


def _value(part: AffineMap, points: AnyArray) -> AnyArray:
    return part.apply(points.T).T + part.offset
