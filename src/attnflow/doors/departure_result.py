"""`Departure`: what tokens with a nonlinear feed-forward did beside the Gaussian flow, and the bound."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..diagnostics.coupling import Between
from ..diagnostics.extrapolation import initial_slope
from ..measures.gaussian import Gaussian
from ..transformer.layer import AbstractLayer
from .relu_defect import Defect
from .run import Run

if TYPE_CHECKING:
    import xarray as xr

SCHEMA = 1
NAMES = ("lower", "upper", "sliced")


@dataclasses.dataclass(frozen=True, eq=False)
class Distances:
    """W_2 of the tokens to one Gaussian flow at the times `ts` (t,): between `lower` and `upper`, both (t,).

    `lower` is the distance of the moments, `upper` the cost of a coupling; where W_2 is exact, `upper` is it. `sliced`
    is sqrt(d) times the sliced distance, below W_2 of the measures, but too high where the projected tokens are
    farther apart than the distance. Root mean squares over the clouds; `spreads` (k, t) holds the
    standard deviations of the three over the clouds.
    """

    ts: Float[np.ndarray, " t"]
    lower: Float[np.ndarray, " t"]
    upper: Float[np.ndarray, " t"]
    sliced: Float[np.ndarray, " t"]
    spreads: Float[np.ndarray, "k t"]

    @staticmethod
    def of(ts: np.ndarray, clouds: Sequence[Sequence[Between]]) -> Distances:
        """From the bounds of each of the `clouds`, at those of `ts` that all of them reached."""
        both = min((len(rows) for rows in clouds), default=0)
        table = np.array([rows[:both] for rows in clouds], dtype=np.float64).reshape(len(clouds), both, len(NAMES))
        if not len(clouds):
            table = np.zeros((1, 0, len(NAMES)))
        lower, upper, sliced = np.sqrt(np.mean(np.square(table), axis=0)).T
        return Distances(ts[:both], lower, upper, sliced, np.std(table, axis=0).T)

    def slopes(self) -> dict[str, float | None]:
        """By name (lower, upper, sliced), the slope at t = 0, extrapolated from the first three positive times."""
        return {name: initial_slope(self.ts, getattr(self, name)) for name in NAMES}

    def to_dict(self) -> dict[str, Any]:
        """The rows as JSON-able data."""
        rows = {name: getattr(self, name).tolist() for name in NAMES}
        return {"ts": self.ts.tolist(), **rows, "slopes": self.slopes()}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Departure:
    """Tokens with a nonlinear feed-forward beside two Gaussian flows, and the bound of Proposition 2.3.

    `defect` is the bound with its hypotheses; `identity` holds the distances to the Gaussian flow with the identity in
    the place of the activation, `closure` those to the moment closure. `exact` says that W_2 is exact (d = 1); else it
    lies between two bounds, measured on `repeats` clouds of `n` tokens drawn with `seed`, and `cloud_bound` is the
    constant of Proposition 2.3 averaged over their points. `flows` are the two Gaussian runs by name; `model` and
    `start` the problem.

    Source: :cite:alcalde2026, Prop. 2.3; this package, docs/theory/departure.md, section 4.
    """

    defect: Defect
    identity: Distances
    closure: Distances
    cloud_bound: float
    exact: bool
    n: int
    repeats: int
    seed: int
    flows: dict[str, Run]
    model: AbstractLayer
    start: Gaussian

    @property
    def ts(self) -> np.ndarray:
        """The times (t,) that the tokens and the Gaussian flow of the identity reached."""
        return self.identity.ts

    @property
    def bound(self) -> np.ndarray:
        """t times the constant of Proposition 2.3 (t,): the leading term of its bound."""
        return np.asarray(self.ts * self.defect.bound)

    @property
    def ratio(self) -> np.ndarray:
        """W_2 (exact, or its upper end) over t * `cloud_bound`, at the positive times; its limit at 0 is at most 1."""
        seen = self.ts > 0
        bound = self.ts[seen] * self.cloud_bound
        return np.asarray(self.identity.upper[seen] / bound) if self.cloud_bound else np.zeros(bound.size)

    @property
    def initial_ratio(self) -> float | None:
        """The slope of W_2 (exact, or its upper bound) at t = 0 over `cloud_bound`: at most 1; None without a bound."""
        slope = self.identity.slopes()["upper"]
        return None if slope is None or not self.cloud_bound else slope / self.cloud_bound

    @property
    def verdict(self) -> str:
        """In words: the slopes against the bound, and what the closure gains."""
        slopes, last = self.identity.slopes(), len(self.ts) - 1
        if last < 0:
            return "no requested time was reached by the tokens and the Gaussian flow"
        if self.exact:
            measured = f"W_2 / t, extrapolated to t = 0: {_number(slopes['upper'])}"
        else:
            ends = f"{_number(slopes['lower'])} and {_number(slopes['upper'])}"
            measured = f"W_2 / t, extrapolated to t = 0: between {ends}"
        sharp = "" if self.defect.slope is None else f"; theory: {self.defect.slope:.6g}"
        lines = [f"{measured}{sharp}; bound: {self.defect.bound:.6g}"]
        kind = "W_2" if self.exact else "W_2 at most"
        for name, rows in (("the Gaussian flow of the identity", self.identity), ("the moment closure", self.closure)):
            if rows.ts.size:
                lines.append(f"{kind} {rows.upper[-1]:.4g} to {name} at t = {rows.ts[-1]:.4g}")
        return "\n".join(lines)

    def plot(self) -> Any:
        """A Figure: the distances to both flows over time beside the bound, and their ratio to it.

        Raises BadInput when no time was reached.
        """
        from ..report.departure import departure_figure

        return departure_figure(
            self.ts,
            {name: (rows.ts, rows.lower, rows.upper, rows.sliced) for name, rows in self._rows.items()},
            bound=self.defect.bound, slope=self.defect.slope, time=self.defect.time, exact=self.exact,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The distances, slopes and the bound as JSON-able data with a `schema_version`."""
        return {
            "schema_version": SCHEMA,
            "verdict": self.verdict,
            "exact": self.exact,
            "n": self.n,
            "repeats": self.repeats,
            "seed": self.seed,
            "cloud_bound": self.cloud_bound,
            "initial_ratio": self.initial_ratio,
            "defect": self.defect.to_dict(),
            "identity": self.identity.to_dict(),
            "closure": self.closure.to_dict(),
        }

    def to_dataset(self) -> xr.Dataset:
        """The distances as a labelled dataset, with the problem, the bound and provenance."""
        import xarray as xr

        from ..files.description import describe, describe_gaussian
        from ..files.provenance import provenance

        arrays = {
            f"{flow}_{name}": (f"time_{flow}", getattr(rows, name))
            for flow, rows in self._rows.items()
            for name in NAMES
        }
        coordinates = {"time_identity": self.identity.ts, "time_closure": self.closure.ts}
        head = {key: value for key, value in self.to_dict().items() if key not in ("identity", "closure")}
        attributes = {
            "kind": "departure",
            **head,
            "model": describe(self.model),
            "start": describe_gaussian(self.start),
        }
        attributes |= {"provenance": provenance()}
        return xr.Dataset(arrays, coordinates, {name: json.dumps(value) for name, value in attributes.items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the study to a NetCDF file, whole or not at all.

        Raises BadInput when `path` cannot be written.
        """
        from ..files.results import write_dataset

        write_dataset(self.to_dataset(), path)

    @property
    def _rows(self) -> dict[str, Distances]:
        return {"identity": self.identity, "closure": self.closure}

    def __repr__(self) -> str:
        """The verdict."""
        size = "exact" if self.exact else f"{self.repeats} clouds of {self.n} tokens"
        return f"Departure({size}, {self.ts.size} times)\n{self.verdict}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.6g}"
