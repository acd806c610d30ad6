"""Sinkhorn attention: the kernel exp(y^T B x / epsilon), rescaled so that its weights are doubly stochastic."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float
from typing_extensions import override

from .._check import BadInput, positive, positive_parameter
from .._linalg import Operator, times, times_from_left
from .._types import AnyArray, ArrayLike, Number, Points, Vector
from ..measures.gaussian import Gaussian, Moments
from .kernel import softmax_average
from .layer import AbstractLayer, AffineMap
from .parameters import Parameter, bilinear_logits, common_dim, optional_vector, split_values, square_parameter

MEMORY = 8
"""How many iterations Anderson's acceleration combines."""

ROUNDING = 64
"""No tolerance below this many units of rounding is asked of the iteration."""


class SinkhornAttention(AbstractLayer):
    """One head of Sinkhorn attention: the barycentric map of entropic transport of the measure to itself.

    The transport has the cost -y^T B x and the regularisation `epsilon`; the velocity at x is V E[y | x] + value_bias.
    At N(mean, cov) with cov = L L^T it is exactly V (mean + M (x - mean)) + value_bias, where
    M = (1/epsilon) L R L^T B, R = 2 (I + (I + 4 C C^T)^{1/2})^{-1} and C = L^T B L / epsilon: no inverse of cov or B
    enters, both may be singular. On tokens Sinkhorn iterations (in logarithms, accelerated) run until the marginal of
    the keys has the relative l1 error `tolerance`, at most `max_iterations` of them; see `marginal_error`. Biases of
    query and key cancel in the rescaling and are not parameters. The flow exists for all times.

    `B`, `V`: (d, d), a scalar or a `LowRank`; `epsilon` > 0; `value_bias`: (d,) or None.

    Raises BadInput when the shapes disagree, a number is not finite, or `epsilon`, `tolerance` or `max_iterations` is
    not positive.

    Source: :cite:castin2025, Sinkhorn attention.
    """

    B: Operator
    V: Operator
    epsilon: Number
    value_bias: Vector | None
    tolerance: float = eqx.field(static=True)
    max_iterations: int = eqx.field(static=True)

    def __init__(
        self,
        B: Parameter,
        V: Parameter,
        epsilon: Number = 1.0,
        *,
        value_bias: ArrayLike | None = None,
        tolerance: float = 1e-10,
        max_iterations: int = 2000,
    ) -> None:
        self.B, self.V = square_parameter("B", B), square_parameter("V", V)
        self.epsilon = positive_parameter("epsilon", epsilon)
        self.value_bias = optional_vector("value_bias", value_bias)
        self.tolerance = positive("tolerance", tolerance)
        self.max_iterations = int(positive("max_iterations", max_iterations))
        if self.max_iterations != max_iterations:
            raise BadInput(f"`max_iterations` must be a positive whole number: {max_iterations!r} was found.")
        common_dim(B=self.B, V=self.V, value_bias=self.value_bias)

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        queries, keys, _ = bilinear_logits(self.B, None, points, tokens)
        values, out = split_values(self.V, tokens)
        potential = self._potentials(tokens).potential
        average, _ = softmax_average(self._scaled(queries), keys, values, key_bias=potential)
        moved = out(average)
        return moved if self.value_bias is None else moved + self.value_bias

    def marginal_error(self, tokens: Points) -> Float[jax.Array, ""]:
        """The relative l1 error of the marginal of the keys, for which the iterations on `tokens` (n, d) stopped."""
        return self._potentials(tokens).error

    def converged(self, tokens: Points) -> bool | jax.Array:
        """Whether the iterations on `tokens` (n, d) reach the tolerance (or rounding, where that is larger)."""
        return self.marginal_error(tokens) <= _reachable(self.tolerance, jnp.asarray(tokens).dtype)

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        factor = measure.factor if isinstance(measure, Gaussian) else jnp.linalg.cholesky(measure.cov)
        tilted = self._scaled(times_from_left(factor.T, self.B))
        left = jnp.asarray(factor @ shrinkage(tilted @ factor))
        center = measure.mean - left @ (tilted @ measure.mean)
        moved = times(self.V, jnp.concatenate([left, center[:, None]], axis=1))
        offset = moved[:, -1] if self.value_bias is None else moved[:, -1] + self.value_bias
        return AffineMap(None, moved[:, :-1], tilted, offset)

    @property
    @override
    def dim(self) -> int | None:
        return common_dim(B=self.B, V=self.V, value_bias=self.value_bias)

    def _potentials(self, tokens: Points) -> _Potentials:
        tokens = jnp.asarray(tokens)
        queries, keys, _ = bilinear_logits(self.B, None, tokens, tokens)
        dtype = jnp.result_type(queries, keys)
        scaled, keys = self._scaled(queries).astype(dtype), jnp.asarray(keys, dtype)
        found: _Potentials = _compiled(scaled, keys, self.tolerance, self.max_iterations)
        return found

    def _scaled(self, queries: AnyArray) -> jax.Array:
        queries = jnp.asarray(queries)
        return queries / jnp.asarray(self.epsilon, queries.dtype)


