"""Energies that grow or decay along attention flows under a symmetry, and the rates at which they do.

Each holds for the attention kind alone, without feed-forward, bias or other heads, and for the matrices that it names;
S is symmetric positive semidefinite throughout. A rate is the time derivative of the energy along the flow.

Source: this package, docs/theory/energies.md.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Float

from .._linalg import dense
from .._types import AnyArray, Number
from ..measures.gaussian import Gaussian
from ..measures.tokens import Tokens
from .parameters import Parameter, square_parameter
from .sinkhorn import shrinkage

Energy: TypeAlias = Float[jax.Array, ""]

TOLERANCE, MAX_ITERATIONS = 1e-12, 20_000


Iteration: TypeAlias = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


class Coupling(NamedTuple):
    """Optimal entropic coupling of tokens with themselves: log of n^2 times its weights (n, n), and the dual value."""

    log_density: jax.Array
    value: jax.Array


def softmax_energy(measure: Gaussian | Tokens, B: Parameter) -> Energy:
    """The interaction energy E = 1/2 E exp(y^T B x), x and y independent draws of `measure`.

    For B symmetric it increases along softmax attention with V = S B (and decreases with V = -S B), for every
    `measure`: Gaussian, where it is infinite unless all singular values of L^T B L are below 1, or tokens (every pair
    counts, a token with itself, too). For other V it need not be monotone. `B`: (d, d), symmetric for the claim.

    Source: this package, docs/theory/energies.md, section 1; :cite:castin2025, gradient flows.
    """
    form = _matrix(B, measure.dim)
    if isinstance(measure, Tokens):
        points = jnp.asarray(measure.points)
        return 0.5 * jnp.exp(logsumexp(points @ form @ points.T) - 2 * jnp.log(measure.size))
    inner = measure.factor.T @ form @ measure.factor
    p, a = measure.factor.T @ (form @ measure.mean), measure.factor.T @ (form.T @ measure.mean)
    return _tilted(inner, p, a + inner.T @ p, measure.mean @ form @ measure.mean)[0]


def softmax_energy_rate(measure: Gaussian | Tokens, B: Parameter, S: Parameter = 1.0) -> Energy:
    """dE/dt >= 0 of `softmax_energy` at `measure` along softmax attention with V = S B, B symmetric.

    It is the average of Z(x) g^T S g, with Z(x) = E_y exp(y^T B x) and g = B E[y | x]. `B`, `S`: (d, d) or scalar.

    Source: this package, docs/theory/energies.md, section 1.
    """
    form, metric = _matrix(B, measure.dim), _matrix(S, measure.dim)
    if isinstance(measure, Tokens):
        points = jnp.asarray(measure.points)
        logits = points @ form @ points.T  # row i: query i, as B is symmetric
        log_z = logsumexp(logits, axis=1) - jnp.log(measure.size)
        pulls = jax.nn.softmax(logits, axis=1) @ points @ form
        return jnp.mean(jnp.exp(log_z) * _square(pulls, metric))
    factor, mean = measure.factor, measure.mean
    inner, p = factor.T @ form @ factor, factor.T @ (form @ mean)
    energy, center, root = _tilted(inner, p, p + inner @ p, mean @ form @ mean)
    pull = form @ (mean + factor @ (p + inner @ center))
    spread = form @ factor @ inner @ root
    return 2 * energy * (pull @ metric @ pull + jnp.sum(spread * (metric @ spread)))


def quadratic_energy(measure: Gaussian, B: Parameter) -> Energy:
    """f = 1/4 tr(cov B cov B): increases along softmax attention at a Gaussian `measure` with V = S B, B symmetric.

    With S = I the centred flow is the gradient flow of f in the Bures-Wasserstein metric. `B`: (d, d) or scalar.

    Source: this package, docs/theory/energies.md, section 2; :cite:castin2025, gradient flows.
    """
    product = measure.factor.T @ _matrix(B, measure.dim) @ measure.factor
    return 0.25 * jnp.sum(product * product.T)


def quadratic_energy_rate(measure: Gaussian, B: Parameter, S: Parameter = 1.0) -> Energy:
    """df/dt = tr(B cov B S B cov B cov) >= 0 of `quadratic_energy` at `measure`, V = S B and `B` symmetric; `S` (d, d).

    Source: this package, docs/theory/energies.md, section 2.
    """
    form, metric = _matrix(B, measure.dim), _matrix(S, measure.dim)
    pull = form @ measure.cov @ form @ measure.factor
    return jnp.sum(pull * (metric @ pull))


def trace_energy(measure: Gaussian, B: Parameter) -> Energy:
    """F = 1/2 tr((B + B^T) cov): increases along softmax attention at a Gaussian with V = eta I, eta > 0, any `B`.

    The covariance flow is the gradient flow of F in the Fisher-Rao metric of `measure`.

    Source: this package, docs/theory/energies.md, section 3; :cite:castin2025, gradient flows.
    """
    return jnp.trace(jnp.asarray(measure.factor).T @ _matrix(B, measure.dim) @ measure.factor)


def trace_energy_rate(measure: Gaussian, B: Parameter, eta: Number = 1.0) -> Energy:
    """dF/dt = eta/2 |L^T (B + B^T) L|^2 of `trace_energy` at `measure` with the factor L, for V = `eta` I and any `B`.

    Source: this package, docs/theory/energies.md, section 3.
    """
    product = measure.factor.T @ _matrix(B, measure.dim) @ measure.factor
    return jnp.asarray(0.5 * eta * jnp.sum(jnp.square(product + product.T)))


def l2_energy(measure: Gaussian, K: AnyArray, temperature: Number = 1.0) -> Energy:
    """F = 1/2 mean^T P mean + 1/2 (tr(P cov) - log det(I + P cov)) with P = (2 / temperature) K^T K.

    It increases along L2 attention at a Gaussian `measure` with Q = K and V = S P. `K`: (k, d); `temperature` > 0.

    Source: this package, docs/theory/energies.md, section 4; :cite:castin2025, gradient flows.
    """
    root = jnp.sqrt(2 / jnp.asarray(temperature)) * jnp.asarray(K)
    seen = root @ measure.factor
    eigenvalues = jnp.linalg.eigvalsh(seen @ seen.T)
    return 0.5 * (jnp.sum(jnp.square(root @ measure.mean)) + jnp.sum(eigenvalues - jnp.log1p(eigenvalues)))


def l2_energy_rate(measure: Gaussian, K: AnyArray, temperature: Number = 1.0, S: Parameter = 1.0) -> Energy:
    """dF/dt >= 0 of `l2_energy` at `measure` along L2 attention with Q = `K` (k, d), `temperature` and V = S P.

    It is mean^T P S P mean + tr(D S D cov), D = P - (I + P cov)^{-1} P. `S`: (d, d) or scalar.

    Source: this package, docs/theory/energies.md, section 4.
    """
    metric = _matrix(S, measure.dim)
    root = jnp.sqrt(2 / jnp.asarray(temperature)) * jnp.asarray(K)
    seen = root @ measure.factor
    noisy = jnp.eye(seen.shape[0], dtype=seen.dtype) + seen @ seen.T
    spread = root.T @ (seen - jnp.linalg.solve(noisy, seen))
    pull = root.T @ (root @ measure.mean)
    return pull @ metric @ pull + jnp.sum(spread * (metric @ spread))


def sinkhorn_energy(measure: Gaussian | Tokens, B: Parameter, epsilon: Number = 1.0) -> Energy:
    """F = 1/2 OT_epsilon(measure, measure), the entropic transport with the cost -y^T B x.

    OT_epsilon is the minimum over couplings of the mean cost plus epsilon times the relative entropy to the product.
    For B symmetric F decreases along Sinkhorn attention with the same `epsilon` and V = S B, for every `measure`; with
    S = I that is its Wasserstein gradient flow. On n tokens it is the dual value after log-domain iterations, which
    hold (n, n) arrays, and gradients do not pass through the iterations (they need not). `B`: (d, d) or scalar.

    Source: this package, docs/theory/energies.md, section 5; :cite:castin2025, Sinkhorn attention.
    """
    form = _matrix(B, measure.dim)
    if isinstance(measure, Tokens):
        return 0.5 * _coupling(jnp.asarray(measure.points), form, epsilon).value
    constant = jnp.asarray(-0.5 * (measure.mean @ form @ measure.mean))
    if measure.rank == 0:
        return constant
    inner = measure.factor.T @ form @ measure.factor / epsilon
    squares = jnp.maximum(jnp.linalg.eigvalsh(inner @ inner.T), 0.0)
    root = 1 + jnp.sqrt(1 + 4 * squares)
    return constant - jnp.asarray(0.5 * epsilon) * jnp.sum(2 * squares / root - 0.5 * jnp.log(0.5 * root))


def sinkhorn_energy_rate(measure: Gaussian | Tokens, B: Parameter, epsilon: Number = 1.0, S: Parameter = 1.0) -> Energy:
    """dF/dt <= 0 of `sinkhorn_energy` at `measure` along Sinkhorn attention with `epsilon`, V = S B, `B` symmetric.

    It is minus the average of g^T S g with g = B E[y | x] under the optimal coupling. `S`: (d, d) or scalar.

    Source: this package, docs/theory/energies.md, section 5.
    """
    form, metric = _matrix(B, measure.dim), _matrix(S, measure.dim)
    if isinstance(measure, Tokens):
        points = jnp.asarray(measure.points)
        weights = jax.nn.softmax(_coupling(points, form, epsilon).log_density, axis=1)
        return -jnp.mean(_square(weights @ points @ form, metric))
    inner = measure.factor.T @ form @ measure.factor / epsilon
    pull, spread = form @ measure.mean, form @ measure.factor @ shrinkage(inner) @ inner
    return -(pull @ metric @ pull + jnp.sum(spread * (metric @ spread)))


def linear_energy(measure: Gaussian | Tokens, B: Parameter) -> Energy:
    """1/4 E (y^T B x)^2, x and y independent draws of `measure`.

    For B symmetric it increases along linear attention with V = S B, for every `measure`; with S = I that is its
    Wasserstein gradient flow. `B`: (d, d) or scalar.

    Source: this package, docs/theory/energies.md, section 6; :cite:castin2025, gradient flows.
    """
    form, second = _matrix(B, measure.dim), _second_moment(measure)
    return 0.25 * jnp.sum((form.T @ second) * (form @ second).T)


def linear_energy_rate(measure: Gaussian | Tokens, B: Parameter, S: Parameter = 1.0) -> Energy:
    """tr(S B M B M B M B) >= 0 with M = E x x^T: the rate of `linear_energy` at `measure`, V = S B, `B` symmetric.

    `S`: (d, d) or scalar.

    Source: this package, docs/theory/energies.md, section 6.
    """
    form, second = _matrix(B, measure.dim), _second_moment(measure)
    pull = form @ second @ form
    return jnp.sum((_matrix(S, measure.dim) @ pull) * (second @ pull).T)


def _matrix(value: Parameter, dim: int) -> jax.Array:
    return jnp.asarray(dense(square_parameter("matrix", value), dim))


def _square(rows: jax.Array, metric: jax.Array) -> jax.Array:
    """g^T S g for each row g."""
    return jnp.sum((rows @ metric) * rows, axis=1)


def _second_moment(measure: Gaussian | Tokens) -> jax.Array:
    if isinstance(measure, Tokens):
        return jnp.asarray(measure.points.T @ measure.points / measure.size)
    return jnp.asarray(measure.cov + jnp.outer(jnp.asarray(measure.mean), jnp.asarray(measure.mean)))


def _tilted(
    inner: AnyArray, p: AnyArray, linear: AnyArray, constant: AnyArray
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """1/2 E Z(z), and mean and root of the covariance of z ~ N(0, I) under the weight Z(z).

    log Z(z) = constant + |p|^2 / 2 + linear.z + |inner z|^2 / 2.
    """
    precision = jnp.eye(inner.shape[0], dtype=inner.dtype) - inner.T @ inner
    chol = jnp.linalg.cholesky(precision)
    finite = jnp.all(jnp.isfinite(chol))
    chol = jnp.where(finite, chol, jnp.eye(inner.shape[0], dtype=inner.dtype))
    root = jax.scipy.linalg.solve_triangular(chol, jnp.eye(inner.shape[0], dtype=inner.dtype), lower=True).T
    center = root @ (root.T @ linear)
    exponent = constant + 0.5 * (p @ p + linear @ center) - jnp.sum(jnp.log(jnp.diagonal(chol)))
    return jnp.where(finite, 0.5 * jnp.exp(exponent), jnp.inf), center, root


def _coupling(points: jax.Array, form: jax.Array, epsilon: Number) -> Coupling:
    """Averaged log-domain Sinkhorn iterations on both potentials, and the dual objective at what they found.

    The objective is stationary in the potentials, so that its gradient at fixed potentials is that of the minimum.
    """
    affinity = points @ form.T @ points.T / epsilon  # row i: query x_i, column j: key y_j
    f, g = jax.lax.stop_gradient(_potentials(jax.lax.stop_gradient(affinity)))
    log_density = f[:, None] + g[None, :] + affinity
    surplus = jnp.mean(jnp.exp(log_density)) - 1
    return Coupling(log_density, jnp.asarray(epsilon) * (jnp.mean(f) + jnp.mean(g) - surplus))


def _potentials(affinity: jax.Array) -> tuple[jax.Array, jax.Array]:
    n = affinity.shape[0]
    tolerance = max(TOLERANCE, 16 * float(jnp.finfo(affinity.dtype).eps))

    def fresh(f: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
        shift = jnp.log(n)
        return (
            shift - logsumexp(affinity + g[None, :], axis=1),
            shift - logsumexp(affinity + f[:, None], axis=0),
        )

    def step(state: Iteration) -> Iteration:
        f, g, _, count = state
        new_f, new_g = fresh(f, g)
        change = jnp.maximum(jnp.max(jnp.abs(new_f - f)), jnp.max(jnp.abs(new_g - g)))
        scale = 1 + jnp.max(jnp.abs(new_f)) + jnp.max(jnp.abs(new_g))
        return 0.5 * (f + new_f), 0.5 * (g + new_g), change / scale, count + 1

    zero = jnp.zeros(n, affinity.dtype)
    start = (zero, zero, jnp.asarray(jnp.inf, affinity.dtype), jnp.asarray(0))
    f, g, *_ = jax.lax.while_loop(lambda s: (s[2] > tolerance) & (s[3] < MAX_ITERATIONS), step, start)
    return f, g
