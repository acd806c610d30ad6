"""An independent replay of a run."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from typing import TYPE_CHECKING, Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from .._check import BadInput
from ..flow.evolve_tokens import evolve_tokens
from ..flow.forms import plain_factor_field
from ..flow.layers import layer_of
from ..measures.gaussian import Gaussian
from ..transformer.depth import Depth, Model, Piecewise, layer_at

if TYPE_CHECKING:
    from .run import Run
    from .token_run import TokenRun

NO_MODEL = "this run cannot be replayed: its model is a function of depth that the file does not hold."


@dataclasses.dataclass(frozen=True)
class Verification:
    """How far a run lies from its replay.

    `mean_error` and `cov_error` are the largest differences over the times `ts`, relative to the largest mean and to
    the covariance (Frobenius) at each time; `rtol` is the tolerance of the replay and `complete` whether it reached all
    times.
    """

    mean_error: float
    cov_error: float
    ts: np.ndarray
    rtol: float
    complete: bool
    method: str = "SciPy DOP853 on the factor form"


def verify(run: Run, *, rtol: float) -> Verification:
    """Replay `run` from its start with SciPy's DOP853 on L' = G L and compare at the reached times.

    Raises BadInput when the run has no model.
    """
    if run.model is None:
        raise BadInput(NO_MODEL)
    if run.options.layers is not None:
        return _verify_layers(run, run.model)
    d, r = run.start.dim, run.start.rank
    state = np.concatenate([np.asarray(run.start.factor), np.asarray(run.start.mean)[:, None]], axis=1).ravel()
    found: list[np.ndarray] = [state] if run.ts.size and run.ts[0] == 0 else []
    time, complete = 0.0, True
    for stop, wanted in _stretches(run.model, run.ts):
        solution = _replay(
            layer_at(run.model, time) if isinstance(run.model, Piecewise) else run.model,
            state,
            time,
            stop,
            wanted,
            rtol,
            (d, r),
        )
        found += list(solution.y.T[: wanted.size])
        complete = complete and bool(solution.success)
        if not complete:
            break
        state, time = solution.y[:, -1], stop
    replayed = np.array(found).reshape(-1, d, r + 1)
    factor = replayed[:, :, :-1]
    covs = factor @ factor.swapaxes(-1, -2)
    return _compare(run, replayed[:, :, -1], covs, rtol, "SciPy DOP853 on the factor form", complete=complete)


def _compare(run: Run, mean: np.ndarray, cov: np.ndarray, rtol: float, method: str, *, complete: bool) -> Verification:
    n = len(mean)
    sizes = np.maximum(np.linalg.norm(cov, axis=(1, 2)), np.finfo(float).tiny)
    scale = max(float(np.linalg.norm(mean, axis=1).max(initial=0.0)), np.finfo(float).tiny)
    return Verification(
        mean_error=float((np.linalg.norm(mean - run.mean[:n], axis=1) / scale).max(initial=0.0)),
        cov_error=float((np.linalg.norm(cov - run.cov[:n], axis=(1, 2)) / sizes).max(initial=0.0)),
        ts=run.ts[:n],
        rtol=rtol,
        complete=complete and n == run.ts.size,
        method=method,
    )


def _verify_layers(run: Run, model: Model) -> Verification:
    """The covariance itself carried through I + step G, with G at the Gaussian of these moments."""
    mean, cov = np.asarray(run.start.mean), np.asarray(run.start.cov)
    means, covs, step = [mean], [cov], run.options.step
    for i in range(run.ts.size - 1):
        with jax.enable_x64(True), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", UserWarning
            )  # rounding below zero is clipped, as a covariance may be singular
            affine = layer_of(model, i, step).at_gaussian(Gaussian.from_moments(mean, 0.5 * (cov + cov.T)))
            linear = np.eye(mean.size) + step * np.asarray(affine.linear())
            mean = linear @ mean + step * np.asarray(affine.offset)
            cov = linear @ cov @ linear.T
        means.append(mean)
        covs.append(cov)
    return _compare(run, np.array(means), np.array(covs), 0.0, "the covariance through each layer", complete=True)


@dataclasses.dataclass(frozen=True)
class TokenVerification:
    """How far a run of tokens lies from its replay.

    `token_error` is the largest distance of a token to its replay over the times `ts`, relative to the largest token;
    `rtol` is the tolerance of the replay and `complete` whether it reached all times.
    """

    token_error: float
    ts: np.ndarray
    rtol: float
    complete: bool
    method: str = "diffrax Tsit5 on all tokens"


def verify_tokens(run: TokenRun, *, rtol: float) -> TokenVerification:
    """Replay `run` from its start with diffrax's Tsit5 and compare at the reached times; layers are run again eagerly.

    Raises BadInput when the run has no model.
    """
    if run.model is None:
        raise BadInput(NO_MODEL)
    scale = max(float(np.abs(run.tokens).max(initial=0.0)), np.finfo(float).tiny)
    with jax.enable_x64(True):
        if run.options.layers is not None:
            replayed, complete, method = _replayed_layers(run, run.model), True, "the layers, one by one, not compiled"
        else:
            (replayed, complete), method = _replayed_tokens(run, run.model, rtol), "diffrax Tsit5"
    errors = np.linalg.norm(replayed - run.tokens[: len(replayed)], axis=-1) / scale
    return TokenVerification(float(errors.max(initial=0.0)), run.ts[: len(replayed)], rtol, complete, method)


def _replayed_tokens(run: TokenRun, model: Model, rtol: float) -> tuple[np.ndarray, bool]:
    """The tokens at the times of the run, as far as the replay came, and whether that was all of them."""
    points = np.asarray(run.start.points, dtype=np.float64)
    found = [points] if run.ts.size and run.ts[0] == 0 else []
    time, whole = 0.0, not isinstance(model, Piecewise)
    end = float(run.ts[-1]) if run.ts.size else 0.0
    for stop, wanted in [(end, run.ts[run.ts > 0])] if whole else _stretches(model, run.ts):
        layer = model if whole else layer_at(model, time)
        stops = np.union1d(wanted, stop) - (0.0 if whole else time)
        replay = evolve_tokens(layer, points, stops, rtol=rtol, solver=diffrax.Tsit5(), max_steps=100_000)
        found += list(np.asarray(replay.tokens)[: wanted.size])
        if not bool(np.all(replay.reached)):
            count = int(np.count_nonzero(np.asarray(replay.reached)[: wanted.size]))
            return np.array(found)[: len(found) - wanted.size + count], False
        points, time = np.asarray(replay.tokens)[-1], stop
    return np.array(found).reshape(-1, *points.shape), True


def _replayed_layers(run: TokenRun, model: Model) -> np.ndarray:
    points = [np.asarray(run.start.points, dtype=np.float64)]
    for i in range(run.ts.size - 1):
        layer = layer_of(model, i, run.options.step)
        with jax.disable_jit():
            points.append(points[-1] + run.options.step * np.asarray(layer.velocity(points[-1], points[-1])))
    return np.array(points)


def _stretches(model: Model, ts: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Where each piece of constant parameters ends, and the times to compare in it (the end itself appended)."""
    end = float(ts[-1]) if ts.size else 0.0
    cuts = [float(t) for t in model.jumps if t < end] if isinstance(model, Depth) else []
    edges = [0.0, *cuts, end]
    return [(b, ts[(ts > a) & (ts <= b)]) for a, b in itertools.pairwise(edges) if b > a]


def _replay(
    model: Model, state: np.ndarray, time: float, stop: float, wanted: np.ndarray, rtol: float, shape: tuple[int, int]
) -> Any:
    d, r = shape

    def rate(t: float, flat: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(_field(jnp.asarray(t), jnp.asarray(flat.reshape(d, r + 1)), model)).ravel()

    scale = np.abs(state).max(initial=0.0) or 1.0
    stops = np.union1d(wanted, stop)
    return solve_ivp(rate, (time, stop), state, "DOP853", stops, rtol=max(rtol, 3e-14), atol=1e-9 * rtol * scale)


@eqx.filter_jit
def _field(t: jax.Array, state: jax.Array, model: Model) -> jax.Array:
    return plain_factor_field(t, state, model)
