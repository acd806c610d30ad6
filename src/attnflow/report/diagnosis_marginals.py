"""The marginal of one coordinate by layer beside its Gaussian, for several models (Figure 3 of the paper)."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from .canvas import MUTED, new_figure, quiet
from .diagnosis_bands import has_values
from .diagnosis_drawing import COLORS, say_inside, shortened
from .overview import save

CELLS = 48
"""Cells of a histogram, over the range that is drawn."""

HALF = 4.0
"""So many standard deviations are drawn on either side of the mean."""

ALIKE = 4.0
"""Panels of a row share their axis of values unless one spread is this many times another."""


def marginals_figure(
    models: Mapping[str, xr.Dataset],
    *,
    columns: int = 6,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """A row of at most `columns` panels for each of `models`, a diagnosis dataset by name: the marginals by layer.

    Each panel shows the coordinate whose variance is the median one at its layer, and the normal density of the same
    mean and variance. The densities come from the stored quantiles. The panels of a row share their axis of values,
    unless the spreads are too unequal. `title` stands on top; with `path` the figure is written there.

    Raises BadInput when `path` cannot be written.
    """
    most = max(min(columns, layers.sizes["layer"]) for layers in models.values())
    figure = new_figure(max(2.1 * most, 5.0), 2.3 * len(models) + 0.7)
    axes = figure.subplots(len(models), most, squeeze=False)
    for row, (name, layers) in zip(axes, models.items(), strict=True):
        chosen = np.unique(np.linspace(0, layers.sizes["layer"] - 1, most).round().astype(int))
        _draw_row(list(row[: chosen.size]), layers, chosen)
        row[0].set_ylabel(shortened(name, 24), fontsize=9, fontweight="bold")
        for ax in row[chosen.size :]:
            ax.set_axis_off()
    if title is not None:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    note = "Blue: the coordinate of median variance. Dashed: the normal density of the same mean and variance."
    figure.supxlabel(note, fontsize=8, x=0.01, ha="left", color=MUTED)
    if path is not None:
        save(figure, path)
    return figure


def moments_of(levels: Float[np.ndarray, " q"], quantiles: Float[np.ndarray, " q"]) -> tuple[float, float]:
    """Mean and standard deviation of the law with these `quantiles` at the `levels`, both rising.

    Between two levels the quantile is linear; what lies outside them is put at the outermost quantiles, so that both
    are finite and a little too narrow: by 0.2 % of a normal law for levels from 0.001 to 0.999.
    """
    left, right, mass = quantiles[:-1], quantiles[1:], np.diff(levels)
    tails = np.array([levels[0], 1.0 - levels[-1]])
    ends = quantiles[[0, -1]]
    mean = float(mass @ (left + right) / 2 + tails @ ends)
    a, b = left - mean, right - mean
    variance = float(mass @ (a * a + a * b + b * b) / 3 + tails @ (ends - mean) ** 2)
    return mean, float(np.sqrt(max(variance, 0.0)))


def densities(
    levels: Float[np.ndarray, " q"], quantiles: Float[np.ndarray, " q"], edges: Float[np.ndarray, " c+1"]
) -> Float[np.ndarray, " c"]:
    """The mean density between neighbouring `edges` of the law with these `quantiles` at the `levels`."""
    below = np.interp(edges, quantiles, levels, left=levels[0], right=levels[-1])
    return np.asarray(np.diff(below) / np.diff(edges))


def _draw_row(axes: list[Axes], layers: xr.Dataset, chosen: np.ndarray) -> None:
    levels = layers["level"].values
    rows = layers["marginal"].transpose("layer", "level").values[chosen]
    spreads = [moments_of(levels, row) if np.isfinite(row).all() else (0.0, 0.0) for row in rows]
    wide = [spread for _, spread in spreads if spread > 0]
    reach = max((abs(mean) + HALF * spread for mean, spread in spreads), default=1.0)
    shared = bool(wide) and max(wide) < ALIKE * min(wide)
    for ax, layer, row, (mean, spread) in zip(axes, chosen, rows, spreads, strict=True):
        quiet(ax)
        ax.yaxis.set_major_locator(NullLocator())
        ax.grid(visible=False)
        where = int(layers["marginal_coordinate"].values[layer]) if has_values(layers, "marginal_coordinate") else None
        ax.set_title(f"layer {layers['layer'].values[layer]}" + (f", coordinate {where}" if where is not None else ""),
                     fontsize=8.5, loc="left")  # fmt: skip
        if not spread > 0:
            say_inside(ax, "no spread")
            continue
        low, high = (-reach, reach) if shared else (mean - HALF * spread, mean + HALF * spread)
        _draw_marginal(ax, levels, row, (mean, spread), (low, high))


def _draw_marginal(
    ax: Axes, levels: np.ndarray, row: np.ndarray, moments: tuple[float, float], limits: tuple[float, float]
) -> None:
    mean, spread = moments
    cells = np.linspace(mean - HALF * spread, mean + HALF * spread, CELLS + 1)
    ax.stairs(densities(levels, row, cells), cells, fill=True, color=COLORS[0], alpha=0.55)
    x = np.linspace(mean - HALF * spread, mean + HALF * spread, 201)
    normal = np.exp(-0.5 * ((x - mean) / spread) ** 2) / (spread * np.sqrt(2.0 * np.pi))
    ax.plot(x, normal, color=COLORS[1], linewidth=1.4, linestyle="--")
    ax.set_xlim(*limits)
    ax.set_ylim(bottom=0.0)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.annotate(f"sd ≈ {spread:.2g}", (0.98, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=7.5,
                color=MUTED)  # fmt: skip
