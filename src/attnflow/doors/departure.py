"""`departure`: tokens with a nonlinear feed-forward beside the Gaussian flow of the identity and beside the closure."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from .._check import BadInput, positive, times
from .._linalg import times as times_operator
from .._types import ArrayLike
from ..diagnostics.coupling import Between, between, standard_noise
from ..diagnostics.line_flow import line_flow
from ..flow.leg import Progress
from ..flow.outcome import Status
from ..measures.gaussian import Gaussian
from ..measures.sliced import unit_directions
from ..measures.tokens import Tokens
from ..transformer.layer import AbstractLayer
from ..transformer.softmax import SoftmaxAttention
from .departure_result import Departure, Distances
from .nonlinear_model import Parts, parts_of
from .progress import progress_bar
from .relu_defect import relu_defect
from .run import Run
from .simulate import simulate

PROJECTIONS = 128


def departure(
    model: AbstractLayer,
    start: Gaussian,
    ts: ArrayLike,
    *,
    n: int = 2048,
    seed: int = 0,
    repeats: int = 4,
    rtol: float = 1e-8,
    progress: Progress | None = None,
) -> Departure:
    """How far tokens with a nonlinear feed-forward are from the Gaussian flow, at the times `ts`, against the bound.

    `model` has one `FeedForward(A=, b=, activation=)` and any heads. Its tokens, which start as `start`, are held
    against two Gaussian flows: that with the identity in the place of the activation, of which Proposition 2.3 speaks,
    and the moment closure of the model itself. For d = 1 and softmax heads (or none) the whole measure is moved and
    W_2 is exact. Else `repeats` clouds of `n` tokens are drawn from `seed` and moved with tolerance `rtol`, and W_2 is
    enclosed between the distance of the moments (and of the projections) and the cost of a coupling; the clouds share
    their noise with the Gaussian, so that the bounds have no sampling floor. `progress` is called with the share of
    clouds that are done.

    Raises BadInput, before any computation, when an argument breaks a rule. An interrupt keeps the clouds that are
    done.

    Source: :cite:alcalde2026, Prop. 2.3; this package, docs/theory/departure.md, section 4.
    """
    clock = times("ts", ts)
    count, rounds = _whole("n", n), _whole("repeats", repeats)
    defect = relu_defect(model, start)
    parts = parts_of(model)
    if count <= start.rank + 1:
        raise BadInput(
            f"`n` must exceed the rank of the start by two: {count} tokens for rank {start.rank} were asked for."
        )
    quiet: dict[str, Any] = {"ts": clock, "rtol": rtol, "progress": lambda done: None}
    flows = {"identity": simulate(parts.with_identity(), start, **quiet), "closure": simulate(model, start, **quiet)}
    on_the_line = start.dim == 1 and all(isinstance(head, SoftmaxAttention) for head in parts.heads)
    if on_the_line and parts.activation is not None:
        cloud = defect.bound
        rows = _on_the_line(parts, start, flows, clock, rtol)
    else:
        with progress_bar(1.0, progress, words="tokens") as report:
            rows, cloud = _clouds(parts, model, start, flows, quiet, report, size=(count, rounds, seed))
    return Departure(
        defect=defect,
        identity=rows["identity"],
        closure=rows["closure"],
        cloud_bound=cloud,
        exact=on_the_line,
        n=count,
        repeats=rounds,
        seed=seed,
        flows=flows,
        model=model,
        start=start,
    )


def _on_the_line(
    parts: Parts, start: Gaussian, flows: dict[str, Run], ts: np.ndarray, rtol: float
) -> dict[str, Distances]:
    heads = tuple(head for head in parts.heads if isinstance(head, SoftmaxAttention))
    assert parts.activation is not None
    ts = ts[: max(run.ts.size for run in flows.values())]
    if not ts.size:
        return {name: Distances.of(ts, []) for name in flows}
    with jax.enable_x64(True):
        moved = line_flow(parts.activation, parts.A, parts.b, heads, start, ts, rtol=rtol)
    found = {}
    for name, run in flows.items():
        rows = []
        for i in range(run.ts.size):
            deviation = float(np.linalg.norm(run.factor[i]))
            apart = moved.places[i] - run.mean[i, 0] - deviation * moved.standard
            w_2 = float(np.sqrt(moved.weights @ np.square(apart)))
            mean = float(moved.weights @ moved.places[i])
            spread = float(np.sqrt(moved.weights @ np.square(moved.places[i] - mean)))
            rows.append(Between(float(np.hypot(mean - run.mean[i, 0], spread - deviation)), w_2, w_2))
        found[name] = Distances.of(run.ts, [rows])
    return found


def _clouds(
    parts: Parts, model: AbstractLayer, start: Gaussian, flows: dict[str, Run], quiet: dict[str, Any], report: Progress,
    *, size: tuple[int, int, int],
) -> tuple[dict[str, Distances], float]:  # fmt: skip
    """The bounds of `repeats` clouds, and the constant over their points; what an interrupt cut off is left out."""
    n, repeats, seed = size
    axes = np.asarray(unit_directions(start.dim, PROJECTIONS, seed))
    measured: dict[str, list[list[Between]]] = {name: [] for name in flows}
    reached = {name: run.ts.size for name, run in flows.items()}
    squares: list[float] = []
    mean, factor = np.asarray(start.mean, dtype=np.float64), np.asarray(start.factor, dtype=np.float64)
    try:
        for i in range(repeats):
            noise = standard_noise(n, start.rank, np.random.default_rng([seed, n, i]))
            points = mean + noise @ factor.T
            tokens = simulate(model, Tokens(points), **quiet)
            if tokens.status is Status.INTERRUPTED:
                raise KeyboardInterrupt
            for name, run in flows.items():
                reached[name] = min(reached[name], tokens.ts.size)
                gaussians = [Gaussian(run.mean[j], run.factor[j]) for j in range(reached[name])]
                measured[name].append([between(tokens.tokens[j], noise, g, axes) for j, g in enumerate(gaussians)])
            squares.append(float(np.mean(np.sum(np.square(_defects(parts, points)), axis=1))))
            report((i + 1) / repeats)
    except KeyboardInterrupt:
        pass
    found = {name: Distances.of(flows[name].ts[: reached[name]], rows) for name, rows in measured.items()}
    return found, float(np.sqrt(np.mean(squares))) if squares else 0.0


def _defects(parts: Parts, points: np.ndarray) -> np.ndarray:
    """s(A x + b) - (A x + b) at each point (n, d)."""
    if parts.activation is None:
        return np.zeros(points.shape)
    moved = np.asarray(times_operator(parts.A, points.T)).T
    inner = moved if parts.b is None else moved + np.asarray(parts.b)
    return np.asarray(np.asarray(parts.activation(inner)) - inner)


def _whole(name: str, value: Any) -> int:
    number = positive(name, value)
    if number % 1:
        raise BadInput(f"`{name}` must be a whole number: {number:g} was found.")
    return int(number)
