"""Many small Gaussian systems at once: the closed form where there is one, else Rosenbrock steps on lanes.

Source: :cite:alcalde2026, eq. (2.6); :cite:hairer1996, Sect. IV.7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np

from ...measures.gaussian import Gaussian
from ..dop853 import Code
from .closed import Closed, closed_batch
from .fields import GENERAL, SOFTMAX, Shape, SoftmaxSum
from .model import ScalarSum, Stack, factorised_forms, lanes_last, scalar_sum, softmax_sum
from .pool import Pool

# local exponents t lambda' / lambda of eigenvalues: above -STAYS it stays, below -VANISHES it vanishes; between
# -MAY_STAY and -STAYS it stays if the exponents add up to a whole number, as they do when each tends to 0 or to -1
STAYS, MAY_STAY, VANISHES, WHOLE = 0.02, 0.1, 0.7, 0.005
# an eigenvalue that moves at all, by more than this exponent
BEGUN = 1e-8
# systems in doubt are followed to a later time with a tolerance so much tighter, down to that one: vanishing
# eigenvalues are smaller there
TIGHTER, TIGHTEST, LATER = 1e-2, 1e-8, 30.0

Report = Callable[[float], None]


class Batch(NamedTuple):
    """N starts: `factor` (N, d, r) and `mean` (N, d), with the model and the times `ts` (t,) to report."""

    stack: Stack
    factor: np.ndarray
    mean: np.ndarray
    ts: np.ndarray


@dataclasses.dataclass
class Flows:
    """What became of N systems.

    `factor` (N, t, d, r), `mean` (N, t, d) and `reached` (N, t): rows that were not reached repeat the last one that
    was, or the start. `code` (N,) says how each ended (RUNNING: interrupted), `blow_up` (N,) when the covariance is
    infinite (inf: no blow-up known), `limit_rank` (N,) and `undecided` (N,) what its eigenvalues tend to, `steps` (N,)
    the attempted steps. `engine` is "closed_form" or "rosenbrock".
    """

    factor: np.ndarray
    mean: np.ndarray
    reached: np.ndarray
    code: np.ndarray
    blow_up: np.ndarray
    limit_rank: np.ndarray
    undecided: np.ndarray
    steps: np.ndarray
    engine: str


def flow_ensemble(batch: Batch, rtol: float, max_steps: int, report: Report, *, settle: float | None = None) -> Flows:
    """The flows of all systems of `batch`; runs in JAX's x64 mode, which the caller sets.

    The covariance comes in closed form where every head is softmax with V = eta I and A = a I, and the mean with it
    where it has one; everything else is integrated by Rosenbrock steps with tolerance `rtol` relative to the size of
    factor and mean, at most `max_steps` a system. `report` is called with the number of finished systems. Systems whose
    rank is in doubt at the last time are followed to the time `settle`, for the rank only.

    Source: this package, docs/theory/closed-form.md; :cite:hairer1996, Sect. IV.7.
    """
    softmax = softmax_sum(batch.stack, batch.mean.shape[1])
    scalar = None if softmax is None else scalar_sum(softmax, batch.mean.shape[1])
    closed = None if scalar is None else closed_batch(_widened(scalar, batch), batch.factor, batch.mean, batch.ts)
    if closed is not None and closed.mean is not None:
        return _from_closed(batch, closed, closed.mean)
    flows = _integrated(batch, softmax, rtol, max_steps, report)
    if closed is not None:
        return _joined(batch, flows, closed)
    if settle is not None and batch.ts[-1] > 0:
        time = float(batch.ts[-1])
        while np.any(flows.undecided) and time < settle:
            time = min(LATER * time, settle)
            _settle(batch, flows, time, rtol, max_steps)
    return flows


def is_exact(batch: Batch) -> bool:
    """Whether the velocity at a Gaussian is affine for every layer; a structural fact, found without computing."""
    layer, shared = batch.stack
    one = layer if shared else jax.tree.map(lambda leaf: leaf[0], layer)
    start = Gaussian(batch.mean[0], batch.factor[0])
    return bool(eqx.filter_eval_shape(lambda model, g: model.at_gaussian(g), one, start).exact)


def _settle(batch: Batch, flows: Flows, time: float, rtol: float, max_steps: int) -> None:
    """Decide ranks that are in doubt at the last time by a look at a later one."""
    ids = np.flatnonzero(flows.undecided)
    layer = batch.stack.layer if batch.stack.shared else jax.tree.map(lambda leaf: leaf[ids], batch.stack.layer)
    later = Batch(Stack(layer, batch.stack.shared), batch.factor[ids], batch.mean[ids], np.array([time]))
    tight = max(TIGHTER * rtol, min(rtol, TIGHTEST))
    ends = _integrated(later, softmax_sum(later.stack, batch.mean.shape[1]), tight, max_steps, lambda done: None)
    known = ends.code == Code.END
    flows.limit_rank[ids[known]] = ends.limit_rank[known]
    flows.undecided[ids[known]] = ends.undecided[known]


def _widened(scalar: ScalarSum, batch: Batch) -> ScalarSum:
    """One row a system."""
    count = batch.mean.shape[0]
    rate, eta = (np.broadcast_to(x, (count,)) for x in (scalar.rate, scalar.eta))
    return ScalarSum(rate, scalar.B, eta, scalar.moving)


def _from_closed(batch: Batch, closed: Closed, mean: np.ndarray) -> Flows:
    reached = closed.reached & np.all(np.isfinite(mean), axis=2)
    # a row counts only if all rows before it do
    reached = np.logical_and.accumulate(reached, axis=1)
    code = np.where(reached[:, -1], Code.END, np.where(closed.blow_up <= batch.ts[-1], Code.BLOW_UP, Code.OVERFLOW))
    return Flows(
        factor=_held(closed.factor, reached, batch.factor),
        mean=_held(mean, reached, batch.mean),
        reached=reached,
        code=code,
        blow_up=closed.blow_up,
        limit_rank=closed.rank,
        undecided=np.zeros(code.size, dtype=bool),
        steps=np.zeros(code.size, dtype=np.int64),
        engine="closed_form",
    )


def _joined(batch: Batch, flows: Flows, closed: Closed) -> Flows:
    """The exact covariances with the means that had to be integrated."""
    reached = flows.reached & closed.reached
    blown = (closed.blow_up <= batch.ts[-1]) & (flows.code != Code.RUNNING)
    code = np.where(blown, Code.BLOW_UP, np.where(flows.code == Code.BLOW_UP, Code.BUDGET, flows.code))
    return dataclasses.replace(
        flows,
        factor=_held(closed.factor, reached, batch.factor),
        mean=_held(flows.mean, reached, batch.mean),
        reached=reached,
        code=code,
        blow_up=closed.blow_up,
        limit_rank=np.where(code == Code.END, closed.rank, -1),
        undecided=np.zeros(code.size, dtype=bool),
        engine="closed_form",
    )


def _held(rows: np.ndarray, reached: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The rows (N, t, ...) with those that were not reached replaced by the last one that was, or by the start."""
    if reached.all():
        return rows
    count = np.count_nonzero(reached, axis=1)
    place = np.minimum(np.arange(reached.shape[1]), np.maximum(count - 1, 0)[:, None])
    found: np.ndarray = rows[np.arange(rows.shape[0])[:, None], place]
    found[count == 0] = start[count == 0][:, None]
    return found


