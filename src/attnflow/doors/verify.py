"""An independent replay of a run."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from .._check import BadInput
from ..flow.forms import plain_factor_field
from ..transformer.depth import Depth, Model, Piecewise, layer_at

if TYPE_CHECKING:
    from .run import Run


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
        raise BadInput("this run cannot be replayed: its model is a function of depth that the file does not hold.")
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
    n = len(replayed)
    factor, mean = replayed[:, :, :-1], replayed[:, :, -1]
    theirs, ours = factor @ factor.swapaxes(-1, -2), run.cov[:n]
    sizes = np.maximum(np.linalg.norm(theirs, axis=(1, 2)), np.finfo(float).tiny)
    scale = max(float(np.linalg.norm(mean, axis=1).max(initial=0.0)), np.finfo(float).tiny)
    return Verification(
        mean_error=float((np.linalg.norm(mean - run.mean[:n], axis=1) / scale).max(initial=0.0)),
        cov_error=float((np.linalg.norm(theirs - ours, axis=(1, 2)) / sizes).max(initial=0.0)),
        ts=run.ts[:n],
        rtol=rtol,
        complete=complete and n == run.ts.size,
    )


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
