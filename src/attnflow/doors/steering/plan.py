"""`Plan`: controls that take one Gaussian to another, what they cost and how well they do it."""

from __future__ import annotations

import dataclasses
import enum
import functools
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._check import BadInput, positive
from ...flow.outcome import Basis
from ...measures.gaussian import Gaussian
from ...reachability.energy import Energy, conditioning, energy, largest_control
from ...reachability.errors import cov_error, mean_error, worst_direction
from ...reachability.law import AbstractLaw, Controls
from ...reachability.motion import Motion
from ...reachability.obstruction import Reachability
from ...reachability.replay import Replay, replay
from ...transformer.depth import Model

if TYPE_CHECKING:
    import xarray as xr

    from .costs import Cost
    from .network import Network


class PlanStatus(enum.StrEnum):
    """How a plan ended: at its target to tolerance, or not."""

    REACHED = "reached"
    MISSED = "missed"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """Controls A(t), B(t), V(t), b(t) on [0, T] that take `start` to `target`, by one softmax head and an affine layer.

    `status` says whether the end of the reference path lies within `tolerance` of the target, `basis` what that rests
    on ("theorem" for an exact construction, "numerical" for an optimised plan) and `reason` says it in words.
    `law` holds the controls, `motion` the reference path, `time` is T, `method` names the construction or constraint.
    `reachability` says why the target can be reached; `notes` what else is worth knowing; `details` holds what an
    optimisation reports (empty for an exact construction). `leftover` is what becomes of the directions of the start
    that count as zero: their variance at the end, relative to the target's covariance. `rounding` is about what an
    integration of the controls in double precision loses, for controls that do not forgive errors (else 0).

    Source: :cite:alcalde2026, Thm. 3.2.
    """

    start: Gaussian
    target: Gaussian
    time: float
    method: str
    law: AbstractLaw
    motion: Motion
    basis: Basis
    tolerance: float
    reachability: Reachability
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    leftover: float = 0.0
    rounding: float = 0.0

    @functools.cached_property
    def model(self) -> Model:
        """The Transformer with these parameters over depth, for `simulate`."""
        return self.law.model()

    @functools.cached_property
    def end(self) -> Gaussian:
        """The end of the reference path."""
        return self.at(self.time)

    @functools.cached_property
    def mean_error(self) -> float:
        """The error of the mean at the end of the reference path, relative as in `Replay`."""
        return mean_error(self.end, self.start, self.target)

    @functools.cached_property
    def cov_error(self) -> float:
        """The error of the covariance at the end of the reference path, relative to the target (Frobenius)."""
        return cov_error(np.asarray(self.end.cov), np.asarray(self.target.cov))

    @property
    def status(self) -> PlanStatus:
        """Whether the reference path ends within `tolerance` of the target, in the mean and in every direction."""
        return PlanStatus.REACHED if self.error <= self.tolerance else PlanStatus.MISSED

    @property
    def error(self) -> float:
        """The largest of all relative errors that count for the status."""
        return max(self.mean_error, self.cov_error, self.worst_direction, self.leftover, self.rounding)

    @property
    def reason(self) -> str:
        """The status in words, with the errors."""
        error = (
            f"relative error {self.mean_error:.1e} in the mean, {self.cov_error:.1e} in the covariance, "
            f"{self.worst_direction:.1e} in the worst direction"
        )
        if self.leftover > self.tolerance:
            error += f", {self.leftover:.1e} from directions of the start that count as zero"
        if self.rounding > self.tolerance:
            error += f", but about {self.rounding:.1e} once the controls are integrated in double precision"
        if self.status is PlanStatus.REACHED:
            return f"the target is reached: {error}"
        return f"the target is missed: {error}, above {self.tolerance:.1e}"

    @functools.cached_property
    def energy(self) -> Energy:
        """The energies: kinetic, of the attention controls, of the feed-forward controls."""
        return energy(self.law, self.motion, self.time)

    @functools.cached_property
    def conditioning(self) -> float:
        """The largest condition number of the flow map on the range of the start, over the path."""
        return conditioning(self.motion, self.time)

    @functools.cached_property
    def largest_control(self) -> float:
        """The largest Frobenius norm of V over depth."""
        return largest_control(self.law, self.time)

    def controls(self, t: float) -> Controls:
        """A, B, V (d, d) and b (d,) at depth `t` in [0, T].

        Raises BadInput when `t` lies outside.
        """
        return Controls(*(np.array(part) for part in self.law.controls(self._inside(t))))

    def at(self, t: float) -> Gaussian:
        """The Gaussian of the reference path at depth `t` in [0, T].

        Raises BadInput when `t` lies outside.
        """
        inside = self._inside(t)
        return Gaussian(self.motion.mean(inside), self.motion.factor(inside))

    def replay(self, *, rtol: float = 1e-13, tokens: int = 1024, seed: int = 0) -> Replay:
        """Where the controls lead by an independent path: SciPy's DOP853 to `rtol` on mean and factor, in plain NumPy.

        `tokens` tokens drawn from the start with `seed` are moved as tokens, too (0: none).

        Raises BadInput when `rtol` is not positive, `tokens` or `seed` is negative.
        """
        positive("rtol", rtol)
        if tokens < 0 or tokens != int(tokens):
            raise BadInput(f"`tokens` must be a whole number, at least 0: {tokens!r} was found.")
        if isinstance(seed, bool) or seed != int(seed) or seed < 0:
            raise BadInput(f"`seed` must be a whole number, at least 0: {seed!r} was found.")
        visible = self.reachability.tolerance
        return replay(
            self.law, self.start, self.target, self.time, rtol=rtol, tokens=int(tokens), seed=int(seed), visible=visible
        )

    @functools.cached_property
    def worst_direction(self) -> float:
        """The largest relative error of a variance of the target, over all directions of its range."""
        return worst_direction(self.end, self.target, rtol=self.reachability.tolerance)

    def comparison(self) -> tuple[Cost, ...]:
        """This plan and the exact constructions beside it: energies, conditioning, largest control, error."""
        from .costs import comparison

        return comparison(self)

    def compile(self, layers: int, *, scheme: str = "exponential") -> Network:
        """The plan as a stack of `layers` residual layers, each a softmax head and an affine feed-forward.

        `scheme` is "exponential" or "euler". Raises BadInput for anything else.
        """
        from .network import compile_plan

        return compile_plan(self, layers, scheme=scheme)

    def plot(self) -> Any:
        """A picture: path from start to target, controls over depth, errors."""
        from .picture import picture

        return picture(self)

    def to_dataset(self) -> xr.Dataset:
        """The plan as a labelled dataset: controls and reference path over depth, with the problem and provenance."""
        from .dataset import to_dataset

        return to_dataset(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a NetCDF file, whole or not at all; `attnflow.load` reads it back.

        Raises BadInput when `path` cannot be written.
        """
        from ...files.results import write_dataset

        write_dataset(self.to_dataset(), path)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-able data with a `schema_version`: what `attnflow steer --json` prints."""
        from .dataset import to_dict

        return to_dict(self)

    def __str__(self) -> str:
        """A line for each thing that is known: status, method, energies, conditioning, notes."""
        from .text import words

        return words(self)

    def __repr__(self) -> str:
        """One line: status, method, size, time, error."""
        return (
            f"Plan({self.status.value} ({self.basis.value}), {self.method}, d = {self.start.dim}, rank "
            f"{self.reachability.ranks[0]}, T = {self.time:g}, error {self.error:.1e})"
        )

    def _inside(self, t: float) -> float:
        inside = positive("t", t, zero=True)
        if inside > self.time:
            raise BadInput(f"`t` must lie in [0, T] = [0, {self.time:g}]: {t:g} was found.")
        return inside
