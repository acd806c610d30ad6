"""The panels of a comparison of two models: how far each layer drifted, and how much the outputs turned."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .diagnosis_bands import Band, has_values
from .diagnosis_drawing import COLORS, choose_scale, draw_band, legend_above, open_panel, reference, say_inside

BINS = 40
NARROW = 1e-3
"""Cosines closer to 1 than this are drawn on an axis of this width: what is below is rounding or next to it."""

WORTH_SAYING = 0.1
"""A share that chance keeps and that is said."""


def draw_drift(ax: Axes, comparison: xr.Dataset) -> None:
    """The drift by layer of a `comparison` on `ax` with its bootstrap intervals, and where it starts if that is known.

    The start is the attribute "drift_start", a layer; another value is not drawn.
    """
    x = np.arange(comparison.sizes.get("layer", 1))
    open_panel(ax, "drift by layer, relative to the spread between inputs", along="layer", last=int(x[-1]))
    if not has_values(comparison, "drift"):
        say_inside(ax, "no drift: the two models have unequal widths or depths")
        return
    drift = comparison["drift"].values
    if not np.any(drift):
        say_inside(ax, "no drift: all states of the two models agree")
        return
    shown = Band(comparison["drift_low"].values, drift, comparison["drift_high"].values)
    draw_band(ax, x, shown, color=COLORS[0], label="with its bootstrap interval" if _interval(shown) else "_")
    choose_scale(ax, shown.low, shown.high, drift, from_zero=True)
    start = comparison.attrs.get("drift_start")
    if start is not None and float(start) in x:
        ax.axvline(float(start), color=COLORS[1], linewidth=1.2, linestyle="--", label=f"starts at layer {int(start)}")
    legend_above(ax)


def draw_cosines(ax: Axes, comparison: xr.Dataset) -> None:
    """A histogram of the output cosines of a `comparison` on `ax`, with their median."""
    open_panel(ax, "cosine of the two outputs")
    if not has_values(comparison, "cosine"):
        say_inside(ax, "no cosine: the two outputs have unequal widths")
        return
    cosine = comparison["cosine"].values
    cosine = cosine[np.isfinite(cosine)]
    low = min(float(cosine.min()), 1.0 - NARROW)
    ax.hist(np.minimum(cosine, 1.0), bins=np.linspace(low, 1.0, BINS + 1).tolist(), color=COLORS[0], alpha=0.85)
    median = float(np.median(cosine))
    ax.axvline(median, color=COLORS[1], linewidth=1.3, linestyle="--", label=f"median {median:.4g}")
    ax.set_xlim(low - 0.02 * (1.0 - low), 1.0 + 0.02 * (1.0 - low))
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel("cosine", fontsize=8.5, labelpad=2)
    ax.set_ylabel("inputs", fontsize=8.5)
    reference(ax, 0.0)
    legend_above(ax)


def headline(comparison: xr.Dataset) -> str:
    """The share of neighbours kept, if a `comparison` has their "overlap": a line below its panels."""
    if not has_values(comparison, "overlap"):
        return ""
    kept = f"Against the other model: {100 * float(comparison['overlap'].mean()):.0f} % of the neighbours kept"
    chance = float(comparison.attrs.get("overlap10_chance", 0.0))
    return f"{kept} ({100 * chance:.0f} % by chance)." if chance > WORTH_SAYING else f"{kept}."


def _interval(shown: Band) -> bool:
    return bool(np.nanmax(shown.high - shown.low) > 0)
