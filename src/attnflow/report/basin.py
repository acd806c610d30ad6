"""Where 2x2 covariances end, by their start: the cone of positive semidefinite matrices and its slices of one trace."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d import Axes3D

from .._check import BadInput
from .canvas import ACCENT, INK, MUTED, SERIES, WARNING, Covs, new_figure
from .cone import cone_coordinates, cone_trajectory
from .disc import disc_coordinates
from .overview import save

CAPTIONS = (
    r"cone: height tr$\,\Sigma$/2, rank one on its surface, zero at its tip",
    r"slices of one trace: $(\Sigma_{11}-\Sigma_{22},\ 2\Sigma_{12})$ / tr$\,\Sigma$",
)
MARKERS = ("o", "^", "s", "D", "v", "P")
SLICES = 4


@dataclass(frozen=True)
class Basin:
    """What `basin_picture` draws.

    `starts` (n, 2, 2) and the name of what becomes of each, `regimes` (n,); the `equilibria` (k, 2, 2), and which of
    them are `stable` (k,). `gramian` N (2, 2), positive semidefinite, adds the separatrix lambda_max(L^T N L) = 1 of
    starts L L^T. `colors` gives regimes colours; those it leaves out are chosen.
    """

    starts: Float[np.ndarray, "n 2 2"]
    regimes: Sequence[str]
    equilibria: Float[np.ndarray, "k 2 2"]
    stable: Bool[np.ndarray, " k"]
    gramian: Float[np.ndarray, "2 2"] | None = None
    colors: Mapping[str, str] | None = None


def cone_starts(traces: Sequence[float], *, rings: int = 4) -> Float[np.ndarray, "n 2 2"]:
    """Starts at each of the `traces`: in each slice of the cone a centre and `rings` of 8, 16, ..., up to rank one.

    The rings are evenly spaced in the difference of the eigenvalues over the trace; the last one has rank one.
    """
    radius, angle = [np.zeros(1)], [np.zeros(1)]
    for k in range(1, rings + 1):
        radius.append(np.full(8 * k, k / rings))
        angle.append(np.linspace(0.0, 2.0 * np.pi, 8 * k, endpoint=False))
    r, turn = np.concatenate(radius), np.concatenate(angle)
    return np.concatenate([trace * unit_trace(r * np.cos(turn), r * np.sin(turn)) for trace in traces])


def unit_trace(x: Float[np.ndarray, "*n"], y: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 2 2"]:
    """The matrices of trace 1 with disc coordinates `x` = s11 - s22 and `y` = 2 s12."""
    return np.asarray(np.stack([np.stack([1.0 + x, y], -1), np.stack([y, 1.0 - x], -1)], -2) / 2.0)


def separatrix_size(gramian: Float[np.ndarray, "2 2"], covs: Float[np.ndarray, "*n 2 2"]) -> Float[np.ndarray, "*n"]:
    """lambda_max(L^T N L) for `covs` = L L^T and N = `gramian`: 1 on the separatrix.

    N cov has trace 2 m and determinant p, and real eigenvalues m +- (m^2 - p)^{1/2}.
    """
    middle = 0.5 * np.einsum("ij,...ji->...", gramian, covs)
    product = np.linalg.det(gramian) * (covs[..., 0, 0] * covs[..., 1, 1] - covs[..., 0, 1] * covs[..., 1, 0])
    return np.asarray(middle + np.sqrt(np.clip(middle**2 - product, 0.0, None)))


def basin_picture(basin: Basin, *, title: str | None = None, path: str | os.PathLike[str] | None = None) -> Figure:
    """The starts of `basin` in the cone and in up to four slices of one trace, coloured by what becomes of them.

    Equilibria are diamonds, full where stable; the separatrix is a surface in the cone and a line in the slices.
    `title` says the result. With `path` the figure is also written there, whole or not at all.

    Raises BadInput unless all matrices are 2x2 and every start has a regime, or when `path` cannot be written.

    Source: this package, docs/theory/long-run.md.
    """
    _check(basin)
    colors = _colors(basin)
    figure = new_figure(11.6, 6.2)
    left, right = cast(np.ndarray, figure.subfigures(1, 2, width_ratios=(1.25, 1.0)))
    _draw_cone(cast(Axes3D, left.add_subplot(projection="3d")), basin, colors)
    levels = _levels(basin.starts)
    across = 2 if len(levels) > 1 else 1
    for i, level in enumerate(levels):
        _draw_slice(right.add_subplot(-(-len(levels) // across), across, i + 1), basin, colors, level)
    figure.legend(
        handles=_legend(basin, colors), loc="outside lower center", ncols=5, fontsize=9, frameon=False, labelcolor=INK
    )
    for part, words in zip((left, right), CAPTIONS, strict=True):
        part.supxlabel(words, fontsize=8.5, color=MUTED)
    if title is not None:
        figure.suptitle(title, fontsize=12.5, color=INK)
    if path is not None:
        save(figure, path)
    return figure


def _check(basin: Basin) -> None:
    for name in ("starts", "equilibria"):
        shape = getattr(basin, name).shape
        if shape[1:] != (2, 2):
            raise BadInput(f"`{name}` must have shape (n, 2, 2): {shape} was found; the cone is drawn for d = 2 only.")
    if len(basin.regimes) != len(basin.starts) or not len(basin.starts):
        raise BadInput(
            f"`regimes` must name one regime for each start: {len(basin.regimes)} names for {len(basin.starts)} starts "
            "were found."
        )


def _colors(basin: Basin) -> dict[str, str]:
    """Blow-up is a warning, zero the main colour; the others follow in the order in which they appear."""
    given = dict(basin.colors or {})
    rest = [color for color in SERIES if color not in {ACCENT, WARNING, *given.values()}]
    for name in dict.fromkeys(basin.regimes):
        if name in given:
            continue
        if "blow" in name:
            given[name] = WARNING
        elif "zero" in name:
            given[name] = ACCENT
        else:
            given[name] = rest.pop(0) if rest else MUTED
    return {name: given[name] for name in dict.fromkeys(basin.regimes)}


def _levels(starts: Covs) -> np.ndarray:
    """The traces of the slices: those that starts share, at most four, spread over all of them."""
    traces, counts = np.unique(np.round(np.trace(starts, axis1=1, axis2=2), 12), return_counts=True)
    shared = traces[(counts == counts.max()) & (traces > 0)]
    picked = np.linspace(0, len(shared) - 1, min(SLICES, len(shared))).round().astype(int)
    return np.asarray(shared[np.unique(picked)])


def _draw_cone(ax: Axes3D, basin: Basin, colors: Mapping[str, str]) -> None:
    cone = cone_trajectory([np.concatenate([basin.starts, basin.equilibria])], ax=ax)
    for artist in (*cone.lines, *cone.starts, *cone.ends):  # the cone is wanted, not a path through all starts
        artist.set_visible(False)
    height = float(ax.get_zlim()[1])
    if basin.gramian is not None:
        _add_separatrix(ax, basin.gramian, height)
    names = np.asarray(basin.regimes)
    for marker, (name, color) in zip(_cycled(len(colors)), colors.items(), strict=True):
        points = cone_coordinates(basin.starts[names == name]).T
        shown: Any = ax.scatter(*points, s=11, c=color, marker=marker, depthshade=False, linewidths=0)
        shown.set_zorder(5)
    places = cone_coordinates(basin.equilibria) if len(basin.equilibria) else np.zeros((0, 3))
    for (x, y, z), stable in zip(places, basin.stable, strict=True):
        face = INK if stable else "white"
        shown = ax.scatter([x], [y], [z], s=70, marker="D", facecolor=face, edgecolor=INK, depthshade=False)
        shown.set(zorder=9, linewidth=1.5)
    ax.set_box_aspect((1, 1, 0.8), zoom=1.0)


def _add_separatrix(ax: Axes3D, gramian: np.ndarray, height: float) -> None:
    """Sizes along a ray scale alike: the separatrix is where a start of trace 1 is divided by its size."""
    radius, angle = np.meshgrid(np.linspace(0.0, 1.0, 41), np.linspace(0.0, 2.0 * np.pi, 121))
    flat = unit_trace(radius * np.cos(angle), radius * np.sin(angle)).reshape(-1, 2, 2)
    sizes = np.maximum(separatrix_size(gramian, flat), 0.5 / height)  # cut where it leaves the picture
    x, y, z = (cone_coordinates(flat / sizes[:, None, None])[:, i].reshape(radius.shape) for i in range(3))
    ax.plot_surface(x, y, z, color=ACCENT, alpha=0.22, linewidth=0, shade=False, rcount=40, ccount=40, zorder=3)
    ax.plot(x[:, -1], y[:, -1], z[:, -1], color=ACCENT, linewidth=1.1, zorder=4)


def _draw_slice(ax: Axes, basin: Basin, colors: Mapping[str, str], level: float) -> None:
    here = np.isclose(np.trace(basin.starts, axis1=1, axis2=2), level, rtol=1e-9)
    names = np.asarray(basin.regimes)[here]
    points = disc_coordinates(basin.starts[here])
    for marker, (name, color) in zip(_cycled(len(colors)), colors.items(), strict=True):
        x, y = points[names == name].T
        ax.scatter(x, y, s=15, color=color, marker=marker, linewidths=0, zorder=3)
    if basin.gramian is not None:
        x, y = np.meshgrid(np.linspace(-1.0, 1.0, 401), np.linspace(-1.0, 1.0, 401))
        sizes = np.where(x**2 + y**2 <= 1.0, separatrix_size(basin.gramian, level * unit_trace(x, y)), np.nan)
        if np.nanmin(sizes) < 1.0 < np.nanmax(sizes):
            ax.contour(x, y, sizes, levels=[1.0], colors=[ACCENT], linewidths=1.6, zorder=2)
    turn = np.linspace(0.0, 2.0 * np.pi, 361)
    ax.plot(np.cos(turn), np.sin(turn), color=INK, linewidth=0.9, zorder=1)
    ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    ax.set_axis_off()
    ax.set_title(rf"tr$\,\Sigma$ = {level:.3g}", fontsize=9.5, color=INK, y=0.98)


def _cycled(count: int) -> list[str]:
    return [MARKERS[i % len(MARKERS)] for i in range(count)]


def _legend(basin: Basin, colors: Mapping[str, str]) -> list[Line2D]:
    marks = [
        Line2D([], [], color=color, marker=marker, linestyle="none", markersize=6, label=name)
        for marker, (name, color) in zip(_cycled(len(colors)), colors.items(), strict=True)
    ]
    if basin.gramian is not None:
        marks.append(Line2D([], [], color=ACCENT, linewidth=1.8, label=r"separatrix $\lambda_{\max}(L^\top N L) = 1$"))
    for stable, words in ((True, "stable equilibrium"), (False, "unstable equilibrium")):
        if bool(np.any(basin.stable == stable)):
            face = INK if stable else "white"
            mark = Line2D([], [], marker="D", linestyle="none", markersize=7, color=INK, markerfacecolor=face)
            mark.set_label(words)
            marks.append(mark)
    return marks