def sinkhorn_layers(model: Any) -> list[SinkhornAttention]:
    """All Sinkhorn layers inside `model`, whose inner iterations may fail."""
    leaves = jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, SinkhornAttention))
    return [leaf for leaf in leaves if isinstance(leaf, SinkhornAttention)]


@jax.custom_jvp
def shrinkage(C: Float[AnyArray, "r r"]) -> Float[jax.Array, "r r"]:
    """R = 2 (I + (I + 4 C C^T)^{1/2})^{-1}, the positive definite solution of R C C^T R + R = I.

    Its derivative is that of the equation, a Lyapunov equation in the singular basis of `C`, which has no small
    divisors where singular values meet.

    Source: this package, docs/theory/kinds.md.
    """
    return _shrinkage(C)[0]


@shrinkage.defjvp
def _shrinkage_jvp(primals: tuple[AnyArray], tangents: tuple[AnyArray]) -> tuple[jax.Array, jax.Array]:
    C, dC = primals[0], tangents[0]
    R, basis, roots = _shrinkage(C)
    change = R @ (dC @ C.T + C @ dC.T) @ R
    moved = -(basis.T @ change @ basis) / (0.5 * (roots[:, None] + roots[None, :]))
    return R, basis @ moved @ basis.T


def _shrinkage(C: AnyArray) -> tuple[jax.Array, jax.Array, jax.Array]:
    """R, the left singular vectors of `C` and the square roots of 1 + 4 s^2."""
    if C.shape[0] == 0:
        return jnp.zeros_like(C), jnp.zeros_like(C), jnp.zeros(0, C.dtype)
    basis, singular, _ = jnp.linalg.svd(C)
    roots = jnp.sqrt(1 + jnp.square(2 * singular))
    return basis @ ((2 / (1 + roots))[:, None] * basis.T), basis, roots


class _Potentials(NamedTuple):
    """The potential of the keys, the error of their marginal, and the iterations spent."""

    potential: jax.Array
    error: jax.Array
    iterations: jax.Array


