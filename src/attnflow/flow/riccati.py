"""V = eta I: the covariance in closed form, as a differentiable JAX function.

With S = eta (B + B^T), N(t) = int_0^t e^{A^T s} S e^{A s} ds and cov(0) = L0 L0^T,

    cov(t) = e^{At} L0 (I - L0^T N(t) L0)^{-1} L0^T e^{A^T t}.

The factor is carried from step to step: with the Cholesky factor C C^T = I - L^T N_h L, the map L <- e^{Ah} L C^{-T} is
the exact flow over a step h; it keeps the rank and the semidefiniteness, and C exists exactly while the covariance is
finite.

Source: :cite:vanloan1978, for N; this package, docs/theory/closed-form.md.
"""

from __future__ import annotations

import functools
import math
from typing import TypeAlias

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.polynomial.legendre import leggauss

from .._linalg import LowRank, Operator, dense
from .._types import AnyArray, Number
from ..transformer.block import single_terms
from ..transformer.feedforward import Affine
from ..transformer.layer import AbstractLayer
from ..transformer.softmax import SoftmaxAttention

TAYLOR_RADIUS = 0.35
STEP_RADIUS = 4.0
BLOCK_RADIUS = 6.0
BLOCK_DEGREE = 30
_GAUSS = leggauss(14)
_Carry: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]
_Doubling: TypeAlias = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def effective_head(layer: AbstractLayer) -> tuple[Operator | None, AnyArray] | None:
    """(A, sum of eta_h B_h) when all heads are softmax with a scalar V_h = eta_h I and the feed-forward is affine.

    Scalar heads add: G = A + cov (sum of eta_h B_h). Returns None for any other layer; a missing feed-forward gives
    A = None.
    """
    terms = single_terms(layer)
    linear, bilinear = None, None
    for term in terms:
        if isinstance(term, Affine):
            linear = term.A if linear is None else _plus(_array(linear), _array(term.A))
        elif isinstance(term, SoftmaxAttention) and not isinstance(term.V, LowRank) and term.V.ndim == 0:
            part = term.V * _array(term.B)
            bilinear = part if bilinear is None else _plus(bilinear, part)
        else:
            return None
    return None if bilinear is None else (linear, bilinear)


def _array(operator: Operator) -> AnyArray:
    return operator.dense() if isinstance(operator, LowRank) else operator


def _plus(one: AnyArray, two: AnyArray) -> AnyArray:
    dim = max((*one.shape, *two.shape), default=0)
    return one + two if one.ndim == two.ndim else dense(one, dim) + dense(two, dim)


def taylor_pair(
    A: Float[AnyArray, "d d"], S: Float[AnyArray, "d d"], h: Number, powers: tuple[AnyArray, ...]
) -> tuple[AnyArray, AnyArray]:
    """(e^{Ah}, N(h)) by their Taylor series, to rounding when h times the growth of the powers of A is within 0.35.

    `powers` are (A^2, A^3, A^4). Degree 15 each; works on NumPy and on JAX arrays.

    Source: :cite:paterson1973, for the exponential.
    """
    square, cube, fourth = powers
    identity = np.eye(A.shape[0], dtype=A.dtype)

    def block(i: int) -> AnyArray:
        c = [h ** (4 * i + j) / float(math.factorial(4 * i + j)) for j in range(4)]
        return c[0] * identity + c[1] * A + c[2] * square + c[3] * cube

    exponential = block(3)
    for i in (2, 1, 0):
        exponential = block(i) + fourth @ exponential
    term, gramian = S, h * S
    for k in range(1, 15):
        half = term @ A
        term = half + half.T
        gramian = gramian + (h ** (k + 1) / float(math.factorial(k + 1))) * term
    return exponential, gramian


def doubled(exponential: AnyArray, gramian: AnyArray) -> tuple[AnyArray, AnyArray]:
    """(e^{2Ah}, N(2h)) from (e^{Ah}, N(h))."""
    return exponential @ exponential, gramian + exponential.T @ (gramian @ exponential)


def taylor_block(A: Float[AnyArray, "d d"], factor: Float[AnyArray, "d r"], scale: Number) -> Float[AnyArray, "k d r"]:
    """The blocks (A / scale)^k L / k! for k = 0 to 30: e^{As} L = sum_k (scale s)^k block_k."""
    blocks = [factor]
    for k in range(1, BLOCK_DEGREE + 1):
        blocks.append((A @ blocks[-1]) / (scale * k))
    return jnp.stack(blocks) if isinstance(blocks[-1], jax.Array) else np.stack(blocks)


