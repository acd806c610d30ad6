"""The default picture of a run."""

import os
from typing import cast

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from .._atomic import replacing
from .canvas import Covs, Means, Times, new_figure, require_times
from .cone import cone_trajectory
from .ellipses import covariance_ellipses
from .moments import moments_over_time
from .tokens import token_cloud


def overview(
    ts: Times,
    mean: Means,
    cov: Covs,
    *,
    title: str | None = None,
    blow_up: tuple[float, float, float] | None = None,
    tokens: Float[np.ndarray, "t n d"] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """All pictures of a trajectory `mean` (t, d), `cov` (t, d, d) over `ts` (t,) in one figure.

    For d = 2: ellipses, the cone, and the moments over time; otherwise the moments over time. `blow_up` is
    (lower, upper, estimate). With `tokens` (t, n, d) the plane shows them instead of ellipses. With `path` the figure
    is also written there, whole or not at all, in the format that its suffix names.

    Raises BadInput when `ts` is empty or `path` cannot be written.
    """
    require_times(ts)
    figure = _planar(ts, mean, cov, blow_up, tokens) if mean.shape[1] == 2 else _moments(ts, mean, cov, blow_up)
    if title is not None:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    if path is not None:
        save(figure, path)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write `figure` to `path`, whole or not at all, in the format that the suffix names (PNG without one).

    Raises BadInput when `path` cannot be written.
    """
    with replacing(path) as partial:
        figure.savefig(partial)


def _planar(
    ts: Times, mean: Means, cov: Covs, blow_up: tuple[float, float, float] | None, tokens: np.ndarray | None
) -> Figure:
    figure = new_figure(11.0, 7.6)
    upper, lower = cast(np.ndarray, figure.subfigures(2, 1, height_ratios=(1.6, 1.0)))
    plane = upper.add_subplot(1, 2, 1)
    if tokens is None:
        covariance_ellipses(mean, cov, ts, ax=plane)
    else:
        token_cloud(tokens, ax=plane)
    cone_trajectory([cov], ax=cast(Axes3D, upper.add_subplot(1, 2, 2, projection="3d")))
    moments_over_time(ts, mean, cov, axes=list(lower.subplots(1, 3)), blow_up=blow_up)
    return figure


def _moments(ts: Times, mean: Means, cov: Covs, blow_up: tuple[float, float, float] | None) -> Figure:
    figure = new_figure(11.0, 3.4)
    moments_over_time(ts, mean, cov, axes=list(figure.subplots(1, 3)), blow_up=blow_up)
    return figure
