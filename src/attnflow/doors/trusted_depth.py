"""`trusted_depth`: until which depth the Gaussian flow describes the true one, by a bound or by measurement."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from .._check import BadInput, positive
from ..asymptotics.statements import Statement
from ..diagnostics.coupling import coupled, standard_noise
from ..diagnostics.lipschitz import LipschitzField, lipschitz_field
from ..diagnostics.trusted import EXACT, MEASURED, POINT, STABILITY, closure_defect, grown, nodes_within
from ..flow.leg import Progress
from ..flow.outcome import Basis, Status
from ..measures.distances import sampling_floor
from ..measures.gaussian import Gaussian
from ..measures.tokens import Tokens
from ..transformer.depth import Depth, Model, layer_at
from ..transformer.masked import unmasked
from .beside import bures_floor
from .compare import compare
from .comparison import Comparison
from .progress import progress_bar
from .run import Run
from .simulate import simulate
from .trusted_depth_result import TrustedDepth

PANELS, FINER = 16, 8
MANY = 1024
"""Tokens that stand for infinitely many where nothing is proved."""
RTOL = 1e-6


def trusted_depth(
    model: Model,
    start: Gaussian,
    *,
    n: int | None = None,
    t1: float = 1.0,
    tolerance: float = 0.1,
    seed: int = 0,
    repeats: int = 4,
    progress: Progress | None = None,
) -> TrustedDepth:
    """Until which depth, at most `t1`, the Gaussian flow of `start` under `model` describes the true flow.

    Where a layer is not affine at Gaussians the Gaussian flow is its moment closure. The error is the 2-Wasserstein
    distance relative to the spread sqrt(tr cov), and `tolerance` the one that is allowed.

    Without `n` the true flow is that of infinitely many tokens. If every layer is affine at Gaussians it is the
    Gaussian flow. If no weight of the attention depends on the tokens, a bound is proved for feed-forward layers with
    the activations of this package. Else `repeats` clouds of 1024 tokens (more in high dimensions), drawn from `seed`,
    are moved, and the cost of a coupling with the Gaussian, which has no sampling floor, is taken for the error.

    With `n` samples of n tokens are moved (`compare`), and the larger one of the Bures-Wasserstein distance of the
    moments and the sliced distance counts: sampling is a part of it. A mask is left out on the side of the Gaussian.
    `progress` is called with the share of the work that is done.

    Raises BadInput, before any computation, when an argument breaks a rule.

    Source: this package, docs/theory/trust.md.
    """
    asked = _Asked(
        model, start, _tokens(n), positive("t1", t1), positive("tolerance", tolerance), seed, _whole("repeats", repeats)
    )
    if not isinstance(start, Gaussian):
        raise BadInput(
            f"`start` must be a Gaussian: {type(start).__name__} was found; tokens have one by "
            "Gaussian.from_tokens(points)."
        )
    edges = _edges(model, asked.t1)
    nodes = nodes_within(edges)
    run = _run(asked, np.union1d(edges, nodes))
    reached = edges[np.isin(edges, run.ts)]
    found = _Found(run, reached, np.array([np.linalg.norm(run.at(t).factor) for t in reached]))
    if start.rank == 0 or (run.exact and n is None):
        return _for_ever(asked, found, EXACT if run.exact else POINT)
    field = _fields(asked.limit, nodes, start.dim)
    bound = np.zeros(reached.size) if run.exact else None
    if bound is None and not isinstance(field, str):
        bound = _bound(field, found, nodes)
    if n is not None:
        return _by_samples(asked, found, bound, progress)
    if not isinstance(field, str) and bound is not None:
        return _by_bound(asked, found, field, bound)
    return _by_coupling(asked, found, str(field), progress)


class _Asked(NamedTuple):
    """The question."""

    model: Model
    start: Gaussian
    n: int | None
    t1: float
    tolerance: float
    seed: int
    repeats: int

    @property
    def limit(self) -> Model:
        """The model of infinitely many tokens."""
        return unmasked(self.model)


class _Found(NamedTuple):
    """The Gaussian flow, the edges of panels that it reached, and sqrt(tr cov) there."""

    run: Run
    edges: np.ndarray
    spread: np.ndarray

    def result(self, asked: _Asked, until: float | None, basis: Basis, says: Statement, reason: str, *,
               bound: np.ndarray | None = None, measured: np.ndarray | None = None,
               comparison: Comparison | None = None) -> TrustedDepth:  # fmt: skip
        """The answer."""
        return TrustedDepth(
            until, basis, says, reason, asked.tolerance, asked.t1, asked.n, self.edges, self.spread, bound, measured,
            comparison, self.run,
        )  # fmt: skip

    @property
    def ended(self) -> str:
        """How the Gaussian flow ended, when it ended early."""
        if self.run.status is Status.REACHED_END:
            return ""
        return f"; the Gaussian flow ended with status {self.run.status.value} at t = {self.run.until:.4g}"


def _edges(model: Model, t1: float) -> np.ndarray:
    jumps = model.jumps if isinstance(model, Depth) else np.zeros(0)
    return np.union1d(np.linspace(0.0, t1, PANELS + 1), jumps[(jumps > 0) & (jumps < t1)])


def _run(asked: _Asked, ts: np.ndarray) -> Run:
    return simulate(asked.limit, asked.start, ts, seed=asked.seed, progress=lambda done: None)


def _for_ever(asked: _Asked, found: _Found, says: Statement) -> TrustedDepth:
    """Exact while it exists: up to a blow-up if one is known."""
    blow_up = found.run.blow_up
    nothing = np.zeros(found.edges.size)
    if blow_up is not None:
        until, reason = blow_up.lower, f"the Gaussian flow is exact until it blows up at t = {blow_up.estimate:.6g}"
    elif found.run.status is Status.REACHED_END:
        until, reason = (
            math.inf,
            f"the Gaussian flow is exact as long as it exists; it was followed to t = {asked.t1:g}",
        )
    else:
        until, reason = found.run.until, f"the Gaussian flow is exact{found.ended}"
    return found.result(asked, until, Basis.THEOREM, says, reason, bound=nothing)


def _fields(model: Model, nodes: np.ndarray, dim: int) -> list[list[LipschitzField]] | str:
    """The field at each of the `nodes` (p, k), or why there is none with a Lipschitz constant."""
    with jax.enable_x64(True):
        if not isinstance(model, Depth):
            field = lipschitz_field(model, dim)
            return field if isinstance(field, str) else [[field] * nodes.shape[1]] * len(nodes)
        rows = [[lipschitz_field(layer_at(model, float(t)), dim) for t in panel] for panel in nodes]
    known = [[field for field in row if not isinstance(field, str)] for row in rows]
    whole = all(len(row) == nodes.shape[1] for row in known)
    return known if whole else next(field for row in rows for field in row if isinstance(field, str))


def _bound(fields: list[list[LipschitzField]], found: _Found, nodes: np.ndarray, *, first: float = 0.0) -> np.ndarray:
    """The bound at the edges that were reached, from `first` on at the first of them."""
    panels = max(found.edges.size - 1, 0)
    rates, defects = np.zeros((2, panels, nodes.shape[1]))
    growth: dict[int, float] = {}
    for i in range(panels):
        for k, field in enumerate(fields[i]):
            if id(field) not in growth:
                growth[id(field)] = field.growth
            rates[i, k] = growth[id(field)]
            defects[i, k] = closure_defect(field, found.run.at(float(nodes[i, k])))
    return grown(found.edges, rates, defects, first=first)


def _by_bound(asked: _Asked, found: _Found, fields: list[list[LipschitzField]], bound: np.ndarray) -> TrustedDepth:
    good = _first_beyond(bound, asked.tolerance * found.spread)
    until = float(found.edges[good - 1])
    if good < found.edges.size:
        until = _refined(asked, found, bound, good)
    growth = fields[max(good - 2, 0)][0].growth
    last = found.edges[-1]
    held = f"W_2 is at most {bound[good - 1] / (found.spread[good - 1] or 1.0):.3g} sqrt(tr cov) at t = " \
           f"{found.edges[good - 1]:.4g}"  # fmt: skip
    more = "" if good == found.edges.size else f", and the bound exceeds the tolerance after t = {until:.4g}"
    reason = f"{held}{more} (growth rate {growth:.3g}, followed to t = {last:.4g}){found.ended}"
    return found.result(asked, until, Basis.THEOREM, STABILITY, reason, bound=bound)


def _refined(asked: _Asked, found: _Found, bound: np.ndarray, good: int) -> float:
    """The crossing within the panel before edge `good`, an eighth of it too early at most."""
    edges = np.linspace(found.edges[good - 1], found.edges[good], FINER + 1)
    nodes = nodes_within(edges)
    run = _run(asked, np.union1d(edges, nodes))
    fields = _fields(asked.limit, nodes, asked.start.dim)
    if isinstance(fields, str) or not np.isin(edges, run.ts).all():
        return float(edges[0])
    spread = np.array([np.linalg.norm(run.at(t).factor) for t in edges])
    finer = _bound(fields, _Found(run, edges, spread), nodes, first=float(bound[good - 1]))
    return float(edges[max(_first_beyond(finer, asked.tolerance * spread), 1) - 1])


def _by_coupling(asked: _Asked, found: _Found, why: str, progress: Progress | None) -> TrustedDepth:
    """The root mean square over clouds of the cost of the best coupling that is known."""
    count = max(MANY, 2 * (asked.start.rank + 2))
    squares: list[np.ndarray] = []
    with progress_bar(1.0, progress, words="tokens") as report:
        for i in range(asked.repeats):
            row = _one_cloud(asked, found, count, i)
            if row is None:
                break
            squares.append(row)
            report((i + 1) / asked.repeats)
    size = min((len(row) for row in squares), default=0)
    if not size:
        reason = f"no cloud of tokens was finished; no bound: {why}{found.ended}"
        return found.result(asked, None, Basis.UNDETERMINED, MEASURED, reason)
    measured = np.sqrt(np.mean([row[:size] for row in squares], axis=0))
    until, words = _last_within(found.edges, measured, asked.tolerance)
    reason = f"{words}, on {len(squares)} clouds of {count} tokens; no bound: {why}{found.ended}"
    return found.result(asked, until, Basis.NUMERICAL, MEASURED, reason, measured=measured)


def _one_cloud(asked: _Asked, found: _Found, count: int, index: int) -> np.ndarray | None:
    """Squared costs relative to tr cov at the edges that both reached; None after an interrupt."""
    start = asked.start
    noise = standard_noise(count, start.rank, np.random.default_rng([asked.seed, count, index]))
    points = np.asarray(start.mean) + noise @ np.asarray(start.factor).T
    try:
        tokens = simulate(asked.limit, Tokens(points), found.edges, rtol=RTOL, progress=lambda done: None)
    except KeyboardInterrupt:
        return None
    if tokens.status is Status.INTERRUPTED:
        return None
    costs = []
    for i in range(min(tokens.ts.size, found.edges.size)):
        partner = coupled(tokens.tokens[i], noise, found.run.at(float(found.edges[i])))
        costs.append(np.mean(np.sum(np.square(tokens.tokens[i] - partner), axis=1)) / found.spread[i] ** 2)
    return np.array(costs)


def _by_samples(asked: _Asked, found: _Found, bound: np.ndarray | None, progress: Progress | None) -> TrustedDepth:
    assert asked.n is not None
    measured = compare(
        asked.model, asked.start, (asked.n,), seed=asked.seed, ts=found.edges, repeats=asked.repeats,
        tolerance=asked.tolerance, rtol=RTOL, progress=progress,
    )  # fmt: skip
    if not measured.n.size or not measured.ts.size:
        reason = f"no sample of tokens was finished{found.ended}"
        return found.result(asked, None, Basis.UNDETERMINED, MEASURED, reason, bound=bound, comparison=measured)
    errors = np.maximum(measured.errors["bures"][0], measured.errors["sliced"][0])
    until, words = _last_within(measured.ts, errors, asked.tolerance)
    floor = max(sampling_floor(asked.n), bures_floor(asked.start, asked.n) / (found.spread[0] or 1.0))
    reason = f"{words} (sampling alone: {floor:.3g} at the start){found.ended}"
    if bound is not None:
        share = float(np.max(bound / np.where(found.spread > 0, found.spread, np.inf), initial=0.0))
        reason += f"; infinitely many tokens stay within {share:.3g}, by the stability bound"
    return found.result(
        asked, until, Basis.NUMERICAL, MEASURED, reason, bound=bound, measured=errors, comparison=measured
    )


def _last_within(ts: np.ndarray, errors: np.ndarray, tolerance: float) -> tuple[float | None, str]:
    good = _first_beyond(errors, np.full(errors.size, tolerance))
    if not good:
        return None, f"the distance is {errors[0]:.3g} sqrt(tr cov) already at the start"
    largest = f"the distance is at most {errors[:good].max():.3g} sqrt(tr cov) up to t = {ts[good - 1]:.4g}"
    later = "" if good == errors.size else f" and {errors[good]:.3g} at t = {ts[good]:.4g}"
    return float(ts[good - 1]), largest + later


def _first_beyond(errors: np.ndarray, limits: np.ndarray) -> int:
    """The index of the first of `errors` above its limit; how many there are when none is."""
    beyond = np.flatnonzero(errors > limits)
    return int(beyond[0]) if beyond.size else errors.size


def _tokens(n: Any) -> int | None:
    if n is None:
        return None
    count = _whole("n", n)
    if count < 2:
        raise BadInput(f"`n` must be at least 2 tokens, or None for infinitely many: {count} was found.")
    return count


def _whole(name: str, value: Any) -> int:
    number = positive(name, value)
    if number % 1:
        raise BadInput(f"`{name}` must be a whole number: {number:g} was found.")
    return int(number)
