"""What the panels of a diagnosis share: bands, legends above the axes, scales, the axis of layers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from .canvas import INK, MUTED, quiet
from .diagnosis_bands import Band

LOG_SPAN = 30.0
"""A positive quantity that varies by more than this factor gets a logarithmic axis."""

COLORS = ("#2a6f97", "#d1603d", "#b8860b", "#4a4e69")
"""Blue, orange-red, ochre, slate: apart for readers who do not tell red from green, and of unequal lightness."""

MARKERS = ("o", "s", "D", "^")
STYLES = ("-", (0, (5, 2)), "-.", (0, (1, 1)))
PLAIN = (1e-3, 1e5)
"""Numbers between these are written out, others as powers of ten."""


def open_panel(ax: Axes, title: str, *, along: str | None = None, last: int = 0) -> None:
    """Make `ax` a panel with a `title`, and room above for a legend; `along` names its axis of indices 0 to `last`."""
    quiet(ax)
    ax.set_title(title, fontsize=9, loc="left", pad=17)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))  # no power above, where the legend is
    if along is not None:
        ax.set_xlim(-0.4, last + 0.4)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        ax.set_xlabel(along, fontsize=8.5, labelpad=2)


def legend_above(ax: Axes, *, columns: int = 3) -> None:
    """The legend of `ax` between its title and its upper edge, where no data can be."""
    if ax.get_legend_handles_labels()[0]:
        legend = ax.legend(
            frameon=False, fontsize=7.5, loc="lower left", bbox_to_anchor=(0.0, 0.985), ncols=columns,
            borderpad=0.0, borderaxespad=0.15, handlelength=1.6, handletextpad=0.5, columnspacing=1.2,
        )  # fmt: skip
        legend.set_in_layout(False)  # its room is already there, and a wide one must not press the columns


def draw_band(
    ax: Axes, x: Float[np.ndarray, " l"], shown: Band, *, color: str, label: str | None = None, marker: str = "o",
    style: str | tuple[int, tuple[int, ...]] = "-",
) -> None:  # fmt: skip
    """The median of `shown` over `x` as a line with a `marker`, its noise as a band, in one `color` and `style`."""
    ax.fill_between(x, shown.low, shown.high, color=color, alpha=0.22, linewidth=0)
    ax.plot(x, shown.middle, color=color, marker=marker, markersize=3, linewidth=1.5, linestyle=style, label=label)


def choose_scale(ax: Axes, *values: np.ndarray, span: float = LOG_SPAN, from_zero: bool = False) -> None:
    """A logarithmic axis for positive `values` that vary by more than `span`; else linear, `from_zero` if asked."""
    numbers = np.concatenate([np.ravel(value) for value in values])
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        say_inside(ax, "no value")
    elif numbers.min() > 0 and numbers.max() > span * numbers.min():
        log_axis(ax, float(numbers.min()), float(numbers.max()))
    elif from_zero and numbers.min() >= 0:
        ax.set_ylim(0.0, 1.06 * float(numbers.max()) or 1.0)


def log_axis(ax: Axes, low: float, high: float) -> None:
    """A logarithmic axis from `low` to `high` with some room, and ticks that are written out where they are short."""
    room = min((high / low) ** 0.06 * 1.05, 100.0)
    ax.set_ylim(low / room, high * room)  # before the scale, which would look for limits of its own
    ax.set_yscale("log")
    few = high < 300.0 * low
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=8 if few else 7))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value)))


def written(value: float) -> str:
    """A tick of a logarithmic axis: a short number, or a power of ten."""
    if PLAIN[0] <= value < PLAIN[1]:
        return f"{value:g}"
    power = int(np.floor(np.log10(value) + 1e-9)) if value > 0 else 0
    digit = round(value / 10.0**power) if value > 0 else 0
    return rf"$10^{{{power}}}$" if digit == 1 else rf"${digit}\cdot10^{{{power}}}$"


def say_inside(ax: Axes, words: str) -> None:
    """Write `words` in the middle of an `ax` that has nothing to show, and take its ticks away."""
    ax.yaxis.set_major_locator(NullLocator())
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", fontsize=8.5, color=MUTED, wrap=True)


def mark_missing(ax: Axes, missing: np.ndarray, *, label: str = "no prediction") -> None:
    """Grey columns at the indices where `missing` holds, explained once by `label`."""
    for index in np.flatnonzero(missing):
        ax.axvspan(index - 0.5, index + 0.5, facecolor=MUTED, alpha=0.14, linewidth=0, zorder=0, label=label)
        label = "_"


def reference(ax: Axes, height: float, *, style: str = "-") -> None:
    """A thin horizontal line at `height`."""
    ax.axhline(height, color=INK, linewidth=0.7, linestyle=style, zorder=1)


def shortened(text: str, most: int) -> str:
    """`text` in at most `most` letters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
