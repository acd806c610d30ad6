"""The panels of what was measured by layer: sizes, ranks, distances, spectra, massive tokens."""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import FuncFormatter, NullLocator

from .canvas import MUTED, TIME_COLORS
from .diagnosis_bands import Band, band, has_values, quantile_band, repeated
from .diagnosis_drawing import COLORS, MARKERS, choose_scale, draw_band, legend_above, open_panel, say_inside

DISTANCE_SPAN = 3.0
"""Distances get a logarithmic axis sooner than other quantities: what counts is by which factor they pass the floor."""

SINGLE = 1e-7
"""Eigenvalues below this times the largest are rounding of states in single precision, and are not drawn."""

POINTS = 80
"""So many eigenvalues of a spectrum are drawn, evenly spaced on the logarithmic axis of their index."""

POOLED = "all tokens in one cloud"


@dataclasses.dataclass(frozen=True)
class Curve:
    """One quantity by layer: the variable `name`, the `title` of its panel, the variables of its `floor` and `rank`."""

    name: str
    title: str
    floor: str | None = None
    rank: str | None = None


TRACE = Curve("cov_trace", "trace of the covariance")
MEAN_NORM = Curve("mean_norm", "norm of the mean")
COSINE = Curve("token_cosine", "mean cosine of two tokens")
RANK = Curve("effective_rank", "effective rank of the covariance", rank="numerical_rank")
SCALED = Curve("sliced_w2_scaled", "distance to the Gaussian: SW$_2$ / $\\sqrt{\\mathrm{tr}/d}$", "sliced_w2_floor")
MMD = Curve("mmd", "distance to the Gaussian: MMD", "mmd_floor")
RAW = Curve("sliced_w2", "SW$_2$, not scaled")


def draw_curve(ax: Axes, layers: xr.Dataset, curve: Curve) -> None:
    """Draw one `curve` of `layers` on `ax`: its band, its floor in grey, pooled values dashed."""
    x = layers["layer"].values
    open_panel(ax, curve.title, along="layer", last=int(x[-1]))
    if not has_values(layers, curve.name):
        say_inside(ax, "no value")
        return
    shown = band(layers, curve.name)
    drawn = [shown.low, shown.high]
    if curve.floor is not None and has_values(layers, curve.floor):
        drawn.append(_draw_floor(ax, x, band(layers, curve.floor)))
    if curve.rank is not None and has_values(layers, curve.rank):
        numerical = band(layers, curve.rank).middle
        ax.plot(x, numerical, color=MUTED, linestyle=":", linewidth=1.2, label="numerical rank")
        drawn.append(numerical)
    draw_band(ax, x, shown, color=COLORS[0])
    for name, style, label in (
        (f"pooled_{curve.name}", "--", POOLED),
        (f"pooled_{curve.floor}", ":", "its floor"),
    ):
        if has_values(layers, name):
            pooled = layers[name].values
            ax.plot(x, pooled, color=COLORS[1], linestyle=style, linewidth=1.2, label=label)
            drawn.append(pooled)
    distance = curve.floor is not None or curve is RAW
    choose_scale(ax, *drawn, from_zero=curve is not COSINE, **({"span": DISTANCE_SPAN} if distance else {}))
    legend_above(ax)


def _draw_floor(ax: Axes, x: np.ndarray, floor: Band) -> np.ndarray:
    """The floor, with grey below: a Gaussian sample of the same size lies there."""
    ax.fill_between(x, 0.0 * floor.middle, floor.high, color=MUTED, alpha=0.18, linewidth=0, zorder=0)
    ax.plot(x, floor.middle, color=MUTED, linestyle="--", linewidth=1.1, label="floor")
    return floor.middle


def draw_massive(ax: Axes, layers: xr.Dataset) -> None:
    """The share of massive tokens of `layers` on `ax`, and the channel that most of them use."""
    x = layers["layer"].values
    open_panel(ax, "share of tokens with a massive entry", along="layer", last=int(x[-1]))
    if not has_values(layers, "massive_share"):
        say_inside(ax, "no value")
        return
    shown = band(layers, "massive_share")
    draw_band(ax, x, shown, color=COLORS[0])
    for number, (channel, share) in enumerate(_frequent_channels(layers)):
        color, marker = COLORS[1 + number], MARKERS[1 + number]
        ax.plot(x, share, color=color, marker=marker, markersize=5 - 2 * number, linewidth=1.0, linestyle="--",
                label=f"channel {channel}")  # fmt: skip
    most = float(np.nanmax(shown.high))
    ax.set_ylim(0.0, 1.06 * most if most > 0 else 0.01)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g} %"))
    legend_above(ax)


def _frequent_channels(layers: xr.Dataset, count: int = 2) -> list[tuple[int, np.ndarray]]:
    """The `count` channels with the largest shares, and their shares (median over the repeats) by layer."""
    if "massive_channel" not in layers:
        return []
    over = repeated(layers)
    channels = layers["massive_channel"].transpose(over, "layer", "rank").values
    shares = layers["massive_channel_share"].transpose(over, "layer", "rank").values
    found = []
    for channel in np.unique(channels[channels >= 0]):
        share = np.where(channels == channel, shares, 0.0).sum(axis=2)
        found.append((int(channel), quantile_band(share).middle))
    return sorted(found, key=lambda pair: (-pair[1].max(), pair[0]))[:count]


def draw_spectrum(ax: Axes, layers: xr.Dataset) -> None:
    """The eigenvalues of the covariance of `layers` on `ax`, a line for each layer, the first one dark."""
    open_panel(ax, "eigenvalues of the covariance")
    ax.set_xlabel("index", fontsize=8.5, labelpad=2)
    if not has_values(layers, "spectrum"):
        say_inside(ax, "no value")
        return
    rows = layers["spectrum"].transpose("layer", "eigenvalue").values
    chosen = np.unique(np.geomspace(1, rows.shape[1], POINTS).round().astype(int))
    rows = np.where(rows > SINGLE * rows.max(axis=1, keepdims=True), rows, np.nan)[:, chosen - 1]
    last = len(rows) - 1
    named = {0, last // 2, last}
    for layer, row in enumerate(rows):
        color = to_hex(TIME_COLORS(layer / max(last, 1)))
        label = f"layer {layers['layer'].values[layer]}" if layer in named else "_"
        ax.plot(chosen, row, color=color, linewidth=1.6 if layer in named else 0.8, label=label)
    choose_scale(ax, rows, span=DISTANCE_SPAN, from_zero=True)
    ax.set_xscale("log")
    ticks = [k for k in (1, 10, 100, 1000, 10_000) if k <= chosen[-1]]
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    legend_above(ax)
