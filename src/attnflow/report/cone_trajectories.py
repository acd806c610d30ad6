"""Many trajectories of 2x2 covariances in the cone of positive semidefinite matrices, a panel for each attention."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from .canvas import INK, MUTED, TIME_COLORS, WARNING, Covs, new_figure
from .cone import Cone, cone_coordinates, cone_trajectory
from .overview import save

CAPTION = (
    r"Cone of positive semidefinite matrices: height tr$\,\Sigma$/2, rank one on its surface, zero at its tip. "
    "Hollow: starts; full: limits."
)


@dataclass(frozen=True)
class ConePanel:
    """One panel: `title`, `paths` (arrays (t, 2, 2)), a number for each path that gives its colour, and the limits.

    `values` (n,) gives the colours; `limits` (n, 2, 2) are marked with full dots, the first matrix of each path with a
    hollow one. `guides` are pieces of the set of all possible limits: polylines (m, 3) in the coordinates of
    `cone_coordinates`. `azimuth` and `elevation` in degrees.
    """

    title: str
    paths: Sequence[Covs]
    values: Float[np.ndarray, " n"]
    limits: Float[np.ndarray, "n 2 2"]
    guides: Sequence[Float[np.ndarray, "m 3"]] = ()
    guide_label: str = ""
    azimuth: float = -62.0
    elevation: float = 18.0


def cone_panels(
    panels: Sequence[ConePanel],
    *,
    title: str,
    color_label: str,
    columns: int | None = None,
    cmap: Colormap = TIME_COLORS,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """`panels` side by side in `columns`, one scale of colours (`cmap`, explained by `color_label`) for all.

    `title` says the result. With `path` the figure is also written there, whole or not at all.

    Raises BadInput unless all matrices are 2x2, or when `path` cannot be written.

    Source: :cite:castin2025, figures of Gaussian measures.
    """
    across = len(panels) if columns is None else columns
    down = -(-len(panels) // across)
    figure = new_figure(4.3 * across + 0.8, 3.7 * down + 0.6)
    grid = [figure.add_subplot(down, across, i + 1, projection="3d") for i in range(len(panels))]
    norm = Normalize(min(p.values.min() for p in panels), max(p.values.max() for p in panels))
    for ax, panel in zip(grid, panels, strict=True):
        _draw(cast(Axes3D, ax), panel, cmap(norm(panel.values)))
    bar = figure.colorbar(ScalarMappable(norm, cmap), ax=grid, shrink=0.55, aspect=28, pad=0.04)
    bar.set_label(color_label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)
    figure.suptitle(title, fontsize=12.5, color=INK)
    figure.supxlabel(CAPTION, fontsize=8.5, color=MUTED)
    if path is not None:
        save(figure, path)
    return figure


def _draw(ax: Axes3D, panel: ConePanel, colors: np.ndarray) -> None:
    cone = cone_trajectory(panel.paths, ax=ax)
    _restyle(cone, colors)
    limits = cone_coordinates(panel.limits).T
    shown: Any = ax.scatter(*limits, s=13, c=colors, edgecolors="white", linewidths=0.4, depthshade=False)
    shown.set_zorder(8)
    for i, guide in enumerate(panel.guides):
        label = panel.guide_label if i == 0 else None
        ax.plot(*guide.T, color=WARNING, linewidth=1.3, linestyle=(0, (4, 2)), zorder=7, label=label)
    if panel.guide_label:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 0.06), fontsize=9, frameon=False)
    ax.view_init(elev=panel.elevation, azim=panel.azimuth)
    ax.set_axis_off()
    ax.set_box_aspect((1, 1, 0.8), zoom=1.27)
    ax.set_title(panel.title, fontsize=11, color=INK, y=1.0)


def _restyle(cone: Cone, colors: np.ndarray) -> None:
    """The marks of a single trajectory made small enough for hundreds of them; the last computed point is not marked.

    The limits are marked instead, which a trajectory may only have come close to.
    """
    crowd = len(cone.lines) > 120
    for line, start, end, color in zip(cone.lines, cone.starts, cone.ends, colors, strict=True):
        line.set(color=color, linewidth=0.6 if crowd else 0.9, alpha=0.75)
        start.set(sizes=[3.0 if crowd else 7.0], edgecolor=MUTED, linewidth=0.5, zorder=4)
        end.set_visible(False)
