"""`Comparison`: what tokens did beside the Gaussian flow, and whether the limit can be trusted."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..flow.outcome import Status
from ..measures.distances import sampling_floor
from ..transformer.depth import Model
from .limit_trust import HeadTrust
from .run import Run

if TYPE_CHECKING:
    import xarray as xr

SCHEMA = 1
ERRORS = ("mean", "cov", "bures", "sliced")
TITLES = {
    "mean": "mean, relative to sqrt(tr cov)",
    "cov": "covariance, relative (Frobenius)",
    "bures": "Bures-Wasserstein, relative to sqrt(tr cov)",
    "sliced": "sliced Wasserstein, relative to sqrt(tr cov / d)",
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """One sample of tokens beside the Gaussian: errors (t,) at the times that both reached, and its own `trace`.

    `mean` and `bures` are relative to sqrt(tr cov) of the Gaussian, `sliced` to sqrt(tr cov / d), `cov` to its
    Frobenius norm.
    """

    status: Status
    evaluations: int
    trace: np.ndarray
    mean: np.ndarray
    cov: np.ndarray
    bures: np.ndarray
    sliced: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Tokens beside the Gaussian flow `run`, for several numbers of tokens.

    `measured[n]` holds one `Measured` for each finished sample of n tokens; `trust` what the sampling criteria say of
    each softmax head, for each n, at the worst time of the Gaussian flow; `tolerance`, `seed`, `repeats` and `model` as
    they were asked for.

    Source: this package, docs/theory/finite-n.md.
    """

    run: Run
    measured: dict[int, list[Measured]]
    tolerance: float
    seed: int
    repeats: int
    trust: dict[int, list[HeadTrust]]
    model: Model

    @property
    def n(self) -> np.ndarray:
        """The numbers of tokens (k,) with at least one finished sample."""
        return np.array([count for count, samples in self.measured.items() if samples])

    @functools.cached_property
    def errors(self) -> dict[str, np.ndarray]:
        """By name (mean, cov, bures, sliced), the root mean square over the samples (k, t) of each error.

        The times are those of `ts`, which all samples and the Gaussian reached.
        """
        return {
            name: np.array([self._rms(name, count) for count in self.n]).reshape(-1, self.ts.size) for name in ERRORS
        }

    @functools.cached_property
    def ts(self) -> np.ndarray:
        """The times (t,) that the Gaussian flow and all samples reached."""
        sizes = [sample.mean.size for count in self.n for sample in self.measured[count]]
        return self.run.ts[: min(sizes, default=0)]

    @functools.cached_property
    def floors(self) -> dict[str, np.ndarray]:
        """By name, the errors (k, t) of n independent points of the Gaussian: what sampling alone costs."""
        cov = self.run.cov[: self.ts.size]
        trace, square = np.trace(cov, axis1=1, axis2=2), np.sum(np.square(cov), axis=(1, 2))
        ratio = np.sqrt(1 + np.divide(np.square(trace), square, out=np.zeros_like(trace), where=square > 0))
        one, root = np.ones(self.ts.size), 1 / np.sqrt(self.n)[:, None]
        sliced = np.array([sampling_floor(int(count)) for count in self.n])[:, None]
        return {"mean": root * one, "cov": root * ratio, "sliced": sliced * one}

    @functools.cached_property
    def rates(self) -> dict[str, float]:
        """By name, the power of n with which the largest error over the times falls (-1/2: as for independent points).

        Least squares in the logarithms; empty for fewer than two numbers of tokens.
        """
        if self.n.size < 2 or not self.ts.size:
            return {}
        logs = np.log(self.n)
        largest = {name: np.maximum(rows.max(axis=1), np.finfo(float).tiny) for name, rows in self.errors.items()}
        return {name: float(np.polyfit(logs, np.log(worst), 1)[0]) for name, worst in largest.items()}

    def trusted_until(self, n: int) -> float | None:
        """The last of `ts` up to which the errors of mean and covariance for `n` tokens stay within the tolerance.

        None when even the first time exceeds it: the sample itself is too small.
        """
        index = int(np.flatnonzero(self.n == n)[0])
        worst = np.maximum(self.errors["mean"][index], self.errors["cov"][index])
        beyond = np.flatnonzero(worst > self.tolerance)
        good = self.ts.size if not beyond.size else int(beyond[0])
        return float(self.ts[good - 1]) if good else None

    @property
    def verdict(self) -> str:
        """In words: for each n whether the Gaussian limit can be trusted, up to when, and why not."""
        from .verdict import words

        return words(self)

    def plot(self) -> Any:
        """A Figure: the errors over time for each n beside what sampling alone costs, and their fall with n."""
        from ..report.comparison import comparison_figure

        floors = {name: rows for name, rows in self.floors.items() if name in ("mean", "cov", "sliced")}
        traces = {int(count): self._mean_trace(int(count)) for count in self.n}
        return comparison_figure(
            self.ts, self.n, self.errors, floors, titles=TITLES, tolerance=self.tolerance, times=self.run.requested,
            traces=traces, gaussian=(self.run.ts, np.trace(self.run.cov, axis1=1, axis2=2)),
            blow_up=None if self.run.blow_up is None else self.run.blow_up.estimate,
        )  # fmt: skip

    def to_dataset(self) -> xr.Dataset:
        """The errors, floors and criteria as a labelled dataset, with the whole problem and provenance."""
        import json

        import xarray as xr

        from ..files.description import describe_gaussian

        axes = ("n", "time")
        arrays = {f"{name}_error": (axes, rows, {"long_name": TITLES[name]}) for name, rows in self.errors.items()}
        arrays |= {
            f"{name}_floor": (axes, rows, {"long_name": "of n independent points"})
            for name, rows in self.floors.items()
        }
        attributes = {"kind": "comparison", **self._head(), "start": describe_gaussian(self.run.start)}
        attributes |= {"model": self.run.description, "provenance": self.run.provenance}
        return xr.Dataset(
            arrays, {"n": self.n, "time": self.ts}, {name: json.dumps(value) for name, value in attributes.items()}
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the comparison to a NetCDF file, whole or not at all.

        Raises BadInput when `path` cannot be written.
        """
        from ..files.results import write_dataset

        write_dataset(self.to_dataset(), path)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON-able data with a `schema_version`."""
        rows = {"errors": self.errors, "floors": self.floors}
        listed = {kind: {name: array.tolist() for name, array in table.items()} for kind, table in rows.items()}
        return {"schema_version": SCHEMA, **self._head(), "ts": self.ts.tolist(), "n": self.n.tolist(), **listed}

    def __repr__(self) -> str:
        """The verdict."""
        return f"Comparison(n = {self.n.tolist()}, {self.repeats} samples each)\n{self.verdict}"

    def _head(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "trusted_until": {str(count): self.trusted_until(int(count)) for count in self.n},
            "rates": self.rates,
            "tolerance": self.tolerance,
            "seed": self.seed,
            "repeats": self.repeats,
            "gaussian": {"status": self.run.status.value, "exact": self.run.exact, "engine": self.run.engine},
            "blow_up": None if self.run.blow_up is None else dataclasses.asdict(self.run.blow_up),
            "trust": {str(count): [dataclasses.asdict(t) for t in heads] for count, heads in self.trust.items()},
        }

    def _rms(self, name: str, count: int) -> np.ndarray:
        rows = [getattr(sample, name)[: self.ts.size] for sample in self.measured[count]]
        return np.asarray(np.sqrt(np.mean(np.square(rows), axis=0)))

    def _mean_trace(self, count: int) -> np.ndarray:
        size = min(sample.trace.size for sample in self.measured[count])
        return np.asarray(np.mean([sample.trace[:size] for sample in self.measured[count]], axis=0))
