"""The functional core: the flow of a Gaussian as a pure JAX function for jit, vmap and grad."""

from __future__ import annotations

import functools
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from .._check import BadInput
from .._linalg import dense
from .._types import AnyArray, ArrayLike
from ..measures.gaussian import Gaussian
from ..transformer.depth import Depth, Function, Model
from . import dop853
from .dop853 import Code, Span
from .forms import COVARIANCE, PLAIN_FACTOR, plain_factor_field
from .riccati import covariance_factors, effective_head
from .step import Controls


class Trajectory(eqx.Module):
    """Gaussians along a flow: `ts` (t,), `mean` (t, d), `cov` (t, d, d), and which times were reached.

    `reached` (t,) is False from the blow-up (or the end of the step budget) on; the rows there repeat the last state
    that was reached, they are not moments at those times.
    """

    ts: Float[jax.Array, " t"]
    mean: Float[jax.Array, "t d"]
    reached: Bool[jax.Array, " t"]
    _columns: Float[jax.Array, "t d c"]
    _is_cov: bool = eqx.field(static=True)

    @property
    def cov(self) -> Float[jax.Array, "t d d"]:
        """The covariances."""
        if self._is_cov:
            return self._columns
        return self._columns @ self._columns.mT

    @property
    def factor(self) -> Float[jax.Array, "t d r"]:
        """Factors L with cov = L L^T; where the covariance was integrated, its Cholesky factors or symmetric roots."""
        return jax.vmap(_root)(self._columns) if self._is_cov else self._columns


def evolve(
    model: Model,
    start: Gaussian,
    ts: ArrayLike,
    *,
    rtol: float = 1e-8,
    atol: float = 0.0,
    max_steps: int = 4096,
) -> Trajectory:
    """The flow of `start` under `model` from time 0, at the increasing times `ts` (t,): pytrees in and out.

    jit, vmap and grad (reverse mode) pass through it; the dtype follows the input. When every head is softmax with a
    scalar V and the parameters are constant, the covariance is its closed form; otherwise, and for the mean, the
    DOP853 loop runs and gradients come from `diffrax`. `rtol` and `atol` as in `attnflow.simulate`; `max_steps` bounds
    the steps. `start`: mean (d,), factor (d, r). Nothing is checked but shapes.

    Raises BadInput when the dimensions of `model` and `start` differ.

    Source: :cite:alcalde2026, eq. (2.6).
    """
    times = jnp.atleast_1d(jnp.asarray(ts))
    dtype = jnp.result_type(start.mean, start.factor, float)
    begin = Gaussian(jnp.asarray(start.mean, dtype), jnp.asarray(start.factor, dtype))
    times = times.astype(dtype)
    if model.dim not in (None, begin.dim):
        raise BadInput(f"`model` and `start` must share one dimension d: {model.dim} and {begin.dim} were found.")
    config = (float(rtol), float(atol), int(max_steps))
    model = with_own_arrays(model, dtype)
    mean, columns, reached = _moments(model, begin, times, config)
    is_cov = begin.rank == begin.dim
    head = None if isinstance(model, Depth) else effective_head(model)
    if head is not None:
        linear, bilinear = head
        A = jnp.zeros((begin.dim, begin.dim), dtype) if linear is None else dense(linear, begin.dim)
        B = dense(bilinear, begin.dim)
        columns, finite = covariance_factors(A.astype(dtype), (B + B.T).astype(dtype), begin.factor, times)
        return Trajectory(times, mean, reached & finite, columns, False)
    return Trajectory(times, mean, reached, columns, is_cov)


def with_own_arrays(model: Model, dtype: DTypeLike) -> Model:
    """`model` with copies of its NumPy parameters in `dtype`.

    JAX remembers by identity in which precision it has met an array: one that entered a trace in single precision
    cannot be an argument in double precision later.
    """
    own: Model = jax.tree.map(lambda leaf: np.array(leaf, dtype) if isinstance(leaf, np.ndarray) else leaf, model)
    return own