def block_values(
    blocks: Float[AnyArray, "k d r"], S: Float[AnyArray, "d d"], x: Number, scale: Number
) -> tuple[AnyArray, AnyArray]:
    """(e^{Ah} L, int_0^h (e^{As} L)^T S (e^{As} L) ds) at h = x / scale from the Taylor blocks.

    The integral is a Gauss-Legendre sum, exact to rounding within the radius of the blocks.
    """
    nodes, weights = (x.astype(blocks.dtype) for x in _GAUSS)
    places = np.append(0.5 * (nodes + 1.0), nodes.dtype.type(1.0))
    degree, dim, rank = blocks.shape
    powers = places[:, None] ** np.arange(degree, dtype=places.dtype) * x ** np.arange(degree)
    values = (powers @ blocks.reshape(degree, dim * rank)).reshape(places.size, dim, rank)
    inner = values[:-1].transpose(1, 0, 2).reshape(dim, -1)
    images = (S @ inner).reshape(dim, nodes.size, rank)
    weighted = (0.5 * x / scale) * weights[:, None, None] * values[:-1]
    gain = weighted.transpose(2, 0, 1).reshape(rank, nodes.size * dim) @ images.transpose(1, 0, 2).reshape(
        nodes.size * dim, rank
    )
    return values[-1], 0.5 * (gain + gain.T)


def covariance_factors(
    A: Float[AnyArray, "d d"], S: Float[AnyArray, "d d"], factor: Float[AnyArray, "d r"], ts: Float[AnyArray, " t"]
) -> tuple[Float[jax.Array, "t d r"], jax.Array]:
    """The factors of cov(t) at the increasing times `ts` (t,), and which of them lie before the blow-up.

    Differentiable in all array arguments. Rows that are not reached repeat the last state. For S with eigenvalues of
    both signs, a blow-up is noticed at the ends of the steps (of length at most 4 / ||A||); `attnflow.simulate`
    certifies the steps as well.
    """
    A, S, factor, ts = (jnp.asarray(x) for x in (A, S, factor, ts))
    advance = _advance_block if 4 * factor.shape[1] <= factor.shape[0] else _advance_dense
    norm = jnp.asarray(jax.lax.stop_gradient(spectral_norm(A)))

    def interval(carry: _Carry, t: jax.Array) -> tuple[_Carry, tuple[jax.Array, jax.Array]]:
        start, columns, alive = carry
        moved, exists = advance(A, S, columns, t - start, norm)
        good = alive & exists
        kept = jnp.where(good, moved, columns)
        return (t, kept, good), (kept, good)

    first: _Carry = (jnp.zeros((), ts.dtype), factor, jnp.asarray(True))
    _, (factors, reached) = jax.lax.scan(interval, first, ts)
    return factors, reached


def spectral_norm(A: Float[AnyArray, "d d"]) -> Number:
    """||A||_2 up to a few per cent, by power iteration on A^T A from a fixed vector."""
    module = jnp if isinstance(A, jax.Array) else np
    vector = np.cos(np.arange(1.0, A.shape[0] + 1.0, dtype=A.dtype))
    for _ in range(10):
        image = A.T @ (A @ vector)
        vector = image / module.maximum(module.linalg.norm(image), np.finfo(A.dtype).tiny)
    norm: Number = 1.05 * module.linalg.norm(A @ vector)
    return norm


def _advance_dense(
    A: jax.Array, S: jax.Array, factor: jax.Array, span: jax.Array, norm: jax.Array
) -> tuple[jax.Array, jax.Array]:
    count = jnp.maximum(jnp.ceil(span * norm / STEP_RADIUS), 1.0)
    exponential, gramian = _propagator(A, S, span / count)

    def step(carry: _Carry) -> _Carry:
        index, columns, _ = carry
        return index + 1, *_kept(columns, exponential @ columns, columns.T @ (gramian @ columns))

    start = (jnp.zeros((), count.dtype), factor, jnp.asarray(True))
    _, columns, alive = eqxi.while_loop(
        lambda c: (c[0] < count) & c[2], step, start, max_steps=2**16, kind="checkpointed"
    )
    return columns, alive


