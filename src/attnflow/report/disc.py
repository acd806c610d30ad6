"""Trajectories of 2x2 covariances divided by their trace: the unit disc, with the rank-one matrices on its circle."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LogNorm, Normalize, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from .canvas import INK, MUTED, TIME_COLORS, Covs, new_figure
from .overview import save

CAPTION = (
    r"Disc of covariances divided by their trace: $(\Sigma_{11}-\Sigma_{22},\ 2\Sigma_{12})$ / tr$\,\Sigma$; "
    "rank one on the circle. Hollow: starts; full: ends."
)


@dataclass(frozen=True)
class DiscPanel:
    """One panel: `title`, `paths` (arrays (t, 2, 2)) and the colour of each path.

    Either `values` (n,) positive numbers, coloured on a logarithmic scale that `value_label` explains; or `colors` (n,)
    with their meaning in `legend`. `ends` (n, 2, 2) are marked with full dots; matrices of zero are left out. `note`
    stands below the disc.
    """

    title: str
    paths: Sequence[Covs]
    ends: Float[np.ndarray, "n 2 2"]
    values: Float[np.ndarray, " n"] | None = None
    value_label: str = ""
    colors: Sequence[str] = ()
    legend: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def disc_coordinates(covs: Covs) -> Float[np.ndarray, "t 2"]:
    """(s11 - s22, 2 s12) / trace of matrices (t, 2, 2): the radius is 1 for rank one and 0 for multiples of I."""
    trace = covs[:, 0, 0] + covs[:, 1, 1]
    points: np.ndarray = np.stack([covs[:, 0, 0] - covs[:, 1, 1], covs[:, 0, 1] + covs[:, 1, 0]], axis=1)
    return np.asarray(points / trace[:, None])


def disc_panels(
    panels: Sequence[DiscPanel],
    *,
    title: str,
    columns: int | None = None,
    cmap: Colormap = TIME_COLORS,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """`panels` side by side in `columns`; `cmap` colours those that have numbers, each on its own scale.

    `title` says the result. With `path` the figure is also written there, whole or not at all.

    Raises BadInput when `path` cannot be written.

    Source: :cite:castin2025, figures of Gaussian measures.
    """
    across = len(panels) if columns is None else columns
    down = -(-len(panels) // across)
    figure = new_figure(4.7 * across, 4.75 * down + 1.1)
    for i, panel in enumerate(panels):
        _draw(figure.add_subplot(down, across, i + 1), panel, cmap)
    figure.suptitle(title, fontsize=12.5, color=INK)
    figure.supxlabel(CAPTION, fontsize=8.5, color=MUTED)
    if path is not None:
        save(figure, path)
    return figure


def _draw(ax: Axes, panel: DiscPanel, cmap: Colormap) -> None:
    lines = [disc_coordinates(path) for path in panel.paths]
    norm: Normalize | None = None
    if panel.values is None:
        colors = to_rgba_array(list(panel.colors))
    else:
        norm = LogNorm(panel.values.min(), panel.values.max())
        colors = cmap(norm(panel.values))
    crowd = len(lines) > 120
    ax.add_collection(LineCollection(lines, colors=colors, linewidths=0.5 if crowd else 0.9, alpha=0.6, zorder=2))
    starts = np.array([line[0] for line in lines])
    ax.scatter(
        starts[:, 0], starts[:, 1], s=2.5 if crowd else 10, facecolor="white", edgecolor=MUTED, linewidths=0.4, zorder=3
    )
    kept = np.trace(panel.ends, axis1=1, axis2=2) > 0
    ends = disc_coordinates(panel.ends[kept])
    ax.scatter(ends[:, 0], ends[:, 1], s=9, c=colors[kept], edgecolor="white", linewidths=0.3, zorder=4)
    _dress(ax, panel)
    if norm is not None:
        bar = ax.figure.colorbar(ScalarMappable(norm, cmap), ax=ax, orientation="horizontal", shrink=0.7, pad=0.02)
        bar.set_label(panel.value_label, fontsize=8.5, color=INK)
        bar.set_ticks(_round_numbers(float(norm.vmin or 1.0), float(norm.vmax or 1.0)), minor=False)
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.xaxis.set_minor_locator(NullLocator())
        bar.ax.tick_params(labelsize=7.5, colors=MUTED, labelcolor=INK)
        bar.outline.set_visible(False)


def _round_numbers(low: float, high: float) -> list[float]:
    """The numbers 1, 2, 5 times powers of ten from `low` to `high`; all whole multiples of them where these are few."""
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    few = [step * decade for decade in decades for step in (1, 2, 5) if low <= step * decade <= high]
    if len(few) > 2:
        return few
    return [step * decade for decade in decades for step in range(1, 10) if low <= step * decade <= high] or [low, high]


def _dress(ax: Axes, panel: DiscPanel) -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 361)
    ax.plot(np.cos(angle), np.sin(angle), color=INK, linewidth=0.9, zorder=1)
    ax.set(xlim=(-1.2, 1.2), ylim=(-1.32 if panel.legend or panel.note else -1.08, 1.05), aspect="equal")
    ax.set_axis_off()
    for turn, words in ((0.0, r"$e_1e_1^\top$"), (np.pi, r"$e_2e_2^\top$")):
        side = "left" if turn == 0.0 else "right"
        ax.annotate(words, (1.03 * np.cos(turn), 0.0), fontsize=8, color=MUTED, ha=side, va="center")
    ax.set_title(panel.title, fontsize=10, color=INK)
    if panel.note:
        ax.text(0.0, -1.08, panel.note, fontsize=8.5, color=INK, ha="center", va="top")
    if panel.legend:
        marks = [Line2D([], [], color=color, linewidth=2.0, label=words) for words, color in panel.legend.items()]
        ax.legend(handles=marks, loc="lower center", fontsize=8.5, frameon=False, ncols=2, borderaxespad=0.0)
