"""Trajectories of 2x2 covariances in the cone of positive semidefinite matrices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3D, Path3DCollection, Poly3DCollection

from .._check import BadInput
from .canvas import FAINT, INK, MUTED, SERIES, Covs, new_figure


@dataclass(frozen=True)
class Cone:
    """The artists of `cone_trajectory`; one line, start and end for each trajectory."""

    axes: Axes3D
    surface: Poly3DCollection
    lines: tuple[Line3D, ...]
    starts: tuple[Path3DCollection, ...]
    ends: tuple[Path3DCollection, ...]


def cone_trajectory(covs: Sequence[Covs], *, ax: Axes3D | None = None) -> Cone:
    """Draw each trajectory of `covs`, arrays (t, 2, 2), in the cone of positive semidefinite matrices, in 3-D.

    The coordinates are x = (s11 - s22) / 2, y = s12, z = (s11 + s22) / 2: the cone is z >= sqrt(x^2 + y^2), its
    surface holds the matrices of rank one, its apex is zero. Starts are hollow circles, ends are full.

    Raises BadInput unless all matrices are 2x2.
    """
    for cov in covs:
        if cov.shape[1:] != (2, 2):
            raise BadInput(f"`covs` must hold arrays of shape (t, 2, 2): {cov.shape} was found.")
    ax = cast(Axes3D, new_figure(5.2, 4.4).add_subplot(projection="3d")) if ax is None else ax
    paths = [cone_coordinates(cov) for cov in covs]
    height = 1.08 * max(path[:, 2].max() for path in paths) or 1.0
    surface = _add_cone(ax, height)
    drawn = [_add_path(ax, path, SERIES[i % len(SERIES)]) for i, path in enumerate(paths)]
    _dress(ax, height)
    lines, starts, ends = (tuple(artists) for artists in zip(*drawn, strict=True))
    return Cone(ax, surface, lines, starts, ends)


def cone_coordinates(cov: Covs) -> Float[np.ndarray, "t 3"]:
    """The points ((s11 - s22) / 2, s12, (s11 + s22) / 2) of 2x2 matrices: distances are those of Frobenius / sqrt 2."""
    first, second = cov[:, 0, 0], cov[:, 1, 1]
    return np.stack([(first - second) / 2, (cov[:, 0, 1] + cov[:, 1, 0]) / 2, (first + second) / 2], axis=1)


def _add_cone(ax: Axes3D, height: float) -> Poly3DCollection:
    angle, level = np.meshgrid(np.linspace(0, 2 * np.pi, 97), np.linspace(0, height, 2))
    x, y = level * np.cos(angle), level * np.sin(angle)
    surface = ax.plot_surface(
        x, y, level, color=FAINT, alpha=0.28, linewidth=0, shade=False, rcount=2, ccount=96, zorder=1
    )
    for fraction in (1 / 3, 2 / 3, 1.0):
        ring = height * fraction
        ax.plot(x[1] * fraction, y[1] * fraction, np.full(97, ring), color=MUTED, linewidth=0.6, alpha=0.6, zorder=2)
    for i in range(0, 96, 12):
        ax.plot(x[:, i], y[:, i], level[:, i], color=MUTED, linewidth=0.4, alpha=0.35, zorder=2)
    return cast(Poly3DCollection, surface)


def _add_path(ax: Axes3D, path: np.ndarray, color: str) -> tuple[Line3D, Path3DCollection, Path3DCollection]:
    (line,) = ax.plot(*path.T, color=color, linewidth=2.0, zorder=5)
    start = ax.scatter(*path[:1].T, s=34, facecolor="white", edgecolor=color, linewidth=1.6, depthshade=False, zorder=6)
    end = ax.scatter(*path[-1:].T, s=34, color=color, edgecolor="white", linewidth=0.8, depthshade=False, zorder=6)
    return cast(Line3D, line), start, end


def _dress(ax: Axes3D, height: float) -> None:
    ax.set(xlim=(-height, height), ylim=(-height, height), zlim=(0, height))
    ax.computed_zorder = False  # else the translucent surface washes out the paths inside it
    ax.set_box_aspect((1, 1, 0.8), zoom=0.95)
    ax.view_init(elev=18, azim=-62)
    ax.set_xlabel(r"$(\Sigma_{11}-\Sigma_{22})/2$", fontsize=8, labelpad=0)
    ax.set_ylabel(r"$\Sigma_{12}$", fontsize=8, labelpad=0)
    ax.set_zlabel(r"$(\Sigma_{11}+\Sigma_{22})/2$", fontsize=8, labelpad=0)
    ax.tick_params(labelsize=7, pad=0, colors=INK)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_pane_color((1.0, 1.0, 1.0, 0.0))
        axis.line.set(color=MUTED, linewidth=0.6)
        axis.set_major_locator(MaxNLocator(4))
    ax.grid(visible=False)
