"""`TokenRun`: what a simulation of tokens gave, in NumPy, with how it ended."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .._check import BadInput, positive
from ..flow.leg import Options
from ..flow.outcome import BlowUp, Status
from ..flow.tokens import TokenSolution, flow_tokens
from ..measures.gaussian import Gaussian
from ..measures.tokens import Tokens, token_covariance
from ..transformer.depth import Model

if TYPE_CHECKING:
    import xarray as xr

    from .verify import TokenVerification

CONTINUOUS = "numerical: SciPy DOP853 on all tokens"
LAYERS = "exact: x + step Gamma(x), layer by layer, in float64"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TokenRun:
    """The flow of n tokens at the times that were reached.

    `status` says how it ended. `ts` (t,) and `tokens` (t, n, d) hold the reached times only; `requested` (q,) the times
    asked for and `reached` (q,) which of them were reached. `blow_up` is None or a bracket; only unnormalised attention
    has one. `statements` says what each number rests on, `notes` what else happened. `until` is the time up to which
    `at` answers; `accepted` counts the steps or layers, `evaluations` the velocities of all tokens that were computed.
    `model`, `start`, `options` and `seed` are the problem (`model` is None when a file could not restore it;
    `description` is the model as JSON), `provenance` the versions that computed it.

    Source: :cite:castin2025, interacting particles.
    """

    status: Status
    ts: np.ndarray
    tokens: np.ndarray
    requested: np.ndarray
    reached: np.ndarray
    until: float
    blow_up: BlowUp | None
    statements: dict[str, str]
    notes: tuple[str, ...]
    accepted: int
    evaluations: int
    model: Model | None
    start: Tokens
    options: Options
    seed: int | None
    provenance: dict[str, str]
    description: dict[str, Any]

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """The means of the tokens (t, d)."""
        return np.asarray(self.tokens.mean(axis=1))

    @functools.cached_property
    def cov(self) -> np.ndarray:
        """The covariances of the tokens (t, d, d); they divide by n."""
        return np.asarray(token_covariance(self.tokens))

    def gaussian(self, index: int = -1) -> Gaussian:
        """The Gaussian with the moments of the tokens at `ts[index]`."""
        return Gaussian.from_tokens(self.tokens[index])

    def at(self, t: float) -> np.ndarray:
        """The tokens (n, d) at time `t`, integrated from the nearest earlier result.

        Raises BadInput when `t` was not reached, lies between residual layers, or the model could not be restored.
        """
        time = positive("t", t, zero=True)
        if time > self.until:
            raise BadInput(
                f"`t` = {time:g} was not reached: the run ended with status {self.status.value} at t = "
                f"{self.until:.10g}; ask for an earlier time."
            )
        index = int(np.searchsorted(self.ts, time, side="right")) - 1
        if index >= 0 and self.ts[index] == time:
            return np.array(self.tokens[index])
        if self.model is None or self.options.layers is not None:
            why = "between two layers" if self.model is not None else "not stored, and the model is not in the file"
            raise BadInput(f"`t` = {time:g} cannot be evaluated: it lies {why}; ask for one of `ts`.")
        points, since = (self.start.points, 0.0) if index < 0 else (self.tokens[index], float(self.ts[index]))
        with jax.enable_x64(True):
            options = dataclasses.replace(self.options, stop_at_rest=False)
            found = flow_tokens(self.model, points, time, np.array([time]), options, lambda done: None, since=since)
        if not found.tokens:
            raise BadInput(f"`t` = {time:g} was not reached: {found.status.value} at t = {found.end:.10g}.")
        return found.tokens[-1]

    def verify(self, *, rtol: float = 1e-10) -> TokenVerification:
        """Replay the run by diffrax's Tsit5 to `rtol` (layers: in extended precision) and measure the differences.

        Raises BadInput when the model could not be restored from a file.
        """
        from .verify import verify_tokens

        return verify_tokens(self, rtol=rtol)

    def plot(self, ax: Any = None) -> Any:
        """A picture: without `ax` the overview Figure of the moments; with `ax`, the tokens at the last time for d = 2.

        For d > 2 the eigenvalues of the covariance over time are drawn into `ax`; returns the artists. Raises BadInput
        when no time was reached.
        """
        from ..report.moments import eigenvalues_over_time
        from ..report.overview import overview
        from ..report.tokens import token_cloud

        if ax is None:
            return overview(self.ts, self.mean, self.cov, tokens=self.tokens)
        if self.start.dim == 2:
            return token_cloud(self.tokens, ax=ax)
        return eigenvalues_over_time(self.ts, self.cov, ax=ax)

    def to_dataset(self) -> xr.Dataset:
        """The run as a labelled dataset: tokens, moments and reached times, with the whole problem and provenance."""
        from .dataset import token_dataset

        return token_dataset(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the run to a NetCDF file, whole or not at all; `attnflow.load` reads it back.

        Raises BadInput when `path` cannot be written.
        """
        from ..files.results import write_dataset

        write_dataset(self.to_dataset(), path)

    def to_dict(self) -> dict[str, Any]:
        """The run as JSON-able data with a `schema_version`; moments only, the tokens are in the NetCDF file."""
        from .dataset import token_dict

        return token_dict(self)

    def __repr__(self) -> str:
        """One line: status, times, size, cost."""
        last = f", t = {self.ts[0]:g} to {self.ts[-1]:g}" if self.ts.size else ", no time reached"
        return (
            f"TokenRun({self.status.value}{last}, {self.ts.size} times, n = {self.start.size}, d = {self.start.dim}, "
            f"{self.evaluations} evaluations)"
        )


def run_from_tokens(
    solution: TokenSolution, *, model: Model, start: Tokens, requested: np.ndarray | None, end: float,
    options: Options, seed: int | None,
) -> TokenRun:  # fmt: skip
    """The result of `simulate` from what the flow of the tokens computed."""
    from ..files.description import describe
    from ..files.provenance import provenance

    ts = np.array(solution.ts)
    asked = ts if requested is None else requested
    if requested is None and solution.status is not Status.REACHED_END:
        asked = np.append(ts[ts < end], end)
    statements = {"tokens": CONTINUOUS if options.layers is None else LAYERS}
    if solution.blow_up is not None:
        statements["blow_up"] = solution.blow_up.statement
    return TokenRun(
        status=solution.status,
        ts=ts,
        tokens=np.array(solution.tokens).reshape(ts.size, *start.points.shape),
        requested=asked,
        reached=np.isin(asked, ts),
        until=max(solution.end, float(ts[-1]) if ts.size else 0.0),
        blow_up=solution.blow_up,
        statements=statements,
        notes=tuple(solution.notes),
        accepted=solution.accepted,
        evaluations=solution.evaluations,
        model=model,
        start=start,
        options=options,
        seed=seed,
        provenance=provenance(),
        description=describe(model),
    )
