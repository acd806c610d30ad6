"""Numerical screening: all samples of a batch at once, what looks like a violation followed twice by SciPy.

Source: this package, docs/falsify.md.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import numpy as np

from ...flow.dop853 import Code
from ...flow.many.ensemble import Batch, Flows, flow_ensemble
from ...flow.many.model import Stack as ModelStack
from ...transformer.block import Transformer
from ...transformer.feedforward import Affine
from ...transformer.softmax import SoftmaxAttention
from .conclusions import Conclusion
from .example import Example
from .follow import Fate, Followed, follow
from .sampler import Stack

# in units of 1 / (largest rate of a system)
TIMES = np.array([15.0, 30.0, 60.0])
# what counts as: settled, still there, grown, turning
SETTLED, STAYS, GROWN, TURNS = 1e-3, 0.7, 1e3, 0.05


@dataclasses.dataclass(frozen=True)
class Screened:
    """What integrating a batch showed: the indices `suspects` of samples that look like violations.

    `margin` (N,) is small where a sample comes close to one (inf where that has no meaning), measured as `words` say.
    """

    suspects: np.ndarray
    margin: np.ndarray
    words: str


def screen(stack: Stack, conclusion: Conclusion) -> Screened:
    """Integrate the samples of `stack` and compare with `conclusion`; runs in JAX's x64 mode, which the caller sets."""
    speed = _speed(stack)
    scaled = {name: stack[name] / speed[:, None, None] for name in ("A", "V", "b")}
    layer = eqx.filter_vmap(_layer)(scaled["A"], scaled["V"], stack["B"], scaled["b"][:, :, 0])
    factor = _factors(stack["cov"])
    flows = flow_ensemble(
        Batch(ModelStack(layer, False), factor, stack["mean"][:, :, 0], TIMES), 1e-6, 1500, lambda done: None
    )
    if np.any(flows.code == Code.RUNNING):
        raise KeyboardInterrupt  # the engine has caught it and kept what it had; the search is to end as well
    return _compared(flows, conclusion)


def _layer(A: jax.Array, V: jax.Array, B: jax.Array, b: jax.Array) -> Transformer:
    return Transformer(SoftmaxAttention(B=B, V=V), Affine(A=A, b=b))


def _speed(stack: Stack) -> np.ndarray:
    """The largest rate of each system, of A or of V."""
    of_A, of_V = (np.linalg.norm(stack[name], 2, axis=(1, 2)) for name in ("A", "V"))
    return np.asarray(np.maximum(of_A, 0.5 * of_V))


def _factors(covs: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covs)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


@dataclasses.dataclass(frozen=True)
class _Ends:
    """Numbers of the end of each flow of a batch (N,)."""

    ended: np.ndarray
    blown: np.ndarray
    away: np.ndarray
    ratio: np.ndarray
    shape: np.ndarray
    moved: np.ndarray
    growth: np.ndarray
    norm: np.ndarray
    trace: np.ndarray
    time: np.ndarray


def _ends(flows: Flows) -> _Ends:
    covs = flows.factor @ np.swapaxes(flows.factor, -1, -2)
    values = np.maximum(np.linalg.eigvalsh(covs), 0.0)
    traces, norms = values.sum(-1), np.linalg.norm(flows.mean, axis=-1)
    blown, tiny = flows.code == Code.BLOW_UP, np.finfo(float).tiny
    largest = np.maximum(values[:, -1, -1], tiny)
    return _Ends(
        ended=flows.code == Code.END,
        blown=blown,
        away=blown | (flows.code == Code.OVERFLOW),
        ratio=traces[:, -1] / np.maximum(traces[:, 1], tiny),
        shape=values[:, -1, 0] / largest,
        moved=np.abs(covs[:, -1] - covs[:, 1]).max((-2, -1)) / largest,
        growth=norms[:, -1] / np.maximum(norms[:, 1], 1e-9),
        norm=norms[:, -1],
        trace=traces.max(1),
        time=flows.blow_up,
    )


def _compared(flows: Flows, conclusion: Conclusion) -> Screened:
    """Suspects and margins: a violation is left to SciPy to confirm, so that too many suspects cost only time."""
    ends, tiny = _ends(flows), np.finfo(float).tiny
    still, nothing = ends.ended & (ends.ratio > STAYS), np.zeros(len(ends.ended), dtype=bool)
    suspects, meaningful, margin, words = nothing, nothing, ends.shape, ""
    match conclusion:
        case Conclusion.POSITIVE_DEFINITE_LIMIT:
            suspects, meaningful = ends.away | (still & (ends.shape < 1e-6)), ends.ended
            words = "smallest over largest eigenvalue"
        case Conclusion.ZERO_LIMIT:
            suspects, meaningful, margin = ends.away | still, ends.ended, 1 - ends.ratio
            words = "part of the trace lost in the second half of the time"
        case Conclusion.BOUNDED | Conclusion.NO_BLOW_UP:
            suspects, meaningful, margin = ends.blown, ends.ended, 1 / np.maximum(ends.trace, tiny)
            words = "1 / largest trace"
        case Conclusion.BLOW_UP:
            suspects, meaningful, margin = ends.ended, ends.blown, 1 / np.maximum(ends.time, tiny)
            words = "1 / time of blow-up, in units of 1 / rate"
        case Conclusion.CONVERGENT | Conclusion.THEOREM_41:
            turning = still & (ends.ratio < 1 / STAYS) & (ends.moved > TURNS)
            suspects, meaningful, margin = ends.away | turning, ends.ended, 1 / np.maximum(ends.moved, tiny)
            words = "1 / relative change in the second half of the time"
        case Conclusion.MEAN_LIMIT:
            grown = ends.ended & (ends.growth > 2) & (ends.norm > GROWN)
            suspects, meaningful, margin = grown, ends.ended, 1 / np.maximum(ends.growth, tiny)
            words = "1 / growth of the mean in the second half of the time"
        case Conclusion.MEAN_DIVERGES:
            suspects = ends.ended & (np.abs(ends.growth - 1) < SETTLED) & (ends.moved < SETTLED)
            meaningful, margin = ends.ended, np.maximum(ends.growth, 0.0)
            words = "growth of the mean in the second half of the time"
    return _screened(suspects, meaningful, margin, words)


