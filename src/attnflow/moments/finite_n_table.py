"""Expected softmax weights of n Gaussian keys as a table, for averages over many queries.

The query's own weight and the collision of the other keys are functions of the variance s^2 of the logits and of the
query's own logit q. In a = 1 - c / h and b = q / h, h = sqrt(c^2 + s^2), they are analytic for all s from 0 to infinity
and all q, so that one uniform bicubic spline holds them all. Its error is about 1e-5.

Source: this package, docs/theory/finite-n.md, section 4.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.special import log_ndtr

from .._types import AnyArray
from .finite_n import Psi, bulk, psi, stretched

SCALE = 2.0
VARIANCES, LOGITS = 129, 257
FINE = np.linspace(-26.0, 10.0, 1081)


class Weights(NamedTuple):
    """The query's own weight and the pull 1 - own - collision, with derivatives in s^2 and q; each (m,)."""

    own: jax.Array
    pull: jax.Array
    own_s2: jax.Array
    own_q: jax.Array
    pull_s2: jax.Array
    pull_q: jax.Array

    @property
    def collision(self) -> jax.Array:
        """The expected sum of the squared weights of the other keys."""
        return 1 - self.own - self.pull


class Table(NamedTuple):
    """Spline coefficients (variances + 2, logits + 2, 2) of own weight and collision, and the range of b."""

    coefficients: np.ndarray
    low: float
    high: float


def average_weights(s2: Float[AnyArray, " m"], q: Float[AnyArray, " m"], n: int, *, self_key: bool) -> Weights:
    """The expected weights of `n` keys for queries with logit variance `s2` and own logit `q`.

    With `self_key` one of the keys is the query; otherwise all are independent of it and `q` is of no effect.

    Source: this package, docs/theory/finite-n.md, section 4.
    """
    table = weight_table(n, self_key)
    height = jnp.sqrt(SCALE**2 + s2)
    b = q / height
    step_a, step_b = 1 / (VARIANCES - 1), (table.high - table.low) / (LOGITS - 1)
    inside = (b > table.low) & (b < table.high)
    row, wa, da = _cubic((1 - SCALE / height) / step_a, VARIANCES)
    column, wb, db = _cubic((jnp.clip(b, table.low, table.high) - table.low) / step_b, LOGITS)
    flat = jnp.asarray(table.coefficients.reshape(-1, 2), height.dtype)
    index = (row[:, None, None] + np.arange(4)[:, None]) * (LOGITS + 2) + column[:, None, None] + np.arange(4)
    near = flat[index]
    value, by_a, by_b = (jnp.einsum("mi,mj,mijk->mk", u, w, near) for u, w in ((wa, wb), (da, wb), (wa, db)))
    by_a, by_b = by_a / step_a, jnp.where(inside[:, None], by_b / step_b, 0.0)
    cube = height**3
    in_q = by_b / height[:, None]
    in_s2 = (0.5 / cube)[:, None] * (SCALE * by_a - q[:, None] * by_b)
    return Weights(
        own=value[:, 0],
        pull=1 - value[:, 0] - value[:, 1],
        own_s2=in_s2[:, 0],
        own_q=in_q[:, 0],
        pull_s2=-in_s2[:, 0] - in_s2[:, 1],
        pull_q=-in_q[:, 0] - in_q[:, 1],
    )


@functools.lru_cache(maxsize=32)
def weight_table(n: int, self_key: bool) -> Table:
    """The table for `n` keys, with or without the query among them (`self_key`); it is kept.

    Source: this package, docs/theory/finite-n.md, section 4.
    """
    others = n - 1 if self_key else n
    low, high = -6.5, float(np.sqrt(2 * np.log(max(n, 2)))) + 6.5
    b = np.linspace(low, high, LOGITS)
    values = np.empty((VARIANCES, LOGITS, 2))
    values[-1] = _hardmax(b, others)
    heights = SCALE / (1 - np.linspace(0, 1, VARIANCES)[:-1])
    deviations = np.sqrt(np.maximum(np.square(heights) - SCALE**2, 0.0))
    places = [_fine_grid(s, max(others, 1)) for s in deviations]
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        found = jax.tree.map(np.asarray, _PSI(np.stack(places), deviations))
    for i, (height, t) in enumerate(zip(heights, places, strict=True)):
        log_w0 = height * b - 0.5 * deviations[i] ** 2 if self_key else np.full_like(b, -np.inf)
        values[i] = _row(t, Psi(found.log_zero[i], found.two[i]), log_w0, others)
    if not self_key:
        values[..., 0], values[-1, :, 1] = 0.0, 1.0
    matrix_a, matrix_b = _spline_matrix(VARIANCES), _spline_matrix(LOGITS)
    return Table(np.einsum("ai,bj,ijk->abk", matrix_a, matrix_b, values, optimize=True), low, high)


def _hardmax(b: np.ndarray, others: int) -> np.ndarray:
    """s = inf: the query has all of the weight if its normal number is the largest, else another key has it."""
    own = np.exp(others * log_ndtr(b))
    return np.stack([own, 1 - own], axis=1)


def _fine_grid(s: float, others: int) -> np.ndarray:
    center, width = (float(x) for x in bulk(s, others, xp=np))
    return center + width * FINE


def _row(t: np.ndarray, found: Psi, log_w0: np.ndarray, others: int) -> np.ndarray:
    """Own weight and collision for one s, by the cumulative distributions in t that a step of width 1 averages."""
    if others == 0:
        return np.stack([np.ones_like(log_w0), np.zeros_like(log_w0)], axis=1)
    free = CubicSpline(t, np.exp(others * found.log_zero))
    density = CubicSpline(t, others * found.two * np.exp((others - 1) * found.log_zero))
    cumulative = density.antiderivative()
    x, weights = stretched(-3.5, 4.0, 64)
    weights = weights * np.exp(x - np.exp(x))
    places = np.clip(x - log_w0[:, None], t[0], t[-1])
    return np.stack([free(places) @ weights, cumulative(places) @ weights], axis=1)


def _spline_matrix(size: int) -> np.ndarray:
    """From values at `size` even nodes to the `size` + 2 coefficients of a cubic spline, not-a-knot at the ends."""
    system = np.zeros((size + 2, size + 2))
    for i in range(size):
        system[i, i : i + 3] = np.array([1, 4, 1]) / 6
    system[size, :5] = system[size + 1, -5:] = [1, -4, 6, -4, 1]
    return np.linalg.inv(system)[:, :size]


def _cubic(position: jax.Array, size: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The first of four coefficients at `position` in units of the step, their weights and the derivatives of these."""
    first = jnp.clip(jnp.floor(position), 0, size - 2)
    f = position - first
    g = 1 - f
    weights = [g**3, 3 * f**3 - 6 * f**2 + 4, 3 * g**3 - 6 * g**2 + 4, f**3]
    slopes = [-3 * g**2, 9 * f**2 - 12 * f, 12 * g - 9 * g**2, 3 * f**2]
    return first.astype(int), jnp.stack(weights, axis=-1) / 6, jnp.stack(slopes, axis=-1) / 6


_PSI = jax.jit(lambda t, s: jax.lax.map(lambda row: psi(*row), (t, s)))
