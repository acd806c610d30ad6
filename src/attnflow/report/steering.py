"""A plan: the path from start to target, the controls over depth, how far the target is and what a replay says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d import Axes3D

from .canvas import ACCENT, INDEX_COLORS, INK, MUTED, SERIES, WARNING, Covs, Means, Times, new_figure, quiet
from .cone import cone_coordinates, cone_trajectory
from .ellipses import covariance_ellipses, ellipse_polygons

LOG_SPAN = 30.0
"""Controls that vary by more than this factor get a logarithmic axis."""

TINY = 1e-17
"""Errors below this are drawn here."""

DASHES = {"A": (0, (5, 2)), "V": "-", "B": "-.", "b": ":"}


@dataclass(frozen=True)
class Target:
    """Where a plan leads: `mean` (d,) and `cov` (d, d)."""

    mean: Float[np.ndarray, " d"]
    cov: Float[np.ndarray, "d d"]


@dataclass(frozen=True)
class Errors:
    """What a replay found at the times `ts` (t,), up to where it came.

    `distance` (t,) is the Bures-Wasserstein distance to the target; `mean` and `cov` (t,) are the relative differences
    to the reference path; `words` sum up the end.
    """

    ts: Times
    distance: Times
    mean: Times
    cov: Times
    words: str


def steering(
    ts: Times, mean: Means, cov: Covs, target: Target, *, values: Float[np.ndarray, "t r"],
    controls: Mapping[str, Times], distance: Times, errors: Errors, title: str,
) -> Figure:  # fmt: skip
    """The picture of a plan with the reference path `mean` (t, d), `cov` (t, d, d) over `ts` (t,) to `target`.

    `values` (t, r) are the variances of the path that count, largest first, `controls` the Frobenius norms (t,) by
    name, `distance` (t,) the Bures-Wasserstein distance of the path to the target, `errors` those of the replay. For
    d = 2 the plane and the cone are drawn, for d = 1 a band, and above it the projection on the plane of the two
    directions along which start, target and the way between their means extend most.
    """
    figure = new_figure(12.5, 7.6)
    upper, lower = cast(np.ndarray, figure.subfigures(2, 1, height_ratios=(1.35, 1.0)))
    planar = mean.shape[1] == 2
    places = cast(np.ndarray, upper.subfigures(1, 3 if planar else 2, width_ratios=(1.2, 1.1, 1.0) if planar else None))
    if mean.shape[1] == 1:
        band(ts, mean, cov, target, ax=places[0].subplots())
    else:
        plane(ts, mean, cov, target, ax=places[0].subplots())
    if planar:
        cone(cov, target, ax=cast(Axes3D, places[1].add_subplot(projection="3d")))
    spectrum(ts, values, np.linalg.eigvalsh(target.cov)[::-1][: values.shape[1]], ax=places[-1].subplots())
    one, two, three = cast(np.ndarray, lower.subplots(1, 3))
    norms_over_depth(ts, controls, ax=one)
    distance_over_depth(ts, distance, errors, ax=two)
    errors_over_depth(errors, ax=three)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def plane(ts: Times, mean: Means, cov: Covs, target: Target, *, ax: Axes) -> None:
    """The path and its ellipses on `ax`, the target dashed; above d = 2 projected on two orthonormal directions."""
    axes = _directions(mean, cov, target)
    flat, spread = mean @ axes, axes.T @ cov @ axes
    covariance_ellipses(flat, 0.5 * (spread + np.swapaxes(spread, 1, 2)), ts, ax=ax)
    goal, shape = target.mean @ axes, axes.T @ target.cov @ axes
    (outline,) = ellipse_polygons(goal[None], 0.5 * (shape + shape.T)[None], 1.0)
    ax.plot(*outline.T, color=WARNING, linewidth=1.4, linestyle=(0, (4, 3)), zorder=5, label="target")
    ax.plot(*goal, color=WARNING, marker="x", markersize=7, zorder=6)
    ax.legend(frameon=False, fontsize=8, loc="best")
    ax.autoscale_view()
    if mean.shape[1] == 2:
        ax.set_title("mean and one standard deviation", fontsize=9, loc="left")
    else:
        ax.set(xlabel="first direction", ylabel="second direction")
        ax.set_title("projection on the plane of start and target", fontsize=9, loc="left")


def band(ts: Times, mean: Means, cov: Covs, target: Target, *, ax: Axes) -> None:
    """Mean and one standard deviation over depth for d = 1 on `ax`, with those of the target at the end."""
    quiet(ax)
    middle, width = mean[:, 0], np.sqrt(cov[:, 0, 0])
    ax.fill_between(ts, middle - width, middle + width, color=ACCENT, alpha=0.2, linewidth=0)
    ax.plot(ts, middle, color=ACCENT, linewidth=1.8)
    spread = float(np.sqrt(target.cov[0, 0]))
    ax.errorbar(
        ts[-1], target.mean[0], yerr=spread, color=WARNING, marker="x", capsize=4, linewidth=1.4, label="target"
    )
    ax.legend(frameon=False, fontsize=8)
    ax.set_xlabel("depth t", fontsize=9)
    ax.set_title("mean and one standard deviation", fontsize=9, loc="left")


def cone(cov: Covs, target: Target, *, ax: Axes3D) -> None:
    """The path of 2 x 2 covariances in their cone on `ax`, the target as a cross."""
    cone_trajectory([cov], ax=ax)
    x, y, z = cone_coordinates(target.cov[None])[0]
    ax.plot([x], [y], [z], color=WARNING, marker="x", markersize=9, markeredgewidth=2, linestyle="none", label="target")


def spectrum(ts: Times, values: Float[np.ndarray, "t r"], target: Float[np.ndarray, " r"], *, ax: Axes) -> None:
    """The `values` of the r variances that count over depth on `ax`, those of the `target` as crosses at the end."""
    quiet(ax)
    ax.set_title(f"eigenvalues of the covariance, rank {values.shape[1]}", fontsize=9, loc="left")
    ax.set_xlabel("depth t", fontsize=9)
    if not values.shape[1]:
        ax.text(0.5, 0.5, "the covariance is zero", transform=ax.transAxes, ha="center", color=MUTED, fontsize=9)
        return
    width = 1.8 if values.shape[1] <= 10 else 0.9
    for column, color in zip(values.T, INDEX_COLORS(np.linspace(0.0, 1.0, values.shape[1])), strict=True):
        ax.plot(ts, column, color=color, linewidth=width)
    ends = np.full(target.size, ts[-1])
    ax.plot(
        ends, target, color=WARNING, marker="x", markersize=6, linestyle="none", label="target", clip_on=False, zorder=5
    )
    if values.max() > LOG_SPAN * values.min():
        ax.set_yscale("log")
    else:
        ax.set_ylim(0.0, 1.1 * max(values.max(), target.max()))
    ax.legend(frameon=False, fontsize=8)


def norms_over_depth(ts: Times, controls: Mapping[str, Times], *, ax: Axes) -> tuple[Line2D, ...]:
    """The norms of the `controls` over depth on `ax`; one that is zero throughout is named and not drawn."""
    quiet(ax)
    lines: list[Line2D] = []
    for (name, norms), color in zip(controls.items(), SERIES, strict=False):
        zero = not norms.any()
        label = f"|{name}| = 0" if zero else f"|{name}|"
        shown = slice(0, 0) if zero else slice(None)
        lines += ax.plot(
            ts[shown], norms[shown], color=color, linestyle=DASHES.get(name, "-"), linewidth=1.7, label=label
        )
    drawn = np.concatenate([norms for norms in controls.values() if norms.any()] or [np.ones(1)])
    if drawn.min() > 0 and drawn.max() > LOG_SPAN * drawn.min():
        ax.set_yscale("log")
    else:
        ax.set_ylim(0.0, 1.15 * float(drawn.max()))
    ax.legend(frameon=False, fontsize=8, ncols=2)
    ax.set_xlabel("depth t", fontsize=9)
    ax.set_title("controls (Frobenius norms)", fontsize=9, loc="left")
    return tuple(lines)


def distance_over_depth(ts: Times, distance: Times, errors: Errors, *, ax: Axes) -> None:
    """The distance of the path to the target over depth on `ax`, and that of the replay."""
    quiet(ax)
    ax.plot(ts, distance, color=ACCENT, linewidth=1.8, label=f"reference path, at the end {distance[-1]:.1e}")
    if errors.ts.size:
        label = f"replay, at the end {errors.distance[-1]:.1e}"
        ax.plot(errors.ts, errors.distance, color=WARNING, marker=".", markersize=5, linestyle="none", label=label)
    ax.set_ylim(0.0, 1.35 * (float(distance.max(initial=0.0)) or 1.0))
    ax.legend(frameon=False, fontsize=8, loc="upper right")
    ax.set_xlabel("depth t", fontsize=9)
    ax.set_title("Bures-Wasserstein distance to the target", fontsize=9, loc="left")


def errors_over_depth(errors: Errors, *, ax: Axes) -> None:
    """How far the replay lies from the reference path over depth on `ax`, and at the end from the target, in words."""
    quiet(ax)
    for values, name, color, dashes in ((errors.mean, "mean", ACCENT, "-"), (errors.cov, "covariance", WARNING, "--")):
        if errors.ts.size:
            ax.plot(errors.ts, np.maximum(values, TINY), color=color, linestyle=dashes, linewidth=1.5, label=name)
    ax.set_yscale("log")
    top = max(errors.mean.max(initial=TINY), errors.cov.max(initial=TINY))
    ax.set_ylim(TINY / 100, 1e3 * top)
    if errors.ts.size:
        ax.legend(frameon=False, fontsize=8, loc="lower right", ncols=2)
    ax.text(0.02, 0.97, errors.words, transform=ax.transAxes, va="top", fontsize=8, color=INK)
    ax.tick_params(which="minor", color=MUTED)
    ax.set_xlabel("depth t", fontsize=9)
    ax.set_title("replay (SciPy) against the reference, relative", fontsize=9, loc="left")


def _directions(mean: Means, cov: Covs, target: Target) -> Float[np.ndarray, "d 2"]:
    """The coordinates for d = 2; else the two directions along which start, target and their means differ most."""
    if mean.shape[1] == 2:
        return np.eye(2)
    way = target.mean - mean[0]
    vectors = np.linalg.eigh(cov[0] + target.cov + np.outer(way, way))[1]
    return np.asarray(vectors[:, -2:][:, ::-1])