class _Iteration(NamedTuple):
    """The potential to try next, the image of the last one, the images and residuals that are remembered, counters."""

    potential: jax.Array
    image: jax.Array
    images: jax.Array
    residuals: jax.Array
    kept: jax.Array
    iterations: jax.Array
    error: jax.Array
    best: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _sinkhorn(queries: jax.Array, keys: jax.Array, tolerance: float, most: int) -> _Potentials:
    """The centred potential of the keys for uniform marginals; differentiated through its fixed-point equation.

    Sinkhorn's iteration with Anderson's acceleration: the next potential is the combination of the last images whose
    residuals cancel best. An acceleration that goes wrong is forgotten.

    Source: :cite:walker2011, Sect. 2.
    """
    wanted = _reachable(tolerance, keys.dtype)

    def going(now: _Iteration) -> jax.Array:
        return (now.error > wanted) & (now.iterations < most)

    def step(now: _Iteration) -> _Iteration:
        new = _cycle(queries, keys, now.potential)
        error = jnp.mean(jnp.abs(jnp.expm1(now.potential - new)))
        image = new - jnp.mean(new)
        residual = image - now.potential
        kept = jnp.where(error > 2 * now.best, 0, now.kept)
        place = kept % MEMORY
        return _Iteration(
            potential=_accelerated(image, residual, now.images, now.residuals, kept),
            image=image,
            images=now.images.at[place].set(image),
            residuals=now.residuals.at[place].set(residual),
            kept=kept + 1,
            iterations=now.iterations + 1,
            error=error,
            best=jnp.minimum(now.best, error),
        )

    zero, huge = jnp.zeros(keys.shape[0], keys.dtype), jnp.asarray(jnp.finfo(keys.dtype).max / 4, keys.dtype)
    none, nothing = jnp.zeros((), jnp.int32), jnp.zeros((MEMORY, keys.shape[0]), keys.dtype)
    found: _Iteration = lax.while_loop(going, step, _Iteration(zero, zero, nothing, nothing, none, none, huge, huge))
    return _Potentials(found.image, found.error, found.iterations)


def _accelerated(
    image: jax.Array, residual: jax.Array, images: jax.Array, residuals: jax.Array, kept: jax.Array
) -> jax.Array:
    """The image moved by the combination of the last `kept` ones that makes the linearised residual smallest."""
    valid = jnp.arange(MEMORY) < kept
    change = jnp.where(valid[:, None], residuals - residual, 0.0)
    gram = change @ change.T
    ridge = 8 * jnp.finfo(gram.dtype).eps * jnp.trace(gram)
    weights = jnp.linalg.solve(gram + jnp.diag(jnp.where(valid, ridge, 1.0)), -(change @ residual))
    weights = jnp.where(valid & jnp.isfinite(weights), weights, 0.0)
    return image + weights @ jnp.where(valid[:, None], images - image, 0.0)


def _cycle(queries: jax.Array, keys: jax.Array, potential: jax.Array) -> jax.Array:
    """One Sinkhorn iteration: the potential of the queries, then that of the keys."""
    none = jnp.zeros((keys.shape[0], 0), keys.dtype)
    of_queries = jnp.log(keys.shape[0]) - softmax_average(queries, keys, none, key_bias=potential)[1]
    return jnp.log(keys.shape[0]) - softmax_average(keys, queries, none, key_bias=of_queries)[1]


def _forward(
    queries: jax.Array, keys: jax.Array, tolerance: float, most: int
) -> tuple[_Potentials, tuple[jax.Array, jax.Array, jax.Array]]:
    found = _sinkhorn(queries, keys, tolerance, most)
    return found, (queries, keys, found.potential)


def _backward(
    tolerance: float, most: int, kept: tuple[jax.Array, jax.Array, jax.Array], cotangent: _Potentials
) -> tuple[jax.Array, jax.Array]:
    """The adjoint of the fixed point: w = cotangent + J^T w by its Neumann series, which converges as Sinkhorn does."""

    def centred(queries: jax.Array, keys: jax.Array, potential: jax.Array) -> jax.Array:
        new = _cycle(queries, keys, potential)
        return new - jnp.mean(new)

    pull = jax.vjp(centred, *kept)[1]
    given = cotangent.potential
    small = _reachable(tolerance, given.dtype)

    def going(now: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        total, term, count = now
        return (jnp.max(jnp.abs(term)) > small * jnp.max(jnp.abs(total))) & (count < most)

    def step(now: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        total, term, count = now
        term = pull(term)[2]
        return total + term, term, count + 1

    total, _, _ = lax.while_loop(going, step, (given, given, jnp.zeros((), jnp.int32)))
    to_queries, to_keys, _ = pull(total)
    return to_queries, to_keys


_sinkhorn.defvjp(_forward, _backward)
_compiled = jax.jit(_sinkhorn, static_argnums=(2, 3))


def _reachable(tolerance: float, dtype: Any) -> float:
    return max(tolerance, ROUNDING * float(jnp.finfo(dtype).eps))