def _advance_block(
    A: jax.Array, S: jax.Array, factor: jax.Array, span: jax.Array, norm: jax.Array
) -> tuple[jax.Array, jax.Array]:
    scale = jnp.maximum(norm, jnp.finfo(A.dtype).tiny ** 0.5)
    total = span * scale

    def step(carry: _Carry) -> _Carry:
        done, columns, _ = carry
        blocks = taylor_block(A, columns, scale)
        x = jnp.minimum(total - done, jax.lax.stop_gradient(block_radius(blocks)))
        moved, gain = block_values(blocks, S, x, scale)
        done = jnp.where(x >= total - done, total, done + x)
        return done, *_kept(columns, jnp.asarray(moved), jnp.asarray(gain))

    start = (jnp.zeros((), total.dtype), factor, jnp.asarray(True))
    _, columns, alive = eqxi.while_loop(
        lambda c: (c[0] < total) & c[2], step, start, max_steps=2**16, kind="checkpointed"
    )
    return columns, alive


def _kept(columns: jax.Array, moved: jax.Array, gain: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The factor after a step and whether it exists; a step into a blow-up leaves the factor where it was."""
    after = square_root_step(moved, gain)
    good = jnp.all(jnp.isfinite(after))
    return jnp.where(good, after, columns), good


def block_radius(blocks: Float[AnyArray, "k d r"]) -> Number:
    """The largest x at which the last Taylor block is negligible beside the first, at most 6."""
    module = jnp if isinstance(blocks, jax.Array) else np
    first, last = module.linalg.norm(blocks[0]), module.linalg.norm(blocks[-1])
    tiny = np.finfo(np.float64).tiny
    ratio = np.finfo(blocks.dtype).eps * 0.5 * first / module.maximum(last, tiny)
    ratio = module.where(last > 0, ratio, np.finfo(blocks.dtype).max)
    radius: Number = module.minimum(module.maximum(ratio, tiny) ** (1.0 / BLOCK_DEGREE), BLOCK_RADIUS)
    return radius


@jax.custom_vjp
def square_root_step(moved: jax.Array, gain: jax.Array) -> jax.Array:
    """`moved` C^{-T} with C C^T = I - gain: not finite when I - gain is not positive definite.

    The gradient of a step that is not finite is zero, so that a blow-up does not poison the gradient of what came
    before.
    """
    return _square_root_step(moved, gain)


def _square_root_step(moved: jax.Array, gain: jax.Array) -> jax.Array:
    gap = jnp.eye(gain.shape[0], dtype=gain.dtype) - 0.5 * (gain + gain.T)
    root = jnp.linalg.cholesky(gap)
    return jax.scipy.linalg.solve_triangular(root, moved.T, lower=True).T


def _step_forward(moved: jax.Array, gain: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    after = _square_root_step(moved, gain)
    return after, (moved, gain, jnp.all(jnp.isfinite(after)))


def _step_backward(
    residuals: tuple[jax.Array, jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    *inputs, good = residuals
    _, pull = jax.vjp(_square_root_step, *(jnp.where(good, x, 0.0) for x in inputs))
    to_moved, to_gain = pull(jnp.where(good, cotangent, 0.0))
    return to_moved, to_gain


square_root_step.defvjp(_step_forward, _step_backward)


@functools.partial(jax.jit, inline=True)
def _propagator(A: jax.Array, S: jax.Array, h: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(e^{Ah}, N(h)): Taylor at h / 2^j, then j doublings."""
    square = A @ A
    powers = (square, square @ A, square @ square)
    growth = jax.lax.stop_gradient(power_growth(powers))
    count = jnp.maximum(jnp.ceil(jnp.log2(jnp.maximum(h * growth / TAYLOR_RADIUS, 1.0))), 0.0)
    pair = taylor_pair(A, S, h * 2.0**-count, powers)

    def body(carry: _Doubling) -> _Doubling:
        # the transpose is squared beside the matrix: XLA's products with a transposed operand cost more than that
        done, exponential, transposed, gramian = carry
        grown = gramian + transposed @ (gramian @ exponential)
        return done + 1, exponential @ exponential, transposed @ transposed, grown

    first = jnp.asarray(pair[0])
    start: _Doubling = (jnp.zeros((), count.dtype), first, first.T, jnp.asarray(pair[1]))
    _, exponential, _, gramian = eqxi.while_loop(lambda c: c[0] < count, body, start, max_steps=64, kind="checkpointed")
    return exponential, gramian


def power_growth(powers: tuple[AnyArray, ...]) -> Number:
    """max(||A^3||^(1/3), ||A^4||^(1/4)) in the 1-norm: what the powers of A grow with, often far below ||A||_1."""
    module = jnp if isinstance(powers[0], jax.Array) else np
    sizes = [module.abs(p).sum(axis=0).max() ** (1.0 / k) for k, p in ((3, powers[1]), (4, powers[2]))]
    growth: Number = module.maximum(*sizes)
    return growth
