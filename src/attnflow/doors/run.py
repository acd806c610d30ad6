"""`Run`: what a simulation of a Gaussian gave, in NumPy, with how it ended and what each number rests on."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .._check import BadInput, positive
from .._linalg import gram
from ..flow.gaussian import Solution, Stretch, flow_gaussian
from ..flow.leg import Options
from ..flow.outcome import BlowUp, Status
from ..measures.gaussian import Gaussian
from ..transformer.depth import Model

if TYPE_CHECKING:
    import xarray as xr

    from .verify import Verification


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run:
    """The flow of a Gaussian at the times that were reached.

    `status` says how it ended. `ts` (t,), `mean` (t, d), `factor` (t, d, r) and `cov` (t, d, d) hold the reached
    times only; `requested` (q,) the times asked for and `reached` (q,) which of them were reached. `blow_up` is None or
    a bracket (`lower`, `upper`, `estimate`, `basis`), filled also when it is known to lie beyond the last time.
    `engine` and `mean_engine` say what computed covariance and mean at the end, `stretches` what ran where; `exact` is
    False when a layer enters by its statistical linearisation. `statements` says what each number rests on, `notes`
    what else happened. `until` is the time up to which `at` answers; `accepted` and `rejected` count the steps of the
    ODE engines. `model`, `start`, `options` and `seed` are the problem (`model` is None when a file could not restore
    it; `description` is the model as JSON), `provenance` the versions that computed it.

    Source: :cite:alcalde2026, eq. (2.6).
    """

    status: Status
    ts: np.ndarray
    mean: np.ndarray
    factor: np.ndarray
    requested: np.ndarray
    reached: np.ndarray
    until: float
    blow_up: BlowUp | None
    engine: str
    mean_engine: str
    exact: bool
    stretches: tuple[Stretch, ...]
    statements: dict[str, str]
    notes: tuple[str, ...]
    accepted: int
    rejected: int
    model: Model | None
    start: Gaussian
    options: Options
    seed: int | None
    provenance: dict[str, str]
    description: dict[str, Any]

    @functools.cached_property
    def cov(self) -> np.ndarray:
        """The covariances (t, d, d): L L^T, symmetric to the last bit."""
        return gram(self.factor)

    @property
    def rank(self) -> int:
        """The conserved rank: the number of columns of the factor; residual layers may lower the visible one.

        Source: :cite:alcalde2026, Lemma 3.1.
        """
        return self.start.rank

    @functools.cached_property
    def numerical_rank(self) -> np.ndarray:
        """The visible rank (t,): eigenvalues of the covariance above d eps of the largest."""
        squares = np.square(np.linalg.svd(self.factor, compute_uv=False))
        largest = squares.max(axis=-1, initial=0.0)
        limit = self.start.dim * np.finfo(np.float64).eps * largest
        return np.asarray(np.count_nonzero(squares > limit[:, None], axis=-1))

    def at(self, t: float) -> Gaussian:
        """The Gaussian at time `t`, by the engine of the run from the nearest earlier result.

        Raises BadInput when `t` was not reached, or the model could not be restored from a file.
        """
        time = positive("t", t, zero=True)
        if time > self.until:
            why = f"the run ended with status {self.status.value} at t = {self.until:.10g}"
            if self.blow_up is not None:
                why += f"; blow-up at {self.blow_up.estimate:.10g}"
            raise BadInput(f"`t` = {time:g} was not reached: {why}; ask for an earlier time.")
        index = int(np.searchsorted(self.ts, time, side="right")) - 1
        if index >= 0 and self.ts[index] == time:
            return Gaussian(self.mean[index], self.factor[index])
        if self.options.layers is not None:
            raise BadInput(f"`t` = {time:g} lies between two residual layers; ask for one of `ts`.")
        if self.model is None:
            raise BadInput(f"`t` = {time:g} is not a stored time, and the model of this file is a function of depth.")
        near = self.start if index < 0 else Gaussian(self.mean[index], self.factor[index])
        since = 0.0 if index < 0 else float(self.ts[index])
        with jax.enable_x64(True):
            options = dataclasses.replace(self.options, stop_at_rest=False)
            if options.engine == "covariance_ode":
                options = dataclasses.replace(options, engine=None)
            solution = flow_gaussian(self.model, near, time, np.array([time]), options, lambda done: None, since=since)
        if not solution.points:
            raise BadInput(f"`t` = {time:g} was not reached: {solution.status.value} at t = {solution.end.t:.10g}.")
        return Gaussian(solution.points[-1].mean, solution.points[-1].factor)

    def verify(self, *, rtol: float = 1e-11) -> Verification:
        """Replay the run by SciPy's DOP853 on the factor form to `rtol`, and measure the largest relative differences.

        Residual layers are replayed on the covariance instead of its factor.

        Raises BadInput when the model could not be restored from a file.
        """
        from .verify import verify

        return verify(self, rtol=rtol)

    def plot(self, ax: Any = None) -> Any:
        """A picture: without `ax` the overview Figure (ellipses and cone for d = 2, moments for any d).

        With `ax`, ellipses for d = 2 and eigenvalues over time otherwise are drawn there; returns their artists.
        Raises BadInput when no time was reached.
        """
        from ..report.ellipses import covariance_ellipses
        from ..report.moments import eigenvalues_over_time
        from ..report.overview import overview

        if ax is None:
            end = self.blow_up
            bracket = None if end is None else (end.lower, end.upper, end.estimate)
            return overview(self.ts, self.mean, self.cov, blow_up=bracket)
        if self.start.dim == 2:
            return covariance_ellipses(self.mean, self.cov, self.ts, ax=ax)
        return eigenvalues_over_time(self.ts, self.cov, ax=ax)

    def to_dataset(self) -> xr.Dataset:
        """The run as a labelled dataset: moments, ranks and reached times, with the whole problem and provenance."""
        from .dataset import to_dataset

        return to_dataset(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the run to a NetCDF file, whole or not at all; `attnflow.load` reads it back.

        Raises BadInput when `path` cannot be written.
        """
        from ..files.results import write_dataset

        write_dataset(self.to_dataset(), path)

    def to_dict(self) -> dict[str, Any]:
        """The run as JSON-able data with a `schema_version`: what `attnflow simulate --json` prints."""
        from .dataset import to_dict

        return to_dict(self)

    def __repr__(self) -> str:
        """One line: status, times, size, engine, blow-up."""
        last = f", t = {self.ts[0]:g} to {self.ts[-1]:g}" if self.ts.size else ", no time reached"
        blow = f", blow-up at {self.blow_up.estimate:.10g} ({self.blow_up.basis.value})" if self.blow_up else ""
        return (
            f"Run({self.status.value}{last}, {self.ts.size} times, d = {self.start.dim}, rank {self.rank}, "
            f"{self.engine}, mean {self.mean_engine}{blow})"
        )