def _moments(
    model: Model, start: Gaussian, ts: jax.Array, config: tuple[float, float, int]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Means, covariances (full rank) or factors, and the reached mask, by the DOP853 loop."""
    if isinstance(model, Function):
        # a user's function may close over traced values, which only a general solver can differentiate
        return _held(start, *_by_diffrax(model, start, ts, config))
    return _by_loop(model, start, ts, config)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _by_loop(
    model: Model, start: Gaussian, ts: jax.Array, config: tuple[float, float, int]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    rtol, atol, max_steps = config
    dtype = start.mean.dtype
    jumps = jnp.asarray(model.jumps if isinstance(model, Depth) else (), dtype)
    span = Span(ts[-1], ts, jumps)
    factor_state = jnp.concatenate([start.factor, start.mean[:, None]], axis=1)
    controls = _controls(start, rtol, atol, max_steps, dtype)
    zero = jnp.zeros((), dtype)

    def factor_run(t: jax.Array, state: jax.Array, written: jax.Array) -> tuple[jax.Array, jax.Array]:
        loop = dop853.begin(PLAIN_FACTOR, model, state, t, span, controls)
        loop = dop853.advance(PLAIN_FACTOR, model, loop, span, controls, record=False)
        done = jnp.where(loop.code == Code.END, ts.shape[0], loop.written)
        return _frozen(loop.out, loop.state, done), jnp.maximum(done, written)

    if start.rank < start.dim:
        out, written = factor_run(zero, factor_state, jnp.zeros((), jnp.int32))
        return out[:, :, -1], out[:, :, :-1], jnp.arange(ts.shape[0]) < written
    cov_state = jnp.concatenate([start.cov, start.mean[:, None]], axis=1)
    loop = dop853.begin(COVARIANCE, model, cov_state, zero, span, controls)
    loop = dop853.advance(COVARIANCE, model, loop, span, controls, record=False)

    def hand_over() -> tuple[jax.Array, jax.Array]:
        fresh = loop.accepted == 0
        root = jnp.linalg.cholesky(jnp.where(fresh, jnp.eye(start.dim, dtype=dtype), loop.state[:, :-1]))
        root = jnp.where(fresh, start.factor, root)
        out, written = factor_run(loop.t, jnp.concatenate([root, loop.state[:, -1:]], axis=1), loop.written)
        squared = jnp.concatenate([out[:, :, :-1] @ out[:, :, :-1].mT, out[:, :, -1:]], axis=2)
        early = (jnp.arange(ts.shape[0]) < loop.written)[:, None, None]
        return jnp.where(early, loop.out, squared), written

    def stay() -> tuple[jax.Array, jax.Array]:
        return _frozen(loop.out, loop.state, loop.written), loop.written

    out, written = jax.lax.cond(loop.code == Code.ILL_CONDITIONED, hand_over, stay)
    return out[:, :, -1], out[:, :, :-1], jnp.arange(ts.shape[0]) < written


def _held(start: Gaussian, mean: jax.Array, columns: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The moments with the rows that are not finite replaced by the last one before them, and the reached mask."""
    finite = jnp.all(jnp.isfinite(mean), axis=1) & jnp.all(jnp.isfinite(columns), axis=(1, 2))
    reached = jnp.cumprod(finite) > 0
    first = start.cov if start.rank == start.dim else start.factor
    last = jnp.sum(reached) - 1

    def hold(rows: jax.Array, before: AnyArray) -> jax.Array:
        mask = jnp.expand_dims(reached, tuple(range(1, rows.ndim)))
        kept = jnp.where(mask, rows, before)
        return jnp.where(mask, kept, jnp.where(last < 0, before, kept[last]))

    return hold(mean, start.mean), hold(columns, first), reached


def _root(cov: jax.Array) -> jax.Array:
    """The Cholesky factor of a covariance (d, d), or its symmetric root where rounding denies the former."""
    root = jnp.linalg.cholesky(cov)
    values, vectors = jnp.linalg.eigh(cov)
    other = (vectors * jnp.sqrt(jnp.maximum(values, 0.0))) @ vectors.T
    return jnp.where(jnp.all(jnp.isfinite(root)), root, other)


def _frozen(out: jax.Array, state: jax.Array, written: jax.Array) -> jax.Array:
    return jnp.where((jnp.arange(out.shape[0]) < written)[:, None, None], out, state)


def _controls(start: Gaussian, rtol: float, atol: float, max_steps: int, dtype: Any) -> Controls:
    trace = jnp.sum(jnp.square(start.factor))
    spread = jnp.maximum(jnp.max(jnp.abs(start.mean)), jnp.sqrt(trace))
    floor = jnp.stack([jnp.zeros((), dtype), 1e-3 * jnp.where(spread > 0, spread, 1.0)])
    numbers = [jnp.asarray(x, dtype) for x in (rtol, atol, floor, -1.0, trace)]
    return Controls._make([*numbers, jnp.asarray(max_steps, jnp.int32)])


def _forward(model: Model, start: Gaussian, ts: jax.Array, config: tuple[float, float, int]) -> tuple[Any, Any]:
    result = _by_loop(model, start, ts, config)
    return result, (model, start, ts, result)


def _backward(config: tuple[float, float, int], residuals: Any, cotangents: Any) -> tuple[Any, Any, Any]:
    model, start, ts, (mean, columns, reached) = residuals
    kept = reached.astype(ts.dtype)
    last = jnp.max(jnp.where(reached, ts, 0.0))
    _, pull = jax.vjp(lambda m, s: _by_diffrax(m, s, jnp.minimum(ts, last), config), model, start)
    mean_bar, columns_bar, _ = cotangents
    to_model, to_start = pull((mean_bar * kept[:, None], columns_bar * kept[:, None, None]))
    return to_model, to_start, kept * _along(model, start, ts, (mean, columns), (mean_bar, columns_bar))


def _along(model: Model, start: Gaussian, ts: jax.Array, moments: Any, bars: Any) -> jax.Array:
    """The cotangent of the times: that of the moments times their rate (t,)."""
    field = COVARIANCE.field if start.rank == start.dim else PLAIN_FACTOR.field
    states, bar = (jnp.concatenate([x[1], x[0][:, :, None]], axis=2) for x in (moments, bars))
    rates = jax.vmap(lambda t, state: field(t, state, jnp.zeros((0, 0)), model))(ts, states)
    return jnp.sum(bar * rates, axis=(1, 2))


def _by_diffrax(
    model: Model, start: Gaussian, ts: jax.Array, config: tuple[float, float, int]
) -> tuple[jax.Array, jax.Array]:
    """The same moments by diffrax's Dopri8 on the factor form: differentiable."""
    import diffrax

    rtol, atol, max_steps = config
    jumps = jnp.asarray(model.jumps) if isinstance(model, Depth) and model.jumps.size else None
    controller = diffrax.PIDController(rtol=rtol, atol=atol + 1e-6 * rtol)
    if jumps is not None:
        controller = diffrax.ClipStepSizeController(controller, jump_ts=jumps)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(cast(Any, plain_factor_field)),
        diffrax.Dopri8(),
        t0=0.0,
        t1=ts[-1],
        dt0=None,
        y0=jnp.concatenate([start.factor, start.mean[:, None]], axis=1),
        args=model,
        saveat=diffrax.SaveAt(ts=ts),
        stepsize_controller=controller,
        max_steps=max_steps,
        throw=False,
    )
    out = jnp.asarray(solution.ys)
    columns = out[:, :, :-1]
    return out[:, :, -1], columns @ columns.mT if start.rank == start.dim else columns


_by_loop.defvjp(_forward, _backward)
