"""The moments over time, for any dimension: trace, eigenvalues, norm of the mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D

from .._check import BadInput
from .canvas import (
    ACCENT,
    INDEX_COLORS,
    MUTED,
    WARNING,
    Covs,
    Means,
    Times,
    axes_or_new,
    new_figure,
    quiet,
    time_axis,
    travelled,
)

LOG_SPAN = 30.0
"""A positive quantity that varies by more than this factor gets a logarithmic axis."""

FAR = 1.5
"""A blow-up later than this times the last time is not drawn but named."""


@dataclass(frozen=True)
class Eigenvalues:
    """The artists of `eigenvalues_over_time`: one line an eigenvalue, largest first, and the band of rounding."""

    axes: Axes
    lines: tuple[Line2D, ...]
    floor: PolyCollection


@dataclass(frozen=True)
class MomentsOverTime:
    """The artists of `moments_over_time`."""

    axes: tuple[Axes, Axes, Axes]
    trace: Line2D
    eigenvalues: Eigenvalues
    mean_norm: Line2D


def moments_over_time(
    ts: Times,
    mean: Means,
    cov: Covs,
    *,
    axes: Sequence[Axes] | None = None,
    blow_up: tuple[float, float, float] | None = None,
) -> MomentsOverTime:
    """Draw the trace and the eigenvalues of `cov` (t, d, d) and the norm of `mean` (t, d) over `ts` (t,).

    `axes`: three axes for the three, or None for a new figure. `blow_up`: (lower, upper, estimate) of the
    blow-up time; the estimate is a dashed line, the bracket a band.

    Raises BadInput when `axes` are not three.
    """
    places = tuple(new_figure(11.0, 3.2).subplots(1, 3)) if axes is None else tuple(axes)
    if len(places) != 3:
        raise BadInput(f"`axes` must be three axes (trace, eigenvalues, mean norm): {len(places)} were found.")
    trace_ax, eigen_ax, mean_ax = places
    trace = _curve(trace_ax, ts, np.trace(cov, axis1=1, axis2=2), "trace of the covariance")
    eigenvalues = eigenvalues_over_time(ts, cov, ax=eigen_ax)
    mean_norm = _curve(mean_ax, ts, np.linalg.norm(mean, axis=1), "norm of the mean")
    share = travelled(mean, cov)
    for ax in places:
        time_axis(ax, ts, share)
        mark_blow_up(ax, blow_up, last=float(ts[-1]))
    return MomentsOverTime((trace_ax, eigen_ax, mean_ax), trace, eigenvalues, mean_norm)


def eigenvalues_over_time(ts: Times, cov: Covs, *, ax: Axes | None = None) -> Eigenvalues:
    """Draw the eigenvalues of `cov` (t, d, d) over `ts` (t,) on a logarithmic axis.

    Eigenvalues at or below d * eps * largest (of the same time) are rounding: their lines end where they fall
    below, and the region is grey.
    """
    ax = axes_or_new(ax)
    quiet(ax)
    values, floor = visible_eigenvalues(cov)
    ax.set_yscale("log")
    colors = INDEX_COLORS(np.linspace(0.0, 1.0, values.shape[1]))
    width = 1.8 if values.shape[1] <= 10 else 0.9
    lines = [
        line
        for column, color in zip(values.T, colors, strict=True)
        for line in ax.plot(ts, column, color=color, linewidth=width)
    ]
    bottom = np.finfo(np.float64).tiny
    band = ax.fill_between(ts, np.maximum(floor, bottom), bottom, color=MUTED, alpha=0.18, linewidth=0, zorder=0)
    _limit(ax, values, floor)
    if np.isnan(values).any() and np.isfinite(values).any():
        note_rounding(ax, r"rounding: below $d\,\epsilon\,\lambda_{\max}$")
    ax.set_title("eigenvalues of the covariance", fontsize=9, loc="left")
    ax.set_xlabel("time", fontsize=9)
    return Eigenvalues(ax, tuple(lines), band)


def visible_eigenvalues(cov: Covs) -> tuple[Float[np.ndarray, "t d"], Float[np.ndarray, " t"]]:
    """Eigenvalues, largest first, NaN where they are rounding; and the level d * eps * largest below which they are."""
    values = np.linalg.eigvalsh(cov)[:, ::-1]
    floor = cov.shape[-1] * np.finfo(np.float64).eps * np.clip(values[:, 0], 0.0, None)
    return np.where(values > floor[:, None], values, np.nan), floor


def mark_blow_up(ax: Axes, blow_up: tuple[float, float, float] | None, *, last: float) -> None:
    """Mark the (lower, upper, estimate) of a blow-up time on an axis of times up to `last`.

    An infinite upper bound reaches to the edge. A blow-up far beyond `last` is only named, since drawing it
    would press the trajectory into a corner.
    """
    if blow_up is None:
        return
    lower, upper, estimate = blow_up
    if estimate > FAR * last:
        _write(ax, f"blow-up at {estimate:.4g} $\\rightarrow$", (0.98, 0.97), rotation=0.0, ha="right")
        return
    ax.axvline(estimate, color=WARNING, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    ax.set_xlim(right=max(ax.get_xlim()[1], 1.12 * estimate))
    edge = ax.get_xlim()[1]
    ax.axvspan(lower, min(upper, edge), color=WARNING, alpha=0.15, linewidth=0, zorder=0)
    ax.set_xlim(right=edge)
    place = ax.transAxes.inverted().transform(ax.transData.transform((estimate, 1.0)))[0]
    _write(ax, f"blow-up {estimate:.4g}", (float(place) + 0.015, 0.97), rotation=90.0, ha="left")


def note_rounding(ax: Axes, text: str) -> None:
    """Explain a grey region at the bottom of `ax`."""
    ax.annotate(
        text, (0.0, 0.0), xycoords="axes fraction", xytext=(5, 4), textcoords="offset points", fontsize=7.5, color=MUTED
    )


def _curve(ax: Axes, ts: Times, values: Times, label: str) -> Line2D:
    quiet(ax)
    (line,) = ax.plot(ts, values, color=ACCENT, linewidth=1.8)
    positive = values[values > 0]
    if positive.size == values.size and positive.max() > LOG_SPAN * positive.min():
        ax.set_yscale("log")
    ax.set_title(label, fontsize=9, loc="left")
    return line


def _write(ax: Axes, text: str, place: tuple[float, float], *, rotation: float, ha: str) -> None:
    ax.text(*place, text, transform=ax.transAxes, rotation=rotation, ha=ha, va="top", fontsize=7.5, color=WARNING)


def _limit(ax: Axes, values: np.ndarray, floor: np.ndarray) -> None:
    seen = values[np.isfinite(values)]
    if not seen.size:
        ax.set_ylim(1e-1, 1e1)
        ax.text(0.5, 0.5, "the covariance is zero", transform=ax.transAxes, ha="center", color=MUTED, fontsize=9)
        return
    singular = np.isnan(values).any()
    low = min(seen.min(), floor.max()) / 100.0 if singular else seen.min() / 3.0
    ax.set_ylim(low, seen.max() * 3.0)