def _integrated(batch: Batch, softmax: SoftmaxSum | None, rtol: float, max_steps: int, report: Report) -> Flows:
    count, d, r = batch.factor.shape
    softmax = None if softmax is None else factorised_forms(softmax)
    pool = _pool(batch, softmax, rtol, max_steps)
    pool.run(report)
    states = np.moveaxis(pool.out, 2, 0)
    factor, mean = states[:, :, : d * r].reshape(count, -1, d, r), states[:, :, d * r :]
    mean = mean if pool.shape.with_mean else np.zeros((count, batch.ts.size, d))
    reached = np.arange(batch.ts.size) < pool.index[:, None]
    ended = pool.code == Code.END
    rank, undecided = _limit_rank(pool, rtol)
    return Flows(
        factor=_held(factor, reached, batch.factor),
        mean=_held(mean, reached, batch.mean),
        reached=reached,
        code=pool.code,
        blow_up=pool.blow_up,
        limit_rank=np.where(ended, rank, -1),
        undecided=ended & undecided,
        steps=pool.steps,
        engine="rosenbrock",
    )


def _pool(batch: Batch, softmax: SoftmaxSum | None, rtol: float, max_steps: int) -> Pool:
    count, d, r = batch.factor.shape
    flat, shared = batch.factor.reshape(count, d * r), batch.stack.shared
    field, model = (GENERAL, batch.stack.layer) if softmax is None else (SOFTMAX, softmax)
    model = model if shared and softmax is None else lanes_last(model)

    def made(with_mean: bool) -> Pool:
        states = np.concatenate([flat, batch.mean], axis=1) if with_mean else flat
        shape = Shape(d, r, with_mean, shared)
        return Pool(field, shape, model, np.ascontiguousarray(states.T), batch.ts, rtol, max_steps)

    return made(bool(np.any(batch.mean)) or _drifts(made(True)))


