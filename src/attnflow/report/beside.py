"""The picture of a run with tokens beside it: the Gaussian, the tokens in it, and their distances over time."""

import os
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from .canvas import ACCENT, INK, MUTED, WARNING, Covs, Means, Times, new_figure, quiet, require_times
from .cone import cone_trajectory
from .ellipses import covariance_ellipses
from .moments import MomentsOverTime, mark_blow_up, moments_over_time
from .overview import save

MOST_POINTS = 2000


def overview_beside(
    ts: Times,
    mean: Means,
    cov: Covs,
    at: Times,
    distances: Mapping[str, Times],
    floors: Mapping[str, Times],
    *,
    titles: Mapping[str, str],
    cloud: Float[np.ndarray, "t n d"],
    n: int,
    title: str | None = None,
    blow_up: tuple[float, float, float] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """The overview of `mean` (t, d) and `cov` (t, d, d) over `ts` (t,), with `n` tokens and three panels of distances.

    `distances` and `floors`, by the same three names, belong to the times `at`; `titles` name them. `cloud` holds the
    tokens at these times: their moments are dots, and in the plane they are drawn at the first and at the last of them.
    `title`, `blow_up` (lower, upper, estimate) and `path` as in `overview`.

    Raises BadInput when `ts` or `at` is empty, or `path` cannot be written.
    """
    require_times(ts)
    require_times(at)
    planar = mean.shape[1] == 2
    figure = new_figure(11.0, 10.4 if planar else 6.4)
    heights = (1.6, 1.0, 1.0) if planar else (1.0, 1.0)
    parts = cast(np.ndarray, figure.subfigures(len(heights), 1, height_ratios=heights))
    if planar:
        plane = parts[0].add_subplot(1, 2, 1)
        covariance_ellipses(mean, cov, ts, ax=plane)
        _draw_tokens(plane, cloud)
        cone_trajectory([cov], ax=cast(Axes3D, parts[0].add_subplot(1, 2, 2, projection="3d")))
    middle = moments_over_time(ts, mean, cov, axes=list(parts[-2].subplots(1, 3)), blow_up=blow_up)
    _draw_moments(middle, at, cloud)
    draw_distances(list(parts[-1].subplots(1, 3)), at, distances, floors, titles=titles, n=n, blow_up=blow_up)
    if title is not None:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    if path is not None:
        save(figure, path)
    return figure


def draw_distances(
    axes: Sequence[Axes], at: Times, distances: Mapping[str, Times], floors: Mapping[str, Times],
    *, titles: Mapping[str, str], n: int, blow_up: tuple[float, float, float] | None = None,
) -> None:  # fmt: skip
    """Draw each of the `distances` of `n` tokens over the times `at` into its own one of `axes`, with its floor.

    `floors` by the same names are dotted; `titles` name the panels, `blow_up` as in `mark_blow_up`.
    """
    for ax, (name, row) in zip(axes, distances.items(), strict=True):
        quiet(ax)
        ax.plot(at, row, color=ACCENT, marker="o", markersize=2.5, linewidth=1.4, label=f"{n} tokens")
        ax.plot(at, floors[name], color=INK, linestyle=":", linewidth=1.2, label=f"{n} independent points")
        ax.set_ylim(bottom=0.0)
        ax.set_xlabel("time", fontsize=9)
        ax.set_title(titles[name], fontsize=9, loc="left")
        mark_blow_up(ax, blow_up, last=float(at[-1]) or 1.0)
    axes[0].legend(frameon=False, fontsize=8)


def _draw_tokens(ax: Axes, cloud: np.ndarray) -> None:
    chosen = np.unique(np.linspace(0, cloud.shape[1] - 1, min(cloud.shape[1], MOST_POINTS)).round().astype(int))
    size = float(np.clip(4000 / chosen.size, 2, 10))
    for points, color, label in ((cloud[0], MUTED, "tokens, first"), (cloud[-1], WARNING, "tokens, last")):
        x, y = points[chosen].T
        ax.scatter(x, y, s=size, color=color, alpha=0.35, linewidths=0, zorder=1, label=label)
    ax.legend(frameon=False, fontsize=8, loc="best", markerscale=3)
    ax.autoscale_view()


def _draw_moments(panels: MomentsOverTime, at: Times, cloud: np.ndarray) -> None:
    """The moments of the tokens as dots, where the axes of the Gaussian show them."""
    centre = cloud.mean(axis=1)
    trace = np.mean(np.sum(np.square(cloud - centre[:, None]), axis=2), axis=1)
    first, _, last = panels.axes
    for ax, values in ((first, trace), (last, np.linalg.norm(centre, axis=1))):
        ax.plot(at, values, linestyle="none", marker="o", markersize=3, color=WARNING, alpha=0.8, label="tokens")
    first.legend(frameon=False, fontsize=8)
