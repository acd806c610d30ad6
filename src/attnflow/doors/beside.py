"""`tokens_beside`: n tokens drawn from the start of a run, moved beside it, and how far they are from its Gaussian."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

from .._check import BadInput, times
from .._types import ArrayLike
from ..flow.leg import Progress
from ..flow.outcome import Status
from ..measures import mmd
from ..measures.distances import bures_wasserstein, sampling_floor, sliced_wasserstein
from ..measures.gaussian import Gaussian
from ..measures.tokens import Tokens
from ..transformer.depth import Model
from .run import Run
from .simulate import simulate
from .token_run import TokenRun

if TYPE_CHECKING:
    import xarray as xr

DIRECTIONS = 128
COLLAPSED, SMALLEST = 1e-3, 1e-100
"""Errors are relative to the spread of the Gaussian, but to no less than a share of its largest size."""
EVEN, MOST_LAYERS = 21, 33
BEFORE_BLOW_UP = 0.995
RTOL = 1e-6
NAMES = ("bures", "sliced", "mmd")
TITLES = {
    "bures": "Bures-Wasserstein, relative to sqrt(tr cov)",
    "sliced": "sliced Wasserstein, relative to sqrt(tr cov / d)",
    "mmd": "MMD, kernel width sqrt(tr cov)",
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Beside:
    """`n` tokens beside a Gaussian flow: distances by name (bures, sliced, mmd), each (t,), at the times `ts` (t,).

    `distances["bures"]` is that of the moments, relative to sqrt(tr cov) of the Gaussian; `["sliced"]` that of the
    tokens, relative to sqrt(tr cov / d); `["mmd"]` the root of the squared discrepancy with kernel width sqrt(tr cov).
    `floors` has by the same names what n independent points of that Gaussian would show: the root of the mean square.
    `status` says how the tokens ended, `tokens` is their run, `seed` drew them.

    Source: this package, docs/theory/trust.md, section 5.
    """

    n: int
    seed: int
    status: Status
    ts: Float[np.ndarray, " t"]
    distances: dict[str, Float[np.ndarray, " t"]]
    floors: dict[str, Float[np.ndarray, " t"]]
    tokens: TokenRun

    @property
    def points(self) -> Float[np.ndarray, "t n d"]:
        """The tokens at the times `ts`."""
        return np.asarray(self.tokens.tokens[np.searchsorted(self.tokens.ts, self.ts)])

    def to_dict(self) -> dict[str, Any]:
        """The distances and floors as JSON-able data."""
        rows = {"distances": self.distances, "floors": self.floors}
        listed = {kind: {name: row.tolist() for name, row in table.items()} for kind, table in rows.items()}
        return {"n": self.n, "seed": self.seed, "status": self.status.value, "ts": self.ts.tolist(), **listed}

    def to_dataset(self) -> xr.Dataset:
        """The distances and floors as variables `tokens_bures`, `tokens_bures_floor`, ... over `tokens_time`."""
        import xarray as xr

        axis = "tokens_time"
        arrays = {f"tokens_{name}": (axis, row, {"long_name": TITLES[name]}) for name, row in self.distances.items()}
        arrays |= {
            f"tokens_{name}_floor": (axis, row, {"long_name": "of n independent points"})
            for name, row in self.floors.items()
        }
        return xr.Dataset(arrays, {axis: self.ts})

    def __repr__(self) -> str:
        """One line: how many, until when, and the last distances beside their floors."""
        if not self.ts.size:
            return f"Beside(n = {self.n}, no time reached)"
        last = ", ".join(f"{name} {self.distances[name][-1]:.3g} ({self.floors[name][-1]:.3g})" for name in NAMES)
        return f"Beside(n = {self.n}, t = {self.ts[-1]:g}: {last})"


def tokens_beside(
    run: Run, n: int, *, ts: ArrayLike | None = None, seed: int = 0, progress: Progress | None = None
) -> Beside:
    """Draw `n` tokens from the start of `run` with `seed`, move them, and measure how far they are from its Gaussian.

    `ts` are the times; without them 21 from 0 to the end of the run, or to a little before its blow-up. Residual layers
    stay residual layers, and are measured behind each layer, or behind 33 of them. `progress` is called with the time
    reached.

    Raises BadInput when `n` is no whole number of at least 2, the start has no spread, the model could not be restored
    from a file, or `ts` are not times that the run reached.

    Source: this package, docs/theory/trust.md, section 5.
    """
    count = _whole(n)
    model = _model(run)
    if run.rank == 0:
        raise BadInput("`run` must start with spread: its covariance is 0, and all tokens would be one point.")
    at = _times(run, ts)
    gaussians = [run.at(float(t)) for t in at]
    drawn = draw(run.start, count, seed=seed)
    options: dict[str, Any] = {"rtol": max(run.options.rtol, RTOL), "max_steps": run.options.max_steps}
    clock: dict[str, Any] = {"ts": at if at.size else np.zeros(1)}
    if run.options.layers is not None:
        clock = {"layers": run.options.layers, "step": run.options.step}
    tokens = simulate(model, drawn, progress=progress, **clock, **options)
    kept = np.isin(at, tokens.ts)
    beside = [gaussian for gaussian, seen in zip(gaussians, kept, strict=True) if seen]
    points = tokens.tokens[np.isin(tokens.ts, at)]
    distances, floors = _measured(points, beside)
    return Beside(count, seed, tokens.status, at[kept], distances, floors, tokens)


def _whole(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 2:
        raise BadInput(f"`n` must be a whole number of tokens, at least 2: {n!r} was found.")
    return int(n)


def _model(run: Any) -> Model:
    if not isinstance(run, Run) or run.model is None:
        raise BadInput("`run` must be the run of a Gaussian with its model: give what attnflow.simulate returned.")
    return run.model


def draw(start: Gaussian, n: int, *, seed: int, round_: int = 0) -> Tokens:
    """`n` independent tokens from `start`; `seed`, n and `round_` together choose them."""
    with jax.enable_x64(True):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), n), round_)
        return Tokens(np.asarray(start.sample(n, key=key)))


def scale_of(mean: Float[np.ndarray, "t d"], spread: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """The `spread` sqrt(tr cov) at each time, but no less than `least_scale` of it and the `mean`."""
    return np.asarray(np.maximum(spread, least_scale(mean, spread)))


def least_scale(mean: Float[np.ndarray, "t d"], spread: Float[np.ndarray, " t"]) -> float:
    """A thousandth of the largest `spread` or `mean` of all times."""
    size = float(np.linalg.norm(mean, axis=1).max(initial=0.0))
    return max(COLLAPSED * max(float(spread.max(initial=0.0)), size), SMALLEST)


def bures_and_sliced(points: Float[np.ndarray, "n d"], gaussian: Gaussian, scale: float) -> tuple[float, float]:
    """The distances of `points` to `gaussian`: of the moments over `scale`, sliced over scale / sqrt(d)."""
    moments = bures_wasserstein(Gaussian.from_tokens(points), gaussian)
    sliced = sliced_wasserstein(points, gaussian, directions=DIRECTIONS)
    return float(moments) / scale, sliced * float(np.sqrt(gaussian.dim)) / scale


def bures_floor(gaussian: Gaussian, n: int) -> float:
    """The root of the mean squared Bures-Wasserstein distance of `n` points of `gaussian` to it, for n >> d.

    With the eigenvalues a_i of the covariance: ((5/4) sum a_i + (1/2) sum_{i,j} a_i a_j / (a_i + a_j)) / n, to leading
    order in 1 / n.

    Source: this package, docs/theory/trust.md, section 5.
    """
    values = np.square(np.linalg.svd(np.asarray(gaussian.factor, dtype=np.float64), compute_uv=False))
    values = values[values > 0]
    pairs = np.sum(1.0 / (1.0 / values[:, None] + 1.0 / values)) if values.size else 0.0
    return float(np.sqrt((1.25 * values.sum() + 0.5 * pairs) / n))


def _times(run: Run, ts: ArrayLike | None) -> np.ndarray:
    if ts is not None:
        return times("ts", ts)
    if run.options.layers is not None or not run.ts.size:
        places = np.linspace(0, run.ts.size - 1, min(MOST_LAYERS, run.ts.size)).round().astype(int)
        return np.asarray(run.ts[np.unique(places)])
    end = run.until if run.status is not Status.BLOW_UP else BEFORE_BLOW_UP * run.until
    return np.linspace(0.0, end, EVEN) if end > 0 else np.zeros(1)


def _measured(
    points: Float[np.ndarray, "t n d"], gaussians: list[Gaussian]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The distances and their floors, by name, at each time."""
    n, size = points.shape[1], len(gaussians)
    means = np.array([gaussian.mean for gaussian in gaussians], dtype=np.float64).reshape(size, points.shape[2])
    spreads = np.array([np.linalg.norm(gaussian.factor) for gaussian in gaussians], dtype=np.float64)
    rows, floors = np.zeros((3, size)), np.zeros((3, size))
    for i, (gaussian, scale) in enumerate(zip(gaussians, scale_of(means, spreads).tolist(), strict=True)):
        square = float(mmd.mmd_squared(points[i], gaussian, bandwidth=scale))
        rows[:, i] = (*bures_and_sliced(points[i], gaussian, scale), np.sqrt(max(square, 0.0)))
        floors[:, i] = (
            bures_floor(gaussian, n) / scale,
            sampling_floor(n) * spreads[i] / scale,
            np.sqrt(mmd.known_floor(gaussian, bandwidth=scale, n=n)),
        )
    return dict(zip(NAMES, rows, strict=True)), dict(zip(NAMES, floors, strict=True))