def _screened(suspects: np.ndarray, meaningful: np.ndarray, margin: np.ndarray, words: str) -> Screened:
    return Screened(np.flatnonzero(suspects), np.where(meaningful & ~suspects, margin, np.inf), words)


def confirmed(example: Example, conclusion: Conclusion) -> str | None:
    """What two independent integrations of `example` show against `conclusion`, in words; None if they do not."""
    parts = example.floats()
    t = _horizon(parts["A"])
    seen = [_seen(follow(example, t, method=method, rtol=rtol), conclusion, parts)
            for method, rtol in (("DOP853", 1e-10), ("Radau", 1e-8))]  # fmt: skip
    if seen[0] is None or seen[1] is None or seen[0][0] != seen[1][0]:
        return None
    if abs(seen[0][1] - seen[1][1]) > 1e-2 * abs(seen[0][1]) + 1e-6:
        return None
    return f"{seen[0][0]} ({seen[0][1]:.6g} by DOP853, {seen[1][1]:.6g} by Radau)"


def _horizon(A: np.ndarray) -> float:
    """Many times the slowest time scale of `A`; attention is at least as fast where it matters."""
    rates = np.abs(np.linalg.eigvals(A))
    largest = float(rates.max(initial=0.0))
    if largest < 1e-9:
        return 1000.0
    return 100.0 / max(float(rates.min()), 0.05 * largest)


def _seen(run: Followed, conclusion: Conclusion, parts: dict[str, np.ndarray]) -> tuple[str, float] | None:
    """A violation in words, with a number that two integrations must share."""
    reached, traces = run.fate is Fate.REACHED, np.linalg.eigvalsh(run.covs).sum(-1)
    if run.fate is Fate.INFINITE and conclusion not in (Conclusion.BLOW_UP, Conclusion.MEAN_DIVERGES):
        return ("the covariance becomes infinite at about t", run.t) if _blows_up(run, parts) else None
    if not reached:
        return None
    if conclusion in (Conclusion.MEAN_LIMIT, Conclusion.MEAN_DIVERGES):
        return _seen_of_mean(run, conclusion)
    values, end = np.linalg.eigvalsh(run.covs), float(traces[2])
    rests = bool(np.abs(run.covs[2] - run.covs[1]).max() < SETTLED * end)
    # turning without end: as far in the last quarter of the time as in the second one
    turning = bool(run.spread[1] > max(TURNS * end, 0.95 * run.spread[0])) and end < 2 * traces[0]
    exists = rests or end < traces[1] < traces[0]
    words = {
        Conclusion.BLOW_UP: f"no blow-up up to t = {run.t:.4g}; the trace there" if exists else "",
        Conclusion.POSITIVE_DEFINITE_LIMIT: "the covariance settles with a vanishing eigenvalue; its trace"
        if rests and values[2, 0] < 1e-9 * values[2, -1]
        else "",
        Conclusion.ZERO_LIMIT: "the covariance settles away from 0; its trace" if rests else "",
        Conclusion.CONVERGENT: f"the covariance still turns at t = {run.t:.4g}; its trace" if turning else "",
    }
    words[Conclusion.THEOREM_41] = words[Conclusion.CONVERGENT]
    return (words[conclusion], end) if words.get(conclusion) else None


def _seen_of_mean(run: Followed, conclusion: Conclusion) -> tuple[str, float] | None:
    norms = np.linalg.norm(run.means, axis=1)
    if conclusion is Conclusion.MEAN_LIMIT and norms[2] > max(GROWN, 2 * norms[0]):
        return "the mean grows; log of its norm", float(np.log(norms[2]))
    settled = abs(norms[2] - norms[1]) < SETTLED * max(norms[2], 1e-9)
    if conclusion is Conclusion.MEAN_DIVERGES and settled:
        return "the mean settles; its norm", float(norms[2])
    return None


def _blows_up(run: Followed, parts: dict[str, np.ndarray]) -> bool:
    """Whether the growth at the end is faster than A alone can make it."""
    cov = run.covs[2]
    M = parts["A"] + parts["V"] @ cov @ parts["B"]
    rate = 2 * np.trace(M @ cov) / max(np.trace(cov), 1e-300)
    return bool(rate > 10 * np.linalg.norm(parts["A"], 2) and rate * run.t > 100)
