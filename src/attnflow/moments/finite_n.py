"""Softmax weights of n independent Gaussian keys: collisions, the query's own weight, the frozen limit.

For n keys N(mean, cov) and a query with xi = B x + query_bias the logits are independent normal numbers with the
standard deviation s = |cov^{1/2} xi|, so that the softmax weights are those of log-normal numbers
w = exp(s Z - s^2 / 2). All expectations here are integrals over u = e^t of psi_k(u) = E w^k e^{-u w} and powers of
psi_0, by trapezoidal rules in variables in which the integrands are analytic and decay fast: they converge
exponentially.

Source: this package, docs/theory/finite-n.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtr
from jaxtyping import Float

from .._types import AnyArray, Number

Result = TypeVar("Result")

NARROW = 1.5
"""Below this s the expectations over Z are summed in Z, above it in the logarithm of u w."""


class SelfWeight(NamedTuple):
    """Expected softmax weights when the query is one of the keys.

    `own`: the weight of the query itself; `collision`: the sum of the squared weights of the other keys.
    """

    own: AnyArray
    collision: AnyArray


class Psi(NamedTuple):
    """log psi_0 and e^{2t} psi_2 at nodes t = log u."""

    log_zero: jax.Array
    two: jax.Array


def in_double(function: Callable[..., Result]) -> Callable[..., Result]:
    """`function` with JAX arrays passed through, and all other numbers taken to NumPy float64 and back."""
    compiled = jax.jit(function)

    @functools.wraps(function)
    def door(*arguments: Any) -> Result:
        if any(isinstance(argument, jax.Array) for argument in arguments):
            return function(*arguments)
        with jax.enable_x64(True):
            found = compiled(*(np.asarray(argument, dtype=np.float64) for argument in arguments))
            result: Result = jax.tree.map(np.asarray, found)
            return result

    return door


@in_double
def expected_collision(s: Number, n: Number) -> AnyArray:
    """E sum_j p_j^2 of the softmax weights of n keys whose logits are independent N(0, s^2).

    `s` >= 0 and `n` >= 1 broadcast. It is 1/n at s = 0, about e^{s^2} / n while that is small, and near
    1 - expected_maximum(n) / s beyond the freezing at s = sqrt(2 log n). Relative error below 1e-10 for n up to 1e6.
    jit, vmap and grad pass through it; NumPy numbers are computed in double precision and stay NumPy.

    Source: this package, docs/theory/finite-n.md, section 1.
    """
    return _each(_collision, s, n)


@in_double
def self_weight(s: Number, log_w0: Number, n: Number) -> SelfWeight:
    """Expected weights of n keys, one of which is the query with the weight w0 relative to the average key.

    The logits of the n - 1 other keys are independent with standard deviation `s` >= 0; `log_w0` =
    xi.(x - mean) - s^2 / 2 is the query's own logit, relative to the logarithm of E e^logit of another key; `n` >= 1
    counts all keys. All three broadcast. Absolute error below 1e-9.

    Source: this package, docs/theory/finite-n.md, section 2.
    """
    return SelfWeight(_each(_own, s, log_w0, n), _each(_other_collision, s, log_w0, n))


@in_double
def expected_maximum(n: Number) -> AnyArray:
    """E max of `n` independent standard normal numbers: the coefficient of the hardmax field.

    As s -> inf the conditional mean of attention is V (mean + expected_maximum(n) cov xi / |cov^{1/2} xi|).

    Source: this package, docs/theory/finite-n.md, section 3.
    """
    return _each(_maximum, n)


@in_double
def freezing(n: Number) -> AnyArray:
    """sqrt(2 log n): beyond this standard deviation of the logits a few of the `n` keys hold all of the weight.

    Source: this package, docs/theory/finite-n.md, section 3.
    """
    return jnp.sqrt(2 * jnp.log(jnp.asarray(n)))


def psi(t: Float[AnyArray, " u"], s: AnyArray) -> Psi:
    """log psi_0 and e^{2t} psi_2 of the log-normal weight with parameter `s` at the nodes `t`.

    Source: this package, docs/theory/finite-n.md, section 1.
    """
    missing, two = jax.lax.cond(s < NARROW, _psi_over_z, _psi_over_log, t, s)
    tiny = jnp.finfo(missing.dtype).tiny
    small = missing < 0.5
    log_zero = jnp.where(small, jnp.log1p(-jnp.where(small, missing, 0.0)), jnp.log(jnp.maximum(1 - missing, tiny)))
    return Psi(log_zero, two)


def bulk(s: Number, n: Number, xp: ModuleType = jnp) -> tuple[AnyArray, AnyArray]:
    """Center and width in t of the region where psi_0^n falls from 1 to 0, by the functions of `xp`."""
    log_n = xp.log(xp.maximum(n, 1.0))
    over = s - xp.sqrt(2 * log_n)
    center = 0.125 * (over + xp.sqrt(over**2 + 1)) ** 2 - log_n
    return center, xp.sqrt(1 + s**2 / (1 + 2 * log_n))


def stretched(low: float, high: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """`nodes` nodes x = y - e^{-y}, y evenly spaced from `low` to `high`: sparse to the left; and their weights."""
    y = np.linspace(low, high, nodes)
    return y - np.exp(-y), (1 + np.exp(-y)) * (y[1] - y[0])


def _collision(s: jax.Array, n: jax.Array) -> jax.Array:
    center, width = jax.lax.stop_gradient(bulk(s, n))
    x, weights = _rule(s.dtype, *stretched(-3.6, 9.5, 72))
    values = psi(center + width * x, s)
    return jnp.sum(_pairs(values, n) * (width * weights))


def _pairs(values: Psi, n: jax.Array) -> jax.Array:
    """n e^{2t} psi_2 psi_0^{n-1}: the density in t of the collision of n keys."""
    return n * values.two * jnp.exp((n - 1) * values.log_zero)


def _own(s: jax.Array, log_w0: jax.Array, n: jax.Array) -> jax.Array:
    x, weights = _rule(s.dtype, *stretched(-3.7, 4.2, 120))
    density = weights * jnp.exp(x - jnp.exp(x))
    return jnp.sum(density * jnp.exp((n - 1) * psi(x - log_w0, s).log_zero))


def _other_collision(s: jax.Array, log_w0: jax.Array, n: jax.Array) -> jax.Array:
    """The integral of exp(-e^{t + log_w0}) times the density of the other keys.

    The first factor is a step of width 1 and the density may be far wider. So a step that is as wide as the density is
    summed on the grid of the density, and the difference of the two steps on a grid around their place.
    """
    place, (center, width) = jax.lax.stop_gradient((-log_w0, bulk(s, n - 1)))
    smooth = 0.7 * jnp.maximum(width, 1.0) * (1 + 0.35 * jnp.clip((center - place) / width, 0.0, 30.0))
    x, weights = _rule(s.dtype, *stretched(-3.6, 9.5, 80))
    t = center + width * x
    wide = jnp.sum(ndtr((place - t) / smooth) * _pairs(psi(t, s), n - 1) * (width * weights))
    left, right = -jnp.arcsinh(25 + 6.5 * smooth), jnp.arcsinh(5 + 6.5 * smooth)
    fraction = jnp.linspace(0.0, 1.0, 192, dtype=s.dtype)
    v = left + (right - left) * fraction
    t = place + jnp.sinh(v)
    step = jnp.exp(-jnp.exp(jnp.minimum(t + log_w0, 30.0)))
    local = (step - ndtr((place - t) / smooth)) * _pairs(psi(t, s), n - 1)
    return wide + jnp.sum(local * jnp.cosh(v)) * (right - left) * fraction[1]


def _maximum(n: jax.Array) -> jax.Array:
    x = jnp.linspace(-10.0, 14.0, 481, dtype=n.dtype)
    density = n * jnp.exp((n - 1) * log_ndtr(x) - 0.5 * jnp.square(x)) / np.sqrt(2 * np.pi)
    return jnp.sum(x * density) * (x[1] - x[0])


def _psi_over_z(t: AnyArray, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """1 - psi_0 and e^{2t} psi_2, summed over Z: for small s."""
    s = jnp.where(s < NARROW, s, NARROW)
    nodes = np.linspace(-9.5, 12.5, 128)
    z, weights = _rule(s.dtype, nodes, (nodes[1] - nodes[0]) * np.exp(-0.5 * nodes**2) / np.sqrt(2 * np.pi))
    power = jnp.exp(jnp.minimum(t[:, None] + s * z - 0.5 * jnp.square(s), 30.0))
    missing = -jnp.expm1(-power)
    return missing @ weights, (jnp.square(power) * (1 - missing)) @ weights


def _psi_over_log(t: AnyArray, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same, summed over x = log(u w), the density of which is normal: for large s."""
    s = jnp.where(s < NARROW, NARROW, s)
    nodes, density = stretched(-3.7, 4.2, 120)
    weights = density * np.exp(nodes - np.exp(nodes))
    x, first = _rule(s.dtype, nodes, weights)
    a = (x - t[:, None] + 0.5 * jnp.square(s)) / s
    normal = jnp.exp(-0.5 * jnp.square(a)) / (np.sqrt(2 * np.pi) * s)
    return 0.5 * jax.lax.erfc(np.sqrt(0.5) * a) @ first, normal @ (first * jnp.exp(x))


def _rule(dtype: Any, nodes: np.ndarray, weights: np.ndarray) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(nodes, dtype), jnp.asarray(weights, dtype)


def _each(function: Callable[..., jax.Array], *arguments: Number) -> jax.Array:
    """`function` of scalars on broadcast arrays, one at a time: memory stays small, one branch is computed."""
    dtype = jnp.result_type(*arguments, float)
    arrays = jnp.broadcast_arrays(*(jnp.asarray(argument, dtype) for argument in arguments))
    flat = tuple(array.reshape(-1) for array in arrays)
    found = jax.lax.map(lambda row: function(*row), flat)
    return jnp.asarray(found).reshape(arrays[0].shape)
