"""Distances to the Gaussian of the same moments by layer, for several models (Figure 2 of the paper)."""

from __future__ import annotations

import os
from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from .canvas import MUTED, new_figure
from .diagnosis_bands import how_to_read
from .diagnosis_drawing import shortened
from .diagnosis_states import MMD, RAW, SCALED, draw_curve
from .overview import save


def distances_figure(
    models: Mapping[str, xr.Dataset], *, title: str | None = None, path: str | os.PathLike[str] | None = None
) -> Figure:
    """A row of three panels for each of `models`, a diagnosis dataset by name: sliced W2 scaled, MMD, sliced W2.

    Lines are medians over the batches or sequences, bands hold all but a tenth of them on either side, and grey is the
    floor: what independent Gaussian tokens would have. The sliced distance that is not scaled shrinks with the trace,
    and so is shown last. `title` stands on top; with `path` the figure is written there.

    Raises BadInput when `path` cannot be written.
    """
    figure = new_figure(11.6, 2.7 * len(models) + 0.5)
    axes = figure.subplots(len(models), 3, squeeze=False)
    for row, (name, layers) in zip(axes, models.items(), strict=True):
        for ax, curve in zip(row, (SCALED, MMD, RAW), strict=True):
            draw_curve(ax, layers, curve)
        row[0].set_ylabel(shortened(name, 24), fontsize=10, fontweight="bold")
    if title is not None:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    notes = dict.fromkeys(how_to_read(layers) for layers in models.values())
    figure.supxlabel("\n".join(notes), fontsize=8, x=0.01, ha="left", color=MUTED)
    if path is not None:
        save(figure, path)
    return figure
