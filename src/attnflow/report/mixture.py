"""A mixture of Gaussians under a model: its tokens with the ellipses of its components, and the errors over time."""

from collections.abc import Mapping
from typing import TypeAlias, cast

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import INK, MUTED, SERIES, Times, new_figure, quiet, require_times
from .ellipses import ellipse_polygons

Rows: TypeAlias = tuple[Times, Times, Times, Times]
KINDS = ("mean", "covariance", "sliced $W_2$")
LABELS = {"whole": "closure of the whole", "components": "closure of the components"}
MOST = 3000


def mixture_figure(
    ts: Times,
    means: Float[np.ndarray, "t k d"],
    covs: Float[np.ndarray, "t k d d"],
    errors: Mapping[str, Rows],
    *,
    tokens: Float[np.ndarray, "s n d"],
    labels: Int[np.ndarray, " n"],
) -> Figure:
    """The errors of the closures over time and, in the plane, tokens and components at the first and last time.

    `means` and `covs` are those of the components at the times `ts`; `errors` by closure (whole, components): its
    times, and the relative errors of mean, covariance and sliced distance. `tokens` are the clouds to show, at most the
    first and the last, coloured by `labels`, the component that each token is from. The ellipses hold 86 % of their
    component.

    Raises BadInput when `ts` is empty.
    """
    require_times(ts)
    if means.shape[2] == 2 and len(tokens):
        figure = new_figure(12.5, 4.2)
        axes = list(cast(np.ndarray, figure.subplots(1, 3)))
        last = -1 if len(tokens) > 1 else 0
        for ax, at, title in ((axes[0], 0, f"t = {ts[0]:.3g}"), (axes[1], last, f"t = {ts[-1]:.3g}")):
            _plane(ax, tokens[at], labels, means[at], covs[at], title)
    else:
        figure = new_figure(5.2, 4.2)
        axes = [figure.add_subplot()]
    _errors(axes[-1], errors)
    return figure


def _plane(ax: Axes, points: np.ndarray, labels: np.ndarray, means: np.ndarray, covs: np.ndarray, title: str) -> None:
    quiet(ax)
    shown = np.unique(np.linspace(0, len(points) - 1, min(MOST, len(points))).round().astype(int))
    for j, polygon in enumerate(ellipse_polygons(means, covs, 2.0)):
        color = SERIES[j % len(SERIES)]
        own = shown[labels[shown] == j]
        ax.scatter(points[own, 0], points[own, 1], s=4, color=color, alpha=0.35, linewidths=0)
        ax.plot(*polygon.T, color=INK, linewidth=2.6)
        ax.plot(*polygon.T, color=color, linewidth=1.4)
        ax.scatter(means[j, 0], means[j, 1], s=26, color=color, edgecolor="white", linewidth=0.8, zorder=4)
    ax.set_title(f"tokens and components, {title}", fontsize=9)
    ax.set_xlabel("$x_1$", fontsize=9)
    ax.set_ylabel("$x_2$", fontsize=9)
    ax.set_aspect("equal", adjustable="datalim")


def _errors(ax: Axes, errors: Mapping[str, Rows]) -> None:
    quiet(ax)
    styles = ("-", "--", ":")
    for color, (name, (ts, *rows)) in zip(SERIES, errors.items(), strict=False):
        for style, row in zip(styles, rows, strict=True):
            ax.plot(ts, row, color=color, linestyle=style, linewidth=1.4)
        ax.plot([], [], color=color, linewidth=3, label=LABELS.get(name, name))
    for style, kind in zip(styles, KINDS, strict=True):
        ax.plot([], [], color=MUTED, linestyle=style, linewidth=1.4, label=kind)
    ax.set_yscale("log")
    ax.set_xlabel("time", fontsize=9)
    ax.set_title("relative error against the tokens", fontsize=9)
    ax.legend(frameon=False, fontsize=7, loc="best")
