"""A trajectory as an animated GIF."""

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .._atomic import check_writable, replacing
from .canvas import (
    FAINT,
    INK,
    MUTED,
    TIME_COLORS,
    Covs,
    Means,
    Times,
    clock,
    color_scale,
    evenly,
    new_figure,
    quiet,
    require_times,
    travelled,
)
from .ellipses import ellipse_polygons
from .moments import eigenvalues_over_time

LAST_FRAME_MS = 1500

Progress: TypeAlias = Callable[[int, int], object]
Show: TypeAlias = Callable[[int], None]


def animate(
    ts: Times,
    mean: Means,
    cov: Covs,
    path: str | os.PathLike[str],
    *,
    frames: int = 90,
    fps: int = 20,
    level: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write a GIF of `mean` (t, d), `cov` (t, d, d) over `ts` (t,): at most `frames` pictures, `fps` a second.

    For d = 2 the covariance ellipse of Mahalanobis radius `level` moves along the path of the mean; otherwise the
    eigenvalues are drawn as time goes by. Each frame shows one of the given times, so give many: they are chosen
    evenly along the way travelled rather than in time, which stands in the picture. Nothing is interpolated,
    since that would invent rank. `progress(done, total)` is called after each frame. The file is written whole or
    not at all.

    Raises BadInput when `ts` is empty or `path` cannot be written.
    """
    require_times(ts)
    check_writable(path)
    chosen = evenly(color_scale(ts, travelled(mean, cov)), frames)
    times, means, covs = ts[chosen], mean[chosen], cov[chosen]
    figure, show = _plane(times, means, covs, level) if mean.shape[1] == 2 else _spectrum(times, covs)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: nothing but the data moves
    pictures = _pictures(figure, show, len(times), progress)
    durations = [round(1000 / fps)] * (len(times) - 1) + [LAST_FRAME_MS]
    with replacing(path) as partial, partial.open("wb") as file:
        first = next(pictures)
        first.save(file, format="GIF", save_all=True, append_images=pictures, duration=durations, loop=0)


def _plane(times: Times, means: Means, covs: Covs, level: float) -> tuple[Figure, Show]:
    polygons = ellipse_polygons(means, covs, level)
    colors = TIME_COLORS(np.linspace(0.0, 1.0, len(times)))
    figure = new_figure(4.4, 4.4)
    ax = figure.add_subplot()
    quiet(ax)
    ax.set_aspect("equal", adjustable="datalim")
    ax.update_datalim(polygons.reshape(-1, 2))
    ax.autoscale_view()
    ax.plot(*means.T, color=FAINT, linewidth=1.5, zorder=1)
    ax.plot(*polygons[0].T, color=FAINT, linewidth=1.0, zorder=1)
    (patch,) = ax.fill(*polygons[0].T, linewidth=1.6, zorder=2)
    (trail,) = ax.plot([], [], linewidth=2.0, zorder=3)
    (point,) = ax.plot([], [], "o", markersize=5, zorder=4)
    words = _time_words(ax)

    def show(frame: int) -> None:
        patch.set(xy=polygons[frame], facecolor=(*colors[frame][:3], 0.15), edgecolor=colors[frame])
        trail.set(data=means[: frame + 1].T, color=colors[frame])
        point.set(data=means[frame : frame + 1].T, color=colors[frame])
        words(times[frame])

    return figure, show


def _spectrum(times: Times, covs: Covs) -> tuple[Figure, Show]:
    figure = new_figure(5.6, 3.6)
    artists = eigenvalues_over_time(times, covs, ax=figure.add_subplot())
    columns = [np.asarray(line.get_ydata()) for line in artists.lines]
    artists.axes.set_xlim(times[0], times[-1])
    now = artists.axes.axvline(times[0], color=MUTED, linewidth=0.9)
    words = _time_words(artists.axes)

    def show(frame: int) -> None:
        for line, column in zip(artists.lines, columns, strict=True):
            line.set_data(times[: frame + 1], column[: frame + 1])
        now.set_xdata([times[frame], times[frame]])
        words(times[frame])

    return figure, show


def _time_words(ax: Axes) -> Callable[[float], None]:
    title = ax.set_title("t = 0", fontsize=10, loc="right", color=INK, family="monospace")
    return lambda t: title.set_text(f"t = {clock(t):>5}")


def _pictures(figure: Figure, show: Show, total: int, report: Progress | None) -> Iterator[Image.Image]:
    canvas: Any = FigureCanvasAgg(figure)  # its methods carry no types
    figure.set_dpi(110)
    for frame in range(total):
        show(frame)
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        yield picture.quantize(colors=128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        if report is not None:
            report(frame + 1, total)
