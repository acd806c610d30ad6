"""Asymptotic regimes side by side, as in Figure 1 of the paper."""

import os
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import ACCENT, INK, MUTED, WARNING, Covs, Means, Times, new_figure, quiet
from .ellipses import covariance_ellipses
from .moments import eigenvalues_over_time, note_rounding
from .overview import save


class Panel(TypedDict):
    """One regime: `ts` (t,), `mean` (t, 2), `cov` (t, 2, 2), and the `target` (2,) of the mean."""

    title: str
    ts: Times
    mean: Means
    cov: Covs
    target: Float[np.ndarray, " 2"]


def regimes(
    panels: Sequence[Panel],
    *,
    level: float = 1.0,
    count: int = 10,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """One column a regime: ellipses and the mean's way to its target, eigenvalues, distance to the target.

    `level` is the Mahalanobis radius of the ellipses, `count` their number. With `path` the figure is also
    written there, whole or not at all.

    Raises BadInput when a mean is not planar or `path` cannot be written.

    Source: :cite:alcalde2026, Fig. 1.
    """
    figure = new_figure(3.5 * len(panels), 8.0)
    grid = figure.subplots(3, len(panels), squeeze=False, height_ratios=(2.2, 1.0, 1.0))
    for column, panel in zip(grid.T, panels, strict=True):
        _plane(column[0], panel, level, count)
        eigenvalues_over_time(panel["ts"], panel["cov"], ax=column[1])
        _distance(column[2], panel)
        column[1].set_title("", loc="left")
        column[1].set_xlabel("")
    _align(grid)
    if title is not None:
        figure.suptitle(title, fontsize=12)
    if path is not None:
        save(figure, path)
    return figure


def distance_to_target(panel: Panel) -> Times:
    """|mean - target| at each time."""
    distances: Times = np.linalg.norm(panel["mean"] - panel["target"], axis=1)
    return distances


def _plane(ax: Axes, panel: Panel, level: float, count: int) -> None:
    covariance_ellipses(panel["mean"], panel["cov"], panel["ts"], ax=ax, level=level, count=count, colorbar="bottom")
    x, y = panel["target"]
    ax.plot(x, y, marker="+", markersize=13, markeredgewidth=1.8, color=WARNING, zorder=6)
    ax.annotate("target", (x, y), xytext=(7, -11), textcoords="offset points", fontsize=8, color=WARNING, zorder=6)
    ax.set_title(panel["title"], fontsize=10, color=INK)


def _distance(ax: Axes, panel: Panel) -> None:
    quiet(ax)
    distance = distance_to_target(panel)
    ax.semilogy(panel["ts"], np.where(distance > 0, distance, np.nan), color=ACCENT, linewidth=1.8)
    rounding = np.finfo(np.float64).eps * np.linalg.norm(panel["target"])
    ax.axhspan(np.finfo(np.float64).tiny, rounding, color=MUTED, alpha=0.18, linewidth=0, zorder=0)
    ax.set_ylim(rounding / 100.0, 10.0 * np.nanmax(distance))
    ax.set_xlabel("time", fontsize=9)
    if distance.min() < 100.0 * rounding:
        note_rounding(ax, r"rounding: below $\epsilon\,|\mathrm{target}|$")


def _align(grid: np.ndarray) -> None:
    """One scale a row, and words only at its left end."""
    low = np.min([_extent(ax)[0] for ax in grid[0]], axis=0)
    high = np.max([_extent(ax)[1] for ax in grid[0]], axis=0)
    for ax in grid[0]:
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ax.set_aspect("equal", adjustable="box")
    for row in grid[1:]:
        for ax in row:
            ax.set_ylim(min(other.get_ylim()[0] for other in row), max(other.get_ylim()[1] for other in row))
    for ax in grid[0, 1:]:
        ax.set_ylabel("")
    grid[1, 0].set_ylabel("eigenvalues of\nthe covariance", fontsize=9)
    grid[2, 0].set_ylabel("distance of the mean\nto the target", fontsize=9)


def _extent(ax: Axes) -> tuple[np.ndarray, np.ndarray]:
    box = ax.dataLim.get_points()
    pad = 0.05 * (box[1] - box[0]).max()
    return box[0] - pad, box[1] + pad
