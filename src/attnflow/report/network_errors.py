"""The error of compiled layers over their number, and on tokens over the number of tokens."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from .canvas import INK, MUTED, SERIES, new_figure, quiet

TINY = 1e-16


def network_errors_figure(
    layers: Mapping[str, tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]],
    tokens: Mapping[str, Float[np.ndarray, "m 4"]],
    *,
    title: str,
) -> Figure:
    """Two panels: `layers` holds numbers of layers and errors by scheme, `tokens` rows n, error, floor, finite-n part.

    `title` names the plan.
    """
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2)
    for ax, words in (
        (left, "larger error of mean and covariance at Gaussians"),
        (right, "covariance of tokens, by their number"),
    ):
        quiet(ax)
        ax.set_title(f"{title}: {words}", fontsize=9)
        ax.set(xscale="log", yscale="log")
    for color, (name, (counts, errors)) in zip(SERIES, layers.items(), strict=False):
        left.plot(counts, np.maximum(errors, TINY), color=color, marker="o", markersize=3, linewidth=1.4, label=name)
    _ticks(left, [counts for counts, _ in layers.values()])
    left.set(xlabel="layers L", ylabel="relative error")
    if layers:
        left.legend(frameon=False, fontsize=8)
    for color, (name, rows) in zip(SERIES, tokens.items(), strict=False):
        n, error, floor, apart = rows.T
        right.plot(n, error, color=color, marker="o", markersize=3, linewidth=1.4, label=f"error, {name}")
        right.plot(n, floor, color=INK, linestyle=":", linewidth=1.1, label="n draws of the target")
        right.plot(
            n, np.maximum(apart, TINY), color=MUTED, marker="s", markersize=3, label="tokens away from the limit"
        )
    _ticks(right, [rows[:, 0] for rows in tokens.values()])
    right.set(xlabel="number of tokens n")
    if tokens:
        right.legend(frameon=False, fontsize=8)
    return figure


def _ticks(ax: Axes, numbers: list[np.ndarray]) -> None:
    """One tick for each of the `numbers` that occur, written out."""
    shown = np.unique(np.concatenate([np.zeros(0), *numbers]))
    ax.set_xticks(shown, [f"{number:.0f}" for number in shown])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.tick_params(which="both", labelsize=8)
