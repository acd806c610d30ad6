"""`MixtureRun`: tokens of a mixture of Gaussians beside the closure of the whole and the closure of its components."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..flow.mixture import MixtureSolution
from ..flow.outcome import BlowUp, Status
from ..measures.gaussian import Gaussian
from ..measures.mixture import Mixture
from ..measures.mixture_line import sliced_to_mixture
from ..measures.tokens import token_covariance
from ..transformer.depth import Model
from ..transformer.mixture_defect import LeadingDefect
from .run import Run
from .token_run import TokenRun

if TYPE_CHECKING:
    import xarray as xr

SCHEMA = 1
DIRECTIONS = 128
COLLAPSED = 1e-3
NAMES = ("mean", "cov", "sliced")


@dataclasses.dataclass(frozen=True, eq=False)
class ClosureErrors:
    """How far a closure is from the tokens at the times `ts` (t,) that both reached; each (t,).

    `mean`: the distance of the means over the spread sqrt(tr cov) of the tokens; `cov`: the relative Frobenius error;
    `sliced`: sqrt(d) times the sliced 2-Wasserstein distance of the tokens to the closure, over that spread.
    """

    ts: Float[np.ndarray, " t"]
    mean: Float[np.ndarray, " t"]
    cov: Float[np.ndarray, " t"]
    sliced: Float[np.ndarray, " t"]

    def to_dict(self) -> dict[str, Any]:
        """The rows as JSON-able data."""
        return {"ts": self.ts.tolist(), **{name: getattr(self, name).tolist() for name in NAMES}}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class MixtureRun:
    """A mixture under a model, in three ways: `tokens`, the Gaussian closure of the `whole`, and its components.

    `ts` (t,) are the times that the components reached and `status` how they ended (`blow_up` as in `Run`); `weights`
    (k,), `means` (t, k, d) and `factors` (t, k, d, r) are theirs, and `exact` says that they are no approximation.
    `labels` (n,) says from which component each of the tokens was drawn, with `seed`. `defect` says how the components
    begin to stop being Gaussian. `model` and `start` are the problem, `notes` what else happened.

    Source: this package, docs/theory/mixtures.md.
    """

    status: Status
    ts: Float[np.ndarray, " t"]
    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "t k d"]
    factors: Float[np.ndarray, "t k d r"]
    exact: bool
    blow_up: BlowUp | None
    tokens: TokenRun
    whole: Run
    labels: np.ndarray
    defect: LeadingDefect
    seed: int
    model: Model
    start: Mixture
    notes: tuple[str, ...]

    @staticmethod
    def of(
        parts: MixtureSolution, *, tokens: TokenRun, whole: Run, labels: np.ndarray, defect: LeadingDefect, seed: int,
        model: Model, start: Mixture,
    ) -> MixtureRun:  # fmt: skip
        """The result out of the solution `parts` for the components.

        `tokens`, `whole`, `labels`, `defect`, `seed`, `model` and `start` are fields of the class.
        """
        size = (len(start.components), start.dim)
        return MixtureRun(
            status=parts.status, ts=np.array(parts.ts), weights=np.asarray(start.weights),
            means=np.array(parts.means).reshape(-1, *size),
            factors=np.array(parts.factors).reshape(len(parts.ts), *size, -1) if parts.ts else np.zeros((0, *size, 0)),
            exact=parts.exact, blow_up=parts.blow_up, tokens=tokens, whole=whole, labels=labels, defect=defect,
            seed=seed, model=model, start=start, notes=tuple(parts.notes),
        )  # fmt: skip

    @functools.cached_property
    def covs(self) -> Float[np.ndarray, "t k d d"]:
        """The covariances of the components."""
        return np.asarray(self.factors @ np.swapaxes(self.factors, -1, -2))

    @functools.cached_property
    def mean(self) -> Float[np.ndarray, "t d"]:
        """The means of the mixture of the components."""
        return np.asarray(np.einsum("k,tkd->td", self.weights, self.means))

    @functools.cached_property
    def cov(self) -> Float[np.ndarray, "t d d"]:
        """The covariances of the mixture of the components: those within and that between them."""
        apart = self.means - self.mean[:, None, :]
        between = np.einsum("k,tki,tkj->tij", self.weights, apart, apart)
        return np.asarray(np.einsum("k,tkij->tij", self.weights, self.covs) + between)

    def mixture(self, index: int = -1) -> Mixture:
        """The mixture of the components at `ts[index]`."""
        pairs = zip(self.means[index], self.factors[index], strict=True)
        return Mixture(self.weights, [Gaussian(m, factor) for m, factor in pairs])

    @functools.cached_property
    def errors(self) -> dict[str, ClosureErrors]:
        """By closure (whole, components), how far it is from the tokens."""
        run, cloud = self.whole, self.tokens.tokens
        one, seed = np.ones(1), self.seed
        whole = [
            sliced_to_mixture(x, one, m[None], L[None], directions=DIRECTIONS, seed=seed)
            for x, m, L in zip(cloud, run.mean, run.factor, strict=False)
        ]
        parts = [
            sliced_to_mixture(x, self.weights, m, L, directions=DIRECTIONS, seed=seed)
            for x, m, L in zip(cloud, self.means, self.factors, strict=False)
        ]
        return {
            "whole": self._errors(run.mean, run.cov, np.array(whole)),
            "components": self._errors(self.mean, self.cov, np.array(parts)),
        }

    @property
    def component_errors(self) -> tuple[Float[np.ndarray, "t k"], Float[np.ndarray, "t k"]]:
        """Errors of mean and covariance of each component, against the tokens that were drawn from it.

        The mean relative to the spread of those tokens, the covariance to its norm. A component from which
        no token was drawn has the errors 0.
        """
        both = min(len(self.ts), len(self.tokens.ts))
        mean, cov = np.zeros((both, self.weights.size)), np.zeros((both, self.weights.size))
        for j in np.unique(self.labels):
            cloud = self.tokens.tokens[:both, self.labels == j]
            measured = cloud.mean(axis=1), token_covariance(cloud)
            spread = np.sqrt(np.trace(measured[1], axis1=1, axis2=2))
            mean[:, j] = _ratio(np.linalg.norm(measured[0] - self.means[:both, j], axis=1), spread)
            sizes = np.linalg.norm(measured[1], axis=(1, 2))
            cov[:, j] = _ratio(np.linalg.norm(measured[1] - self.covs[:both, j], axis=(1, 2)), sizes)
        return mean, cov

    @property
    def verdict(self) -> str:
        """In words: how far each closure is from the tokens at the last time, and what may have been expected."""
        n = self.labels.size
        lines = [] if not self.exact else ["the mixture stays a mixture: its components are exact"]
        for name, rows in self.errors.items():
            if rows.ts.size:
                at = ", ".join(f"{what} {100 * getattr(rows, what)[-1]:.2g} %" for what in NAMES)
                lines.append(f"closure of the {name} against {n} tokens at t = {rows.ts[-1]:.4g}: {at}")
        if self.whole.status is not Status.REACHED_END:
            lines.append(f"the closure of the whole ended with {self.whole.status.value} at t = {self.whole.until:.4g}")
        if self.status is not Status.REACHED_END:
            lines.append(f"the components ended with {self.status.value} at t = {float(self.ts[-1:].sum()):.4g}")
        lines.append(f"sampling alone: mean about {100 / np.sqrt(n):.2g} %")
        residual = float(np.sqrt(self.weights @ np.square(self.defect.residual)))
        lines.append(f"at t = 0 the components leave their closure at most at the speed {residual:.4g} (in W_2)")
        return "\n".join(lines)

    def plot(self) -> Any:
        """A Figure: for d = 2 the tokens and the ellipses of the components at the last time; the errors by depth.

        Raises BadInput when no time was reached.
        """
        from ..report.mixture import mixture_figure

        rows = {name: (e.ts, e.mean, e.cov, e.sliced) for name, e in self.errors.items()}
        clouds = self.tokens.tokens[[0, -1]] if len(self.tokens.ts) else self.tokens.tokens
        return mixture_figure(self.ts, self.means, self.covs, rows, tokens=clouds, labels=self.labels)

    def to_dict(self) -> dict[str, Any]:
        """The moments and errors as JSON-able data with a `schema_version`; the tokens are in `to_dataset`."""
        return {
            "schema_version": SCHEMA,
            "status": self.status.value,
            "exact": self.exact,
            "verdict": self.verdict,
            "seed": self.seed,
            "ts": self.ts.tolist(),
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covs": self.covs.tolist(),
            "mean": self.mean.tolist(),
            "cov": self.cov.tolist(),
            "errors": {name: rows.to_dict() for name, rows in self.errors.items()},
            "skewness_rate": np.asarray(self.defect.skewness_rate).tolist(),
            "residual": np.asarray(self.defect.residual).tolist(),
            "notes": list(self.notes),
        }

    def to_dataset(self) -> xr.Dataset:
        """Components, tokens, moments and errors as a labelled dataset, with the problem and provenance."""
        import xarray as xr

        from ..files.description import describe
        from ..files.provenance import provenance

        arrays: dict[str, Any] = {
            "component_mean": (("time", "component", "dim"), self.means),
            "component_factor": (("time", "component", "dim", "rank"), self.factors),
            "mean": (("time", "dim"), self.mean),
            "cov": (("time", "dim", "dim_"), self.cov),
            "whole_mean": (("time_whole", "dim"), self.whole.mean),
            "whole_cov": (("time_whole", "dim", "dim_"), self.whole.cov),
            "tokens": (("time_tokens", "token", "dim"), self.tokens.tokens),
            "label": ("token", self.labels),
            "skewness_rate": ("component", self.defect.skewness_rate),
            "residual": ("component", self.defect.residual),
        }
        for name, rows in self.errors.items():
            arrays |= {f"{name}_error_{what}": (f"time_error_{name}", getattr(rows, what)) for what in NAMES}
        clocks = {f"time_error_{name}": rows.ts for name, rows in self.errors.items()}
        clocks |= {"time": self.ts, "time_whole": self.whole.ts, "time_tokens": self.tokens.ts}
        head = {key: self.to_dict()[key] for key in ("schema_version", "status", "exact", "verdict", "seed", "notes")}
        attributes = {"kind": "mixture", **head, "model": describe(self.model), "provenance": provenance()}
        clocks |= {"weight": ("component", self.weights)}  # type: ignore[dict-item]
        return xr.Dataset(arrays, clocks, {name: json.dumps(value) for name, value in attributes.items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the run to a NetCDF file, whole or not at all.

        Raises BadInput when `path` cannot be written.
        """
        from ..files.results import write_dataset

        write_dataset(self.to_dataset(), path)

    def _errors(self, mean: np.ndarray, cov: np.ndarray, sliced: np.ndarray) -> ClosureErrors:
        both, run = len(sliced), self.tokens
        spread = np.sqrt(np.trace(run.cov[:both], axis1=1, axis2=2))
        far = np.linalg.norm(run.mean[:both] - mean[:both], axis=1)
        off = np.linalg.norm(run.cov[:both] - cov[:both], axis=(1, 2))
        sizes = np.linalg.norm(run.cov[:both], axis=(1, 2))
        return ClosureErrors(
            run.ts[:both], _ratio(far, spread), _ratio(off, sizes), _ratio(np.sqrt(self.start.dim) * sliced, spread)
        )

    def __repr__(self) -> str:
        """The verdict behind one line: status, times, sizes."""
        head = f"MixtureRun({self.status.value}, {self.ts.size} times, {self.weights.size} components"
        return f"{head}, n = {self.labels.size}, d = {self.start.dim})\n{self.verdict}"


def _ratio(error: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Errors over sizes, but over no less than a share of the largest size, which may vanish when all collapses."""
    floor = max(COLLAPSED * float(size.max(initial=0.0)), 1e-300)
    return np.asarray(error / np.maximum(size, floor))