def run_from_solution(
    solution: Solution, *, model: Model, start: Gaussian, requested: np.ndarray | None, end: float,
    options: Options, seed: int | None,
) -> Run:  # fmt: skip
    """The result of `simulate` from what the flow computed."""
    from ..files.description import describe
    from ..files.provenance import provenance

    d, r = start.dim, start.rank
    ts = np.array([p.t for p in solution.points])
    asked = ts if requested is None else requested
    if requested is None and solution.status is not Status.REACHED_END:
        asked = np.append(ts[ts < end], end)
    return Run(
        status=solution.status,
        ts=ts,
        mean=np.array([p.mean for p in solution.points]).reshape(ts.size, d),
        factor=np.array([p.factor for p in solution.points]).reshape(ts.size, d, r),
        requested=asked,
        reached=np.isin(asked, ts),
        until=_until(solution, ts),
        blow_up=solution.blow_up,
        engine=solution.engine,
        mean_engine=solution.mean_engine,
        exact=solution.exact,
        stretches=tuple(solution.stretches),
        statements=solution.statements,
        notes=tuple(solution.notes),
        accepted=solution.accepted,
        rejected=solution.rejected,
        model=model,
        start=start,
        options=options,
        seed=seed,
        provenance=provenance(),
        description=describe(model),
    )


def _until(solution: Solution, ts: np.ndarray) -> float:
    """The last time at which the flow can be asked for: where it stopped, or the lower end of a blow-up's bracket."""
    stop = max(solution.end.t, float(ts[-1]) if ts.size else 0.0)
    if solution.status is Status.BLOW_UP and solution.blow_up is not None:
        return max(stop, solution.blow_up.lower)
    return stop
