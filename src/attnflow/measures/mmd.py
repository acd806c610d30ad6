"""The squared maximum mean discrepancy with the kernel exp(-|x - y|^2 / (2 h^2)), to a Gaussian in closed form."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float
from scipy.linalg.lapack import dtrtri

from .._types import AnyArray, Number
from .gaussian import Gaussian
from .kernel_mean import kernel_mean
from .namespace import namespace, root

ROWS = 256
"""Tokens whose kernels are held at once inside jit."""


class Terms(NamedTuple):
    """The squared discrepancy `value`, and in it the mean of the kernel over all pairs of tokens, `pairs`."""

    value: Number
    pairs: Number


def default_bandwidth(gaussian: Gaussian) -> Number:
    """h = sqrt(tr cov) of `gaussian`: h^2 is half the mean squared distance of two of its points."""
    xp = namespace(gaussian.factor)
    width: Number = root(xp.sum(xp.square(gaussian.factor)))
    return width


def mmd_squared(
    points: Float[AnyArray, "n d"], gaussian: Gaussian, *, bandwidth: Number, unbiased: bool = False
) -> Number:
    """The squared discrepancy of the uniform measure on `points` (n, d) to `gaussian`, of any rank.

    `bandwidth` is h > 0. The means over the Gaussian are closed forms. With `unbiased` the pairs of a point with itself
    are left out, so that the expectation for points of the Gaussian is 0. NumPy points in float32 are compared in
    float32 and summed in float64; through JAX arrays jit, vmap and grad pass, in memory O(n).

    Source: this package, docs/theory/mmd.md, section 1.
    """
    host = namespace(points, gaussian.mean, gaussian.factor, bandwidth) is np
    value, pairs = (_on_host if host else _traced)(points, gaussian, bandwidth)
    return value + (pairs - 1) / (points.shape[0] - 1) if unbiased else value


def mmd_squared_between(
    one: Float[AnyArray, "n d"], two: Float[AnyArray, "m d"], *, bandwidth: Number, unbiased: bool = False
) -> Number:
    """The squared discrepancy of the uniform measures on `one` (n, d) and `two` (m, d).

    `bandwidth`, `unbiased` and arithmetic as in `mmd_squared`.

    Source: this package, docs/theory/mmd.md, section 1.
    """
    n, m = one.shape[0], two.shape[0]
    host = namespace(one, two, bandwidth) is np
    middle = np.asarray(np.mean(np.asarray(one), axis=0, dtype=np.float64)) if host else jnp.mean(one, axis=0)
    first, second = (_scaled(x, middle, bandwidth) for x in (one, two))
    mean: Any = kernel_mean if host else _traced_mean
    own, other, cross = mean(first), mean(second), mean(first, second)
    value: Number = own + other - 2 * cross
    return value + (own - 1) / (n - 1) + (other - 1) / (m - 1) if unbiased else value


def known_floor(gaussian: Gaussian, *, bandwidth: Number, n: int) -> float:
    """E of `mmd_squared` for `n` independent points of `gaussian`, with kernel width `bandwidth`: exact.

    Source: this package, docs/theory/mmd.md, section 2.
    """
    return float(-np.expm1(-0.5 * np.sum(np.log1p(2 * _scaled_variances(gaussian, bandwidth)))) / n)


def fitted_floor(gaussian: Gaussian, *, bandwidth: Number, n: int) -> float:
    """E of `mmd_squared` for `n` independent points, to the Gaussian with their own moments, here `gaussian`.

    To leading order in 1 / n, for n large against the rank; `bandwidth` is the kernel width. What mean and covariance
    absorb is taken off: with u = a / (1 + 2 a), a = variances / h^2, it is
    (1 - prod (1 + 2 a)^{-1/2} (1 + sum u + (sum u)^2 / 2 + sum u^2)) / n.

    Source: this package, docs/theory/mmd.md, section 2.
    """
    return fitted_floor_of(_scaled_variances(gaussian, bandwidth), n)


def fitted_floor_of(a: Float[np.ndarray, " r"], n: int) -> float:
    """`fitted_floor` of `n` points by the variances `a` (r,) in units of the squared kernel width.

    Source: this package, docs/theory/mmd.md, section 2.
    """
    u = a / (1 + 2 * a)
    absorbed = u.sum() + 0.5 * u.sum() ** 2 + np.sum(np.square(u))
    return float(-np.expm1(np.log1p(absorbed) - 0.5 * np.sum(np.log1p(2 * a))) / n)


def _scaled_variances(gaussian: Gaussian, bandwidth: Number) -> Float[np.ndarray, " r"]:
    """The nonzero eigenvalues of the covariance, divided by h^2."""
    singular = np.linalg.svd(np.asarray(gaussian.factor, np.float64), compute_uv=False)
    return np.square(singular / float(bandwidth))


def _scaled(points: AnyArray, origin: AnyArray, bandwidth: Number) -> AnyArray:
    """(points - origin) / h, on the host in the dtype of the points."""
    if isinstance(points, np.ndarray) and isinstance(origin, np.ndarray):
        near = origin.astype(points.dtype)
        centred = np.asarray(points - near)
        centred -= (origin - near).astype(points.dtype)  # what rounding the origin left over
        centred *= points.dtype.type(1 / float(bandwidth))
        return centred
    return (points - origin) / bandwidth


def _on_host(points: AnyArray, gaussian: Gaussian, bandwidth: Number) -> Terms:
    mean, factor = (np.asarray(x, np.float64) for x in (gaussian.mean, gaussian.factor))
    z, K = np.asarray(_scaled(points, mean, bandwidth)), factor / float(bandwidth)
    form = np.zeros(z.shape[0])
    along = z
    if K.shape[1] < K.shape[0]:  # beside the subspace of the Gaussian the form is the squared distance from it
        Q, K = np.linalg.qr(K)
        along = z @ Q.astype(z.dtype)
        across = z - along @ Q.T.astype(z.dtype)
        form += np.einsum("ij,ij->i", across, across)
    small, eye = K @ K.T, np.eye(K.shape[0])
    once, twice = (np.linalg.cholesky(eye + k * small) for k in (1, 2))
    white = along @ dtrtri(once, lower=1)[0].T.astype(z.dtype)
    form += np.einsum("ij,ij->i", white, white)
    log_once, log_twice = (np.log(np.diagonal(c)).sum() for c in (once, twice))
    cross, pairs = np.exp(-log_once - 0.5 * form).mean(), kernel_mean(z)
    return Terms(pairs - 2 * cross + np.exp(-log_twice), pairs)


def _traced(points: AnyArray, gaussian: Gaussian, bandwidth: Number) -> Terms:
    """By Cholesky factors, whose derivatives exist at equal eigenvalues; pairs are centred before they are summed."""
    factor = jnp.asarray(gaussian.factor) / bandwidth
    z = (jnp.asarray(points) - gaussian.mean) / bandwidth
    d, r = factor.shape
    small, eye = (factor @ factor.T, jnp.eye(d)) if d <= r else (factor.T @ factor, jnp.eye(r))
    once, twice = (jnp.linalg.cholesky(eye.astype(small.dtype) + k * small) for k in (1, 2))
    if d <= r:
        form = jnp.sum(jnp.square(solve_triangular(once, z.T, lower=True)), axis=0)
    else:
        inner = solve_triangular(once, (z @ factor).T, lower=True)
        form = jnp.sum(jnp.square(z), axis=1) - jnp.sum(jnp.square(inner), axis=0)
    log_once, log_twice = (jnp.sum(jnp.log(jnp.diagonal(c))) for c in (once, twice))
    cross, own = jnp.exp(-log_once - 0.5 * form), jnp.exp(-log_twice)
    value = _traced_mean(z, level=cross, offset=own)
    return Terms(value, value + 2 * jnp.mean(cross) - own)


def _traced_mean(
    one: AnyArray, two: AnyArray | None = None, *, level: jax.Array | None = None, offset: AnyArray | float = 0.0
) -> jax.Array:
    """The mean over all pairs of kernel - level_i - level_j + offset, row by row; derivatives compute rows again."""
    other = one if two is None else two
    halves = 0.5 * jnp.sum(jnp.square(other), axis=1)
    levels = jnp.zeros(one.shape[0], one.dtype) if level is None else level
    beside = levels if two is None else jnp.zeros(other.shape[0], one.dtype)

    @jax.checkpoint
    def row(here: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, own = here
        kernels = jnp.exp(other @ x - halves - 0.5 * jnp.sum(jnp.square(x)))
        return jnp.mean(kernels - beside - own + offset)

    return jnp.mean(jax.lax.map(row, (one, levels), batch_size=min(ROWS, one.shape[0])))