def _drifts(pool: Pool) -> bool:
    """Whether a mean leaves zero: its rate at the starts, and at starts that are bent out of any symmetry."""
    split = pool.shape.dim * pool.shape.rank
    bent = pool.states.copy()
    bent[:split] *= 1.0 + 0.5 * np.sin(np.arange(1.0, split + 1.0))[:, None]
    return any(bool(np.any(pool.slopes(states)[split:])) for states in (pool.states, bent))


def _limit_rank(pool: Pool, rtol: float) -> tuple[np.ndarray, np.ndarray]:
    """How many eigenvalues do not vanish by their local exponents t lambda' / lambda at the last time, and doubts.

    An eigenvalue lambda = sigma^2 of the covariance moves by sigma' = u^T L' v. One that fell below the tolerance has
    vanished, whatever it does there; one that lay there from the start is in doubt, and so is one that has moved in
    proportion to t all the way: the flow has only begun to act on it.
    """
    d, r, t = pool.shape.dim, pool.shape.rank, pool.ts[-1]
    last = pool.out[-1]
    start, factor, rate = (
        np.moveaxis(x[: d * r], -1, 0).reshape(-1, d, r) for x in (pool.states, last, pool.slopes(last))
    )
    left, sigma, right = np.linalg.svd(factor, full_matrices=False)
    visible = sigma > np.finfo(np.float64).tiny
    speed = np.einsum("nik,nij,nkj->nk", left, rate, right)
    exponent = np.where(visible, 2 * t * speed / np.where(visible, sigma, 1.0), -np.inf)
    lost = sigma < rtol * sigma.max(axis=1, initial=0.0)[:, None]
    first = np.linalg.svd(start, compute_uv=False)
    fell = first[:, -1:] > 100 * rtol * first[:, :1]
    vanishes = (exponent < -VANISHES) | (lost & fell)
    total = np.sum(np.where(exponent > -1.5, exponent, 0.0), axis=1, keepdims=True)
    firm = np.where(np.abs(total - np.round(total)) < WHOLE, MAY_STAY, STAYS)
    seen = visible & (first > 0)
    change = 2 * np.abs(np.log(np.where(seen, sigma, 1.0) / np.where(seen, first, 1.0)))
    begun = seen & (np.abs(exponent) > BEGUN) & (change < 3 * np.abs(exponent))
    doubt = ~vanishes & ((exponent < -firm) | lost | begun)
    return np.count_nonzero(~vanishes & (exponent > -0.5 * VANISHES), axis=1), np.any(doubt, axis=1)
