"""What all pictures share: their figures, colours, and the reading of time along a trajectory."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from .._check import BadInput

Times: TypeAlias = Float[np.ndarray, " t"]
Means: TypeAlias = Float[np.ndarray, "t d"]
Covs: TypeAlias = Float[np.ndarray, "t d d"]

INK, MUTED, FAINT = "#1f2430", "#6b7280", "#d5d9e0"
ACCENT, WARNING = "#2a6f97", "#c8553d"
SERIES = ("#2a6f97", "#c8553d", "#5b8e3e", "#8a5aa8", "#c08a1e", "#4a4e69")

TIME_COLORS: Colormap = ListedColormap(colormaps["viridis"](np.linspace(0.0, 0.9, 256)), name="time")
"""Viridis (perceptually uniform) without its palest end, which disappears on white."""


INDEX_COLORS: Colormap = LinearSegmentedColormap.from_list("index", ["#123c56", "#2a6f97", "#9cc9e3"])
"""From dark to light blue: the largest, ..., the smallest. Not the colours of time."""


def new_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches, without any state in pyplot."""
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes_or_new(ax: Axes | None, *, width: float = 5.2, height: float = 4.4) -> Axes:
    """`ax`, or the only axes of a new figure."""
    return new_figure(width, height).add_subplot() if ax is None else ax


def require_times(ts: Times) -> None:
    """Raise BadInput when there is no time to draw."""
    if not len(ts):
        raise BadInput(
            "`ts` must hold at least one time to be drawn: no requested time was reached; ask for earlier times."
        )


def quiet(ax: Axes) -> None:
    """Thin grey spines on two sides, small ticks, a faint grid: on this `ax` only."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=MUTED, linewidth=0.8)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=8, width=0.8, length=3)
    ax.grid(visible=True, color=FAINT, linewidth=0.6, alpha=0.6)
    ax.set_axisbelow(True)


def axes_of(cov: Covs) -> Float[np.ndarray, "t d d"]:
    """The half axes of the ellipsoids of a stack of covariances, as columns; rounding below zero is taken as zero."""
    values, vectors = np.linalg.eigh(cov)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :])


def roots(cov: Covs) -> Float[np.ndarray, "t d d"]:
    """The symmetric square roots of a stack of covariances; unlike their half axes, they vary continuously."""
    values, vectors = np.linalg.eigh(cov)
    half = vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :]
    return np.asarray(half @ np.swapaxes(vectors, -1, -2))


def travelled(mean: Means, cov: Covs) -> Times:
    """The share of the whole way that lies behind at each time, from 0 to 1; all 0 when nothing moves.

    The way is measured by the mean and the square root of the covariance together.
    """
    spread = roots(cov).reshape(len(cov), -1)
    steps = np.hypot(np.linalg.norm(np.diff(mean, axis=0), axis=1), np.linalg.norm(np.diff(spread, axis=0), axis=1))
    way = np.concatenate([[0.0], np.cumsum(steps)])
    share: Times = way / way[-1] if way[-1] > 0 else way
    return share


def color_scale(ts: Times, share: Times) -> Times:
    """A scale from 0 to 1, strictly increasing: nine tenths the way travelled (`share`), one tenth time itself.

    Neither a short transient nor a long rest fills the whole of it.
    """
    elapsed = (ts - ts[0]) / (ts[-1] - ts[0]) if len(ts) > 1 else np.zeros(1)
    return 0.9 * share + 0.1 * elapsed if share[-1] > 0 else elapsed


def evenly(share: Times, count: int) -> np.ndarray:
    """At most `count` indices, the first and the last among them, evenly spaced on the scale `share`."""
    wanted = np.linspace(0.0, share[-1], count)
    return np.unique([0, *np.abs(share[:, None] - wanted[None, 1:-1]).argmin(axis=0), len(share) - 1])


def time_axis(ax: Axes, ts: Times, share: Times) -> None:
    """Label the axis of time; stretch the transient when nine tenths of the way (`share`) take a tenth of the time.

    The stretched scale is asinh(t / w): linear near 0, logarithmic late, smooth between, so that no curve gets
    a kink.
    """
    ax.set_xlabel("time", fontsize=9)
    transient = float(ts[np.searchsorted(share, 0.9)]) if share[-1] > 0 else 0.0
    if ts[0] != 0.0 or not 0.0 < 10.0 * transient <= ts[-1]:
        return
    ax.set_xscale("asinh", linear_width=transient)
    ticks = _stretched_ticks(transient / 2, float(ts[-1]))
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter([clock(t) for t in ticks]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(0.0, float(ts[-1]))
    ax.set_xlabel("time (linear near 0, then logarithmic)", fontsize=9)


def _stretched_ticks(first: float, last: float) -> list[float]:
    """0 and the numbers 1, 2, 5 times powers of ten in [first, last]; only the powers if these are many."""
    decades = [10.0**k for k in range(int(np.floor(np.log10(first))), int(np.floor(np.log10(last))) + 1)]
    steps = (1.0, 2.0, 5.0) if len(decades) <= 3 else (1.0,)
    return [0.0, *(step * decade for decade in decades for step in steps if first <= step * decade <= last)]


def clock(t: float) -> str:
    """A time in three digits, as a label."""
    return f"{t:.3g}"
