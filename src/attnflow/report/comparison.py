"""Tokens beside the Gaussian limit: errors over time, and their fall with the number of tokens."""

from collections.abc import Mapping
from typing import cast

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from .canvas import INDEX_COLORS, INK, MUTED, WARNING, Times, new_figure, quiet, require_times

TINY = 1e-16


def comparison_figure(
    ts: Times,
    n: Int[np.ndarray, " k"],
    errors: Mapping[str, Float[np.ndarray, "k t"]],
    floors: Mapping[str, Float[np.ndarray, "k t"]],
    *,
    titles: Mapping[str, str],
    tolerance: float,
    times: Times,
    traces: Mapping[int, np.ndarray],
    gaussian: tuple[np.ndarray, np.ndarray],
    blow_up: float | None = None,
) -> Figure:
    """The traces of tokens and Gaussian, the errors of mean, covariance and measure over time, and their fall with n.

    `errors` and `floors` (k, t) by name at the times `ts` for each of `n`; `titles` name them; `tolerance` is drawn as
    a line. `traces` by n at the first of `times`, `gaussian` the times and traces of the Gaussian, `blow_up` its end.

    Raises BadInput when `ts` is empty.
    """
    require_times(ts)
    figure = new_figure(12.0, 6.8)
    axes = cast(np.ndarray, figure.subplots(2, 3)).ravel()
    colors = [to_hex(color) for color in INDEX_COLORS(np.linspace(1.0, 0.0, len(n)))]
    _draw_traces(axes[0], times, traces, gaussian, blow_up, colors)
    for ax, name in zip(axes[1:4], ("mean", "cov", "sliced"), strict=True):
        _draw_errors(ax, ts, errors[name], floors[name], colors, title=titles[name], tolerance=tolerance)
    _draw_fall(axes[4], n, errors, floors)
    _legend(axes[5], n, colors)
    return figure


def _draw_traces(
    ax: Axes, times: Times, traces: Mapping[int, np.ndarray], gaussian: tuple[np.ndarray, np.ndarray],
    blow_up: float | None, colors: list[str],
) -> None:  # fmt: skip
    quiet(ax)
    for color, trace in zip(colors, traces.values(), strict=True):
        ax.plot(times[: trace.size], np.maximum(trace, TINY), color=color, marker="o", markersize=2.5, linewidth=1.2)
    ax.plot(gaussian[0], np.maximum(gaussian[1], TINY), color=INK, linestyle="--", linewidth=1.4)
    if blow_up is not None and blow_up <= 1.2 * times[-1]:
        ax.axvline(blow_up, color=WARNING, linewidth=1.0)
        ax.annotate("blow-up of the limit", (blow_up, 0.98), xycoords=("data", "axes fraction"), rotation=90,
                    ha="right", va="top", fontsize=7, color=WARNING)  # fmt: skip
    ax.set(yscale="log", xlabel="time")
    ax.set_title("trace of the covariance", fontsize=9)
    ax.tick_params(which="both", labelsize=8)


def _draw_errors(
    ax: Axes, ts: Times, errors: np.ndarray, floors: np.ndarray, colors: list[str], *, title: str, tolerance: float
) -> None:
    quiet(ax)
    for color, row, floor in zip(colors, errors, floors, strict=True):
        ax.plot(ts, np.maximum(row, TINY), color=color, marker="o", markersize=2.5, linewidth=1.4)
        ax.plot(ts, floor, color=color, linestyle=":", linewidth=1.1)
    ax.axhline(tolerance, color=MUTED, linewidth=0.8)
    ax.set(yscale="log", xlabel="time")
    ax.tick_params(which="both", labelsize=8)
    ax.set_title(title, fontsize=9)


def _draw_fall(ax: Axes, n: np.ndarray, errors: Mapping[str, np.ndarray], floors: Mapping[str, np.ndarray]) -> None:
    quiet(ax)
    for name, marker, color in (("mean", "o", "#2a6f97"), ("cov", "s", "#c8553d"), ("sliced", "^", "#5b8e3e")):
        ax.plot(n, np.maximum(errors[name].max(axis=1), TINY), color=color, marker=marker, linewidth=1.3, label=name)
        ax.plot(n, floors[name].max(axis=1), color=color, linestyle=":", linewidth=1.1)
    ax.set(xscale="log", yscale="log", xlabel="number of tokens n")
    ax.set_xticks(n, [str(count) for count in n])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.tick_params(which="both", labelsize=8)
    ax.set_title("largest error over the times", fontsize=9)
    ax.legend(frameon=False, fontsize=8)


def _legend(ax: Axes, n: np.ndarray, colors: list[str]) -> None:
    ax.set_axis_off()
    for color, count in zip(colors, n, strict=True):
        ax.plot([], [], color=color, marker="o", markersize=3, label=f"n = {count} tokens")
    ax.plot([], [], color=INK, linestyle="--", label="Gaussian limit")
    ax.plot([], [], color=INK, linestyle=":", label="n independent points of it")
    ax.plot([], [], color=MUTED, linewidth=0.8, label="tolerance")
    ax.legend(frameon=False, fontsize=9, loc="center left")
