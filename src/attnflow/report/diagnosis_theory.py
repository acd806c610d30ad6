"""The panels of what was predicted: the R² of the Gaussian field by block, the logits of the heads, the growth rate."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .canvas import INK, MUTED
from .diagnosis_bands import Band, band, has_values, repeated
from .diagnosis_drawing import (
    COLORS,
    MARKERS,
    draw_band,
    legend_above,
    log_axis,
    mark_missing,
    open_panel,
    reference,
    say_inside,
)

CUT = -1.0
"""An R² below this is drawn here, with its number beside it."""

MANY = 12
"""With more blocks than this, numbers stand upright."""

PREDICTORS = (
    ("r2", "r2_ceiling", "mean field", -0.16),
    ("r2_finite_n", "r2_finite_n_ceiling", "finite n", 0.16),
)
"""For each predictor its R², its ceiling, its name, and how far beside the block it is drawn."""

BESIDE = (("r2_control", "same moments, another law", "x"), ("r2_mean_only", "mean only", "+"))


def draw_r2(ax: Axes, layers: xr.Dataset) -> None:
    """The R² of both predictors by block of `layers` on `ax`, each under its ceiling, with the control and mean only.

    Full marks are trusted in most repeats, open ones are not.
    """
    blocks = _open(ax, layers, "R² of the predicted attention output (full mark: trusted)")
    upright = blocks.size > MANY
    ax.set_ylim(-1.62 if upright else -1.34, 1.1)
    ticks = (-1.0, -0.5, 0.0, 0.5, 1.0)
    ax.set_yticks(ticks, ["< −1", *(f"{tick:g}".replace("-", "−") for tick in ticks[1:])])
    if not has_values(layers, "r2"):
        say_inside(ax, "no prediction for any block")
        return
    reference(ax, 0.0)
    for (name, ceiling, label, aside), color, marker in zip(PREDICTORS, COLORS, MARKERS, strict=False):
        if has_values(layers, name):
            _draw_ceiling(ax, blocks + aside, band(layers, ceiling), color, "its ceiling")
            _draw_predictor(ax, blocks + aside, band(layers, name), _trusted(layers), color, marker, label)
    for name, label, mark in BESIDE:
        if has_values(layers, name):
            _draw_marks(ax, blocks, _beside(layers, name), mark, label)
    _write_cut(ax, blocks, layers, upright=upright)
    mark_missing(ax, ~np.isfinite(band(layers, "r2").middle))
    legend_above(ax, columns=7)


def draw_logits(ax: Axes, layers: xr.Dataset) -> None:
    """The logit variance of each head of `layers` on `ax` (medians over the repeats), and 2 log n."""
    blocks = _open(ax, layers, "logit variance of the heads")
    if not has_values(layers, "logit_variance"):
        say_inside(ax, "no heads to show")
        return
    heads = band(layers.transpose(repeated(layers), "block", "head", ...), "logit_variance").middle
    heads = np.where(heads > 0, heads, np.nan)
    ax.plot(np.repeat(blocks, heads.shape[1]), heads.ravel(), linestyle="none", marker="o", markersize=3.2,
            color=COLORS[0], alpha=0.5, markeredgewidth=0, label="a head")  # fmt: skip
    drawn = [heads]
    if has_values(layers, "two_log_n"):
        limit = band(layers, "two_log_n")
        ax.fill_between(blocks, limit.low, limit.high, color=COLORS[1], alpha=0.2, linewidth=0)
        ax.plot(blocks, limit.middle, color=COLORS[1], linewidth=1.4, marker="_", label="2 log n")
        drawn.append(limit.middle)
    seen = np.concatenate([values[np.isfinite(values)] for values in drawn])
    if seen.size and seen.min() > 0:
        log_axis(ax, float(seen.min()), float(seen.max()))
    mark_missing(ax, ~np.isfinite(heads).any(axis=1))
    legend_above(ax)


def draw_growth(ax: Axes, layers: xr.Dataset) -> None:
    """The growth rate of the trace by attention alone, predicted and measured, by block of `layers` on `ax`."""
    blocks = _open(ax, layers, "growth rate of the trace by attention")
    if not has_values(layers, "measured_growth"):
        say_inside(ax, "no heads to show")
        return
    reference(ax, 0.0)
    for name, label, color, marker in (
        ("measured_growth", "measured", COLORS[0], "o"),
        ("predicted_growth", "predicted", COLORS[1], "s"),
    ):
        if has_values(layers, name):
            draw_band(ax, blocks, band(layers, name), color=color, label=label, marker=marker)
    mark_missing(ax, ~np.isfinite(band(layers, "measured_growth").middle))
    legend_above(ax)


def _open(ax: Axes, layers: xr.Dataset, title: str) -> np.ndarray:
    blocks = layers["block"].values
    open_panel(ax, title, along="block", last=int(blocks[-1]))
    return np.asarray(blocks, np.float64)


def _trusted(layers: xr.Dataset) -> np.ndarray:
    if "valid" in layers:
        return np.asarray(layers["valid"].values.astype(bool))
    if "trusted" not in layers:
        return np.zeros(layers.sizes["block"], bool)
    return np.asarray(layers["trusted"].mean(repeated(layers)).values > 0.5)


def _beside(layers: xr.Dataset, name: str) -> np.ndarray:
    """The values by block; the control of the finite-n prediction where there is one."""
    values = np.array(band(layers, name).middle)
    corrected = name.replace("r2_", "r2_finite_n_")
    if has_values(layers, corrected):
        own = band(layers, corrected).middle
        values[np.isfinite(own)] = own[np.isfinite(own)]
    return values


def _draw_ceiling(ax: Axes, x: np.ndarray, shown: Band, color: str, label: str) -> None:
    ax.plot(x, np.maximum(shown.middle, CUT), linestyle="none", marker="_", markersize=9, markeredgewidth=1.8,
            color=color, alpha=0.55, label=label)  # fmt: skip


def _draw_predictor(
    ax: Axes, x: np.ndarray, shown: Band, trusted: np.ndarray, color: str, marker: str, label: str
) -> None:
    """A mark for each block with its band as a bar: full when trusted, a triangle where it is cut."""
    low, high = np.maximum(shown.low, CUT), np.maximum(shown.high, CUT)
    ax.vlines(x, low, high, color=color, linewidth=3.0, alpha=0.3)
    place = np.maximum(shown.middle, CUT)
    cut = shown.middle < CUT
    for chosen, mark, face, name in (
        (~cut & trusted, marker, color, "_"),
        (~cut & ~trusted, marker, "white", "_"),
        (cut, "v", "white", "_"),
        (np.zeros_like(cut), marker, color, label),
    ):
        ax.plot(x[chosen], place[chosen], linestyle="none", marker=mark, markersize=5, markerfacecolor=face,
                markeredgecolor=color, markeredgewidth=1.2, color=color, label=name, zorder=4)  # fmt: skip


def _draw_marks(ax: Axes, x: np.ndarray, values: np.ndarray, mark: str, label: str) -> None:
    color = INK if mark == "x" else MUTED
    cut = values < CUT
    for chosen, shape, name in ((~cut, mark, label), (cut, "1", "_")):
        ax.plot(x[chosen], np.maximum(values[chosen], CUT), linestyle="none", marker=shape, markersize=5,
                markeredgewidth=1.1, color=color, label=name, zorder=3)  # fmt: skip


def _write_cut(ax: Axes, x: np.ndarray, layers: xr.Dataset, *, upright: bool) -> None:
    """Below each cut mark its number: that of the finite-n predictor where it is cut, else the mean-field one."""
    written = np.full(x.size, np.nan)
    colors = [INK] * x.size
    for (name, _, _, _), color in zip(PREDICTORS, COLORS, strict=False):
        if not has_values(layers, name):
            continue
        middle = band(layers, name).middle
        for block in np.flatnonzero(middle < CUT):
            written[block], colors[block] = middle[block], color
    for block in np.flatnonzero(np.isfinite(written)):
        ax.annotate(_short(written[block]), (x[block], CUT), xytext=(0, -6), textcoords="offset points", ha="center",
                    va="top", fontsize=7, color=colors[block], rotation=90 if upright else 0)  # fmt: skip


def _short(value: float) -> str:
    """At most five letters, so that neighbours stay apart."""
    text = f"{value:.1f}" if value > -100 else f"{value:.0f}" if value > -1000 else f"{value:.0e}".replace("e+0", "e")
    return text.replace("-", "−")
