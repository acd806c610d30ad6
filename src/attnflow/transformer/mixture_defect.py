"""How a Gaussian, or a component of a mixture, begins to stop being Gaussian.

Source: this package, docs/theory/mixtures.md, section 4.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from .._linalg import dense
from .._types import AnyArray
from ..measures.gaussian import Gaussian
from ..moments.activation import Activation
from .at_mixture import Components, rates_at_mixture, velocity_at_mixture
from .block import Transformer, single_terms
from .feedforward import Affine, FeedForward, form_variances
from .layer import AbstractLayer
from .mixture_rule import Rule
from .mlp import MLP

HIDDEN = FeedForward, MLP


class LeadingDefect(eqx.Module):
    """Per component, what its law shows at first order in t that a Gaussian cannot show.

    `skewness_rate` (k,): the Frobenius norm of the rate of its third cumulants in whitened coordinates, so that the
    squared multivariate skewness is (skewness_rate t)^2 + O(t^3). `residual` (k,): the norm in L2 of the component of
    velocity - linearisation, the speed at which its law and its closure may separate in W_2. Both are zero when the
    velocity is affine there. `residual` of the whole is the root of the mean square with the weights.
    """

    skewness_rate: Float[AnyArray, " k"]
    residual: Float[AnyArray, " k"]


@eqx.filter_jit
def leading_defect(layer: AbstractLayer, mixture: Components, rule: Rule) -> LeadingDefect:
    """The `LeadingDefect` of the components of `mixture` under `layer`, `rule` giving the expectations.

    For feed-forward layers the rate of the cumulants is a closed form; for normalised attention, and for `residual`,
    it is a sum over the nodes of the rule.

    Source: this package, docs/theory/mixtures.md, section 4.
    """
    means, factors = rates_at_mixture(layer, mixture, rule)
    nodes, omega = jnp.asarray(rule.nodes), jnp.asarray(rule.weights)

    def at(m: jax.Array, L: jax.Array, mean_rate: jax.Array, factor_rate: jax.Array) -> tuple[jax.Array, jax.Array]:
        velocity = velocity_at_mixture(layer, mixture, m + nodes @ L.T)
        rest = velocity - mean_rate - nodes @ factor_rate.T
        third = third_cumulant_rate(layer, mixture, Gaussian(m, L), rule)
        return jnp.sqrt(jnp.sum(jnp.square(third))), jnp.sqrt(omega @ jnp.sum(jnp.square(rest), axis=1))

    found = jax.vmap(at)(jnp.asarray(mixture.means), jnp.asarray(mixture.factors), means, factors)
    return LeadingDefect(*found)


def third_cumulant_rate(
    layer: AbstractLayer, mixture: Components, part: Gaussian, rule: Rule
) -> Float[jax.Array, "r r r"]:
    """The rate at t = 0 of the third cumulants of z, x = mean + L z, for a `part` of the `mixture` moved by `layer`.

    In whitened coordinates along the range of the covariance; `rule` is for the part of normalised attention.

    Source: this package, docs/theory/mixtures.md, section 4.
    """
    inverse = jnp.linalg.pinv(jnp.asarray(part.factor))
    rank = part.factor.shape[1]
    bend = jnp.zeros((rank, rank, rank), inverse.dtype)
    for term in single_terms(layer):
        if isinstance(term, HIDDEN):
            out, forms, curvature = _hidden(term, part)
            p, u = inverse @ out, forms @ part.factor
            bend = bend + jnp.einsum("ai,i,ib,ic->abc", p, curvature, u, u)
    rest = [term for term in single_terms(layer) if not isinstance(term, (*HIDDEN, Affine))]
    if rest and mixture.count > 1:
        bend = bend + _attention_bend(Transformer(rest), mixture, part, rule, inverse)
    return bend + jnp.moveaxis(bend, 0, 1) + jnp.moveaxis(bend, 0, 2)


def _attention_bend(
    attention: AbstractLayer, mixture: Components, part: Gaussian, rule: Rule, inverse: AnyArray
) -> jax.Array:
    """E of the second derivatives in z of inverse @ velocity, as E[(first derivatives) z]."""
    z, omega = jnp.asarray(rule.nodes), jnp.asarray(rule.weights)

    def pushed(node: jax.Array) -> jax.Array:
        return jnp.asarray(inverse) @ velocity_at_mixture(attention, mixture, (part.mean + part.factor @ node)[None])[0]

    slopes = jax.vmap(jax.jacrev(pushed))(z)
    return jnp.einsum("q,qab,qc->abc", omega, slopes, z)


def _hidden(term: FeedForward | MLP, part: Gaussian) -> tuple[AnyArray, AnyArray, jax.Array]:
    """Columns (d, m), forms (m, d) and expected curvatures (m,) of columns @ s(forms x + bias)."""
    dim = part.dim
    if isinstance(term, FeedForward):
        forms, bias, out = jnp.asarray(dense(term.A, dim)), term.b, jnp.eye(dim)
    else:
        forms, bias, out = jnp.asarray(term.W1), term.b1, jnp.asarray(term.W2)
    center = forms @ part.mean
    center = center if bias is None else center + bias
    return out, forms, expected_curvature(term.activation, center, form_variances(forms, part))


def expected_curvature(
    activation: Activation, mean: Float[AnyArray, " m"], var: Float[AnyArray, " m"]
) -> Float[jax.Array, " m"]:
    """E s''(z) of z ~ N(`mean`, `var`), s the `activation`: the derivative of E s'(z) by the mean.

    Source: this package, docs/theory/mixtures.md, section 4.
    """
    center, spread = jnp.asarray(mean), jnp.asarray(var)

    def slope(m: jax.Array) -> jax.Array:
        return jnp.asarray(activation.expectations(m, spread).slope)

    _, slopes = jax.jvp(slope, (center,), (jnp.ones_like(center),))
    return jnp.asarray(slopes)
