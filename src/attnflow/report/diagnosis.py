"""The one picture of a diagnosis: what changed, what was measured by layer, what was predicted."""

from __future__ import annotations

import os
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from .canvas import MUTED, new_figure
from .diagnosis_bands import how_to_read
from .diagnosis_comparison import draw_cosines, draw_drift, headline
from .diagnosis_states import (
    COSINE,
    MEAN_NORM,
    MMD,
    RANK,
    SCALED,
    TRACE,
    draw_curve,
    draw_massive,
    draw_spectrum,
)
from .diagnosis_theory import draw_growth, draw_logits, draw_r2
from .overview import save

WIDTH = 11.6
ROW = 2.55
"""The height of a row of panels, in inches."""


def diagnosis_figure(
    layers: xr.Dataset,
    comparison: xr.Dataset | None = None,
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """One picture of a diagnosis: `layers` are its measurements, `comparison` those against another model.

    Three rows show the states by layer: trace, mean, token cosine; effective rank, spectrum, massive tokens; the
    distances to the Gaussian with their floors, and the growth rate. The last row shows the R² of the predictions and
    the logits of the heads. A comparison stands above them all. Bands hold all but a tenth of the batches or sequences
    on either side. With `path` the figure is written there, in the format of its suffix; `title` stands on top.

    Raises BadInput when `path` cannot be written.
    """
    rows = 4 if comparison is None else 5
    figure = new_figure(WIDTH, ROW * rows + 0.5)
    grid = figure.add_gridspec(rows, 3)
    first = 0
    if comparison is not None:
        draw_drift(figure.add_subplot(grid[0, :2]), comparison)
        draw_cosines(figure.add_subplot(grid[0, 2]), comparison)
        first = 1
    _draw_states(figure, grid, first, layers)
    draw_r2(figure.add_subplot(grid[first + 3, :2]), layers)
    draw_logits(figure.add_subplot(grid[first + 3, 2]), layers)
    if title is not None:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    note = " ".join(filter(None, (headline(comparison) if comparison is not None else "", how_to_read(layers))))
    figure.supxlabel(note, fontsize=8, x=0.01, ha="left", color=MUTED)
    if path is not None:
        save(figure, path)
    return figure


def _draw_states(figure: Figure, grid: Any, first: int, layers: xr.Dataset) -> None:
    for row, column, curve in (
        (0, 0, TRACE), (0, 1, MEAN_NORM), (0, 2, COSINE), (1, 0, RANK), (2, 0, SCALED), (2, 1, MMD)
    ):  # fmt: skip
        draw_curve(figure.add_subplot(grid[first + row, column]), layers, curve)
    draw_spectrum(figure.add_subplot(grid[first + 1, 1]), layers)
    draw_massive(figure.add_subplot(grid[first + 1, 2]), layers)
    draw_growth(figure.add_subplot(grid[first + 2, 2]), layers)
