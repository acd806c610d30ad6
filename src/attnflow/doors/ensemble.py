"""`ensemble`: many small Gaussian systems at once, from checked input to a labelled result."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from .._check import BadInput, positive, times
from .._linalg import gram
from .._types import ArrayLike
from ..flow.dop853 import Code
from ..flow.leg import Progress
from ..flow.many.ensemble import Batch, Flows, flow_ensemble, is_exact
from ..flow.outcome import Status
from ..measures.gaussian import Gaussian
from ..transformer.layer import AbstractLayer
from .progress import progress_bar
from .run import Run
from .simulate import simulate
from .stacking import stacked_models, stacked_starts

if TYPE_CHECKING:
    import xarray as xr

_STATUS = {
    Code.RUNNING: Status.INTERRUPTED,
    Code.END: Status.REACHED_END,
    Code.BLOW_UP: Status.BLOW_UP,
    Code.OVERFLOW: Status.OVERFLOW,
    Code.BUDGET: Status.BUDGET,
    Code.STALLED: Status.BUDGET,
}

# by code; codes that an ensemble does not have are in no place of the array
_WORDS = np.array([_STATUS.get(code) for code in Code], dtype=object)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """The flows of N Gaussians at the times `ts` (t,).

    `status` (N,) says how each ended, as `Status` values. `mean` (N, t, d) and `factor` (N, t, d, r) must be read
    through `reached` (N, t): entries at or after a blow-up, or never reached, repeat the last one before them (or the
    start) and are no moments at those times. `blow_up` (N,) is the time at which each covariance is infinite, masked
    where none is known; with the closed form it is exact and known also beyond the last time.

    `limit_rank` (N,) is the number of eigenvalues of the covariance that do not vanish as t grows, -1 where that has no
    answer (a blow-up, a last time that was not reached). With the closed form it is exact. Otherwise it is read off the
    local exponents t lambda' / lambda at the last time: near 0 an eigenvalue stays, near -1 or below it vanishes; in
    between the system is `undecided` (N,), as it is with an eigenvalue on which the flow has only begun to act.

    `model` (its parameters stacked, unless `shared`) and `start` (mean (N, d), factor (N, d, r)) are the problem; `run`
    computes one system alone, by the other engines of this package. `steps` (N,) counts attempted steps, `engine` is
    "closed_form" or "rosenbrock", `exact` is False when a layer enters by its statistical linearisation, `rtol` is the
    tolerance asked for, `provenance` the versions that computed it.

    Source: :cite:alcalde2026, eq. (2.6) and Lemma 3.1.
    """

    status: np.ndarray
    ts: np.ndarray
    mean: np.ndarray
    factor: np.ndarray
    reached: np.ndarray
    blow_up: np.ma.MaskedArray[tuple[int], np.dtype[np.float64]]
    limit_rank: np.ndarray
    undecided: np.ndarray
    steps: np.ndarray
    engine: str
    exact: bool
    rtol: float
    model: AbstractLayer
    shared: bool
    start: Gaussian
    provenance: dict[str, str]

    @functools.cached_property
    def cov(self) -> np.ndarray:
        """The covariances (N, t, d, d): L L^T, symmetric to the last bit; to be read through `reached`."""
        return gram(self.factor)

    @property
    def blown_up(self) -> np.ndarray:
        """The indices of the systems that blew up at or before the last time."""
        return np.flatnonzero(self.status == Status.BLOW_UP)

    @property
    def blow_up_times(self) -> np.ndarray:
        """When the systems `blown_up` did so."""
        return np.asarray(self.blow_up[self.blown_up])

    def run(self, index: int, *, rtol: float = 1e-8) -> Run:
        """System `index` alone, by `attnflow.simulate` with tolerance `rtol` at the same times.

        It brackets a blow-up, and `verify` replays it. Raises BadInput when there is no such system.
        """
        if not 0 <= index < self.status.size:
            raise BadInput(f"`index` must be at least 0 and below {self.status.size}: {index} was found.")
        model = self.model if self.shared else jax.tree.map(lambda leaf: leaf[index], self.model)
        return simulate(model, Gaussian(self.start.mean[index], self.start.factor[index]), self.ts, rtol=rtol)

    def to_dataset(self) -> xr.Dataset:
        """The ensemble as a labelled dataset with its provenance; statuses are written as words."""
        import xarray as xr

        known = np.flatnonzero(~np.ma.getmaskarray(self.blow_up))
        moments = {
            "mean": (("system", "time", "coord"), self.mean, {"long_name": "means of the Gaussians"}),
            "factor": (("system", "time", "coord", "column"), self.factor, {"long_name": "factors of the covariances"}),
            "cov": (("system", "time", "coord", "coord_"), self.cov, {"long_name": "covariances of the Gaussians"}),
            "reached": (("system", "time"), self.reached, {"long_name": "whether the entry is a moment at its time"}),
            "status": (("system",), np.array([s.value for s in self.status]), {"long_name": "how each flow ended"}),
            "blow_up_system": (("blow_up",), known, {"long_name": "systems whose time of blow-up is known"}),
            "blow_up_time": (("blow_up",), np.asarray(self.blow_up[known]), {"long_name": "their times of blow-up"}),
            "limit_rank": (("system",), self.limit_rank, {"long_name": "eigenvalues that stay, -1 without an answer"}),
            "undecided": (("system",), self.undecided, {"long_name": "whether the rank of the limit is in doubt"}),
            "steps": (("system",), self.steps, {"long_name": "attempted steps"}),
        }
        attributes = {"kind": "gaussian ensemble", "engine": self.engine, "exact": self.exact, "rtol": self.rtol}
        written = {name: json.dumps(value) for name, value in {**attributes, "provenance": self.provenance}.items()}
        return xr.Dataset(moments, {"time": self.ts}, written)

    def __repr__(self) -> str:
        """One line: how many systems, times, size, engine, and how they ended."""
        count, t, d, r = self.factor.shape
        ends = ", ".join(f"{np.count_nonzero(self.status == s)} {s.value}" for s in Status if np.any(self.status == s))
        return f"Ensemble({count} systems, {t} times to t = {self.ts[-1]:g}, d = {d}, rank {r}, {self.engine}: {ends})"


def ensemble(
    model: AbstractLayer | Sequence[AbstractLayer],
    starts: Gaussian | Sequence[Gaussian],
    ts: ArrayLike,
    *,
    rtol: float = 1e-6,
    max_steps: int = 10_000,
    settle: float | None = None,
    progress: Progress | None = None,
) -> Ensemble:
    """The flows of many small Gaussian systems at once: means and covariances at the times `ts` (t,), increasing.

    `starts`: a sequence of Gaussians of one dimension and one number of columns, or one `Gaussian` with stacked mean
    (N, d) and factor (N, d, r). `model`: a layer for all of them, a sequence of N layers of one structure, or one layer
    with stacked parameters, as `equinox.filter_vmap` makes it. Computes in float64 whatever the global JAX setting.

    Where every head is softmax with V a multiple of the identity, and A too, covariances, blow-up times and ranks are
    exact. Everything else is integrated in factor form by an implicit method of order 5 with tolerance `rtol` relative
    to the sizes of factor and mean, each system with its own steps, at most `max_steps` (status `budget`). Long times
    are cheap: steps grow with t where a covariance decays like 1 / t. Rounding limits them to about t = 1e8. With
    `settle`, systems whose `limit_rank` is in doubt at the last time are followed to this later time to decide it.
    `progress` is called with the number of finished systems; by default a bar appears on a terminal after two seconds.

    Blow-up, overflow, an exhausted budget and an interrupt are results: see `Ensemble.status`. Raises BadInput, before
    any computation, for everything that breaks a rule above.

    Source: :cite:alcalde2026, Prop. 2.1 and eq. (2.6); this package, docs/theory/closed-form.md.
    """
    mean, factor = stacked_starts(starts)
    requested = times("ts", ts)
    tolerance = positive("rtol", rtol)
    if not 1e-14 <= tolerance <= 1e-2:
        raise BadInput(f"`rtol` must lie between 1e-14 and 1e-2: {tolerance:g} was found; 1e-6 is the default.")
    if int(max_steps) != max_steps or not 1 <= max_steps <= 10**9:
        raise BadInput(f"`max_steps` must be a whole number from 1 to 1e9: {max_steps!r} was found.")
    later = None if settle is None else positive("settle", settle)
    if not factor.shape[2]:
        found = ensemble(model, Gaussian(mean, np.zeros((*mean.shape, 1))), ts, rtol=rtol, max_steps=max_steps)
        return dataclasses.replace(found, factor=found.factor[..., :0], start=Gaussian(mean, factor))
    with jax.enable_x64(True):
        stack = stacked_models(model, mean.shape[0], mean.shape[1], factor.shape[2])
        batch = Batch(stack, factor, mean, requested)
        with progress_bar(float(mean.shape[0]), progress, words="ensemble") as report:
            flows = flow_ensemble(batch, tolerance, int(max_steps), report, settle=later)
        exact = is_exact(batch)
    return _result(flows, batch, exact, tolerance)


def _result(flows: Flows, batch: Batch, exact: bool, rtol: float) -> Ensemble:
    from ..files.provenance import provenance

    return Ensemble(
        status=_WORDS[flows.code],
        ts=batch.ts,
        mean=flows.mean,
        factor=flows.factor,
        reached=flows.reached,
        blow_up=np.ma.masked_invalid(flows.blow_up),
        limit_rank=flows.limit_rank,
        undecided=flows.undecided,
        steps=flows.steps,
        engine=flows.engine,
        exact=exact,
        rtol=rtol,
        model=batch.stack.layer,
        shared=batch.stack.shared,
        start=Gaussian(batch.mean, batch.factor),
        provenance=provenance(),
    )
