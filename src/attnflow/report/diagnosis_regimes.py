"""Trace and mean by layer for prescribed signs of V and B in the blocks of a network (Figure 4 of the paper)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import MUTED, new_figure
from .diagnosis_bands import HIGH, LOW, quantile_band
from .diagnosis_drawing import COLORS, MARKERS, STYLES, choose_scale, draw_band, legend_above, open_panel
from .overview import save

Curves = Mapping[str, Float[np.ndarray, "b l+1"]]


@dataclasses.dataclass(frozen=True)
class Regimes:
    """Curves by layer for each sign pair, named like "(-, +)".

    `trace` and `mean_norm` map a name to values (batches, layers + 1); a value that is not finite has left the range of
    the numbers. `predicted` maps names to a trace (layers + 1,) that a theory gives, drawn thin.
    """

    trace: Curves
    mean_norm: Curves
    predicted: Mapping[str, Float[np.ndarray, " l+1"]] = dataclasses.field(default_factory=dict)


def regimes_figure(
    cases: Mapping[str, Regimes],
    *,
    title: str | None = None,
    note: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Two rows, covariance trace and norm of the mean, with a column for each of `cases`, such as damped and undamped.

    Lines are medians over the batches, bands hold all but a tenth of them on either side. A cross ends a curve whose
    next value is no finite number. `title` stands on top, `note` below; with `path` the figure is written there.

    Raises BadInput when `path` cannot be written.
    """
    figure = new_figure(5.6 * len(cases), 6.6)
    axes = figure.subplots(2, len(cases), squeeze=False)
    for column, (name, case) in zip(axes.T, cases.items(), strict=True):
        _draw(column[0], case.trace, f"{name}: trace of the covariance", case.predicted)
        _draw(column[1], case.mean_norm, f"{name}: norm of the mean", {})
    if title is not None:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    within = f"from {100 * LOW:.0f} % to {100 * HIGH:.0f} % of the batches"
    bands = f"Pairs are the signs of (V, B). Lines: medians; bands: {within}."
    thin = "Thin: predicted." if any(case.predicted for case in cases.values()) else ""
    figure.supxlabel("\n".join(filter(None, (f"{bands} {thin}", note))), fontsize=8, x=0.01, ha="left", color=MUTED)
    if path is not None:
        save(figure, path)
    return figure


def _draw(ax: Axes, curves: Curves, title: str, predicted: Mapping[str, np.ndarray]) -> None:
    last = max(values.shape[1] for values in curves.values()) - 1
    open_panel(ax, title, along="layer", last=last)
    drawn = []
    for number, (name, values) in enumerate(curves.items()):
        color, marker, style = (choices[number % len(COLORS)] for choices in (COLORS, MARKERS, STYLES))
        shown, x = quantile_band(values), np.arange(values.shape[1])
        draw_band(ax, x, shown, color=str(color), marker=str(marker), style=style, label=name)
        drawn += [shown.low, shown.high]
        _mark_end(ax, shown.middle, str(color))
        if name in predicted:
            ax.plot(np.arange(len(predicted[name])), predicted[name], color=str(color), linewidth=0.8, alpha=0.8)
            drawn.append(np.asarray(predicted[name]))
    choose_scale(ax, *drawn, from_zero=True)
    legend_above(ax, columns=4)


def _mark_end(ax: Axes, middle: np.ndarray, color: str) -> None:
    """A cross at the last finite value, if others would follow."""
    seen = np.flatnonzero(np.isfinite(middle))
    if seen.size and seen[-1] + 1 < middle.size:
        end = seen[-1]
        ax.plot([end], [middle[end]], marker="x", markersize=9, markeredgewidth=2.0, color=color, zorder=5)
        ax.annotate("overflow", (end, middle[end]), xytext=(7, -3), textcoords="offset points", fontsize=7.5,
                    color=color)  # fmt: skip
