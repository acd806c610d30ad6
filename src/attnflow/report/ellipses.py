"""A Gaussian that moves in the plane: the path of its mean and its covariance ellipses, coloured by time."""

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from .._check import BadInput
from .canvas import (
    INK,
    TIME_COLORS,
    Covs,
    Means,
    Times,
    axes_of,
    axes_or_new,
    clock,
    color_scale,
    evenly,
    quiet,
    travelled,
)

CORNERS = 128


@dataclass(frozen=True)
class Ellipses:
    """The artists of `covariance_ellipses`; `shown` (m,) holds the indices into `ts` of the ellipses drawn."""

    axes: Axes
    path: LineCollection
    ellipses: PolyCollection
    start: PathCollection
    end: PathCollection
    colorbar: Colorbar | None
    shown: np.ndarray


def covariance_ellipses(
    mean: Means,
    cov: Covs,
    ts: Times,
    *,
    ax: Axes | None = None,
    level: float = 1.0,
    count: int = 12,
    colorbar: Literal["right", "bottom"] | None = "right",
) -> Ellipses:
    """Draw the path of `mean` (t, 2) and at most `count` of the ellipses of `cov` (t, 2, 2) over `ts` (t,).

    `level` is the Mahalanobis radius of the ellipses: the points x with (x - mean)^T cov^{-1} (x - mean) = level^2.
    The radius 1 holds 39 % of the mass, 2 holds 86 %. A covariance of rank one is drawn as the segment that its
    ellipses shrink to, of rank zero as a point. The ellipses are evenly spaced along the way travelled, not in
    time; colour follows the same scale, and the labels of the colour bar are times.

    Raises BadInput unless the dimension is 2.
    """
    if mean.ndim != 2 or mean.shape[1] != 2:
        raise BadInput(f"`mean` must have shape (t, 2) to be drawn in the plane: {mean.shape} was found.")
    ax = axes_or_new(ax)
    quiet(ax)
    share = travelled(mean, cov)
    fraction = color_scale(ts, share)
    shown = evenly(share, count)
    polygons = ellipse_polygons(mean[shown], cov[shown], level)
    colors = TIME_COLORS(fraction[shown])
    artists = Ellipses(
        axes=ax,
        ellipses=_add_ellipses(ax, polygons, colors),
        path=_add_path(ax, mean, fraction),
        start=_add_point(ax, mean[0], face="white", edge=TIME_COLORS(0.0), width=1.6),
        end=_add_point(ax, mean[-1], face=TIME_COLORS(1.0), edge="white", width=0.8),
        colorbar=None if colorbar is None else _add_colorbar(ax, ts, fraction, colorbar),
        shown=shown,
    )
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.06)
    ax.set_xlabel("$x_1$", fontsize=9)
    ax.set_ylabel("$x_2$", fontsize=9)
    return artists


def ellipse_polygons(mean: Means, cov: Covs, level: float) -> Float[np.ndarray, "t corners 2"]:
    """Closed polygons `mean + level * L u` over the unit circle, with corners at the ends of the axes."""
    angle = np.linspace(0.0, 2.0 * np.pi, CORNERS + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(mean[:, None, :] + level * circle @ np.swapaxes(axes_of(cov), -1, -2))


def _add_ellipses(ax: Axes, polygons: np.ndarray, colors: np.ndarray) -> PolyCollection:
    faces = to_rgba_array(colors, alpha=0.07)
    collection = PolyCollection(list(polygons), facecolors=faces, edgecolors=colors, linewidths=1.1, zorder=2)
    ax.add_collection(collection)
    return collection


def _add_path(ax: Axes, mean: Means, fraction: Times) -> LineCollection:
    pieces = np.stack([mean[:-1], mean[1:]], axis=1)
    collection = LineCollection(list(pieces), colors=TIME_COLORS(fraction[1:]), linewidths=2.0, zorder=3)
    collection.set_capstyle("round")
    ax.add_collection(collection)
    return collection


def _add_point(ax: Axes, point: np.ndarray, *, face: ColorType, edge: ColorType, width: float) -> PathCollection:
    x, y = point
    return ax.scatter(x, y, s=34, facecolor=face, edgecolor=edge, linewidth=width, zorder=4)


def _add_colorbar(ax: Axes, ts: Times, fraction: Times, side: Literal["right", "bottom"]) -> Colorbar:
    scale = ScalarMappable(Normalize(0.0, 1.0), TIME_COLORS)
    figure = cast(Figure, ax.get_figure(root=False))
    bar = figure.colorbar(scale, ax=ax, location=side, fraction=0.04, pad=0.02, aspect=30)
    ticks = evenly(fraction, 6)
    bar.set_ticks(list(fraction[ticks]), labels=[clock(t) for t in ts[ticks]])
    bar.ax.tick_params(labelsize=8, length=2, colors=INK)
    bar.outline.set_visible(False)
    bar.set_label("time", fontsize=9)
    return bar
