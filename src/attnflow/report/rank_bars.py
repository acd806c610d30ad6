"""Ranks of limits of covariances, counted: bars for each dimension, and what a published algorithm made of them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .canvas import ACCENT, FAINT, INK, MUTED, WARNING, new_figure, quiet
from .overview import save

EXACT, CUT, PUBLISHED = ACCENT, FAINT, WARNING


@dataclass(frozen=True)
class RankPanel:
    """One histogram: `title`, dimension `d`, the ranks (n,) of the exact limits, and those that a cut would count.

    `cut_ranks` are the numbers of limit eigenvalues above the published cut.
    """

    title: str
    d: int
    ranks: Int[np.ndarray, " n"]
    cut_ranks: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class PublishedRun:
    """The published algorithm on one panel: the `ranks` (m,) that it reports, the true ones, and the eigenvalues.

    `eigenvalues` (m, d) of its end states and `true_eigenvalues` (m, d) of the exact limits, ascending; `cut` is what
    it counts as nonzero, `redrawn` the number of starts that it threw away.
    """

    title: str
    ranks: Int[np.ndarray, " m"]
    true_ranks: Int[np.ndarray, " m"]
    eigenvalues: Float[np.ndarray, "m d"]
    true_eigenvalues: Float[np.ndarray, "m d"]
    cut: float
    redrawn: int


def rank_bars(
    rows: Mapping[str, Sequence[RankPanel]],
    published: PublishedRun,
    *,
    title: str,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Histograms in `rows`, a column for each dimension, and below them the `published` run of one of them.

    `title` says the result. With `path` the figure is also written there, whole or not at all.

    Raises BadInput when `path` cannot be written.

    Source: :cite:castin2025, rank histograms.
    """
    across = max(len(panels) for panels in rows.values())
    figure = new_figure(3.3 * across, 1.75 * len(rows) + 4.0)
    halves = figure.subfigures(2, 1, height_ratios=(1.75 * len(rows), 3.4))
    upper, lower = cast(np.ndarray, halves)
    grid = upper.subplots(len(rows), across, squeeze=False, sharey=True)
    for line, (label, panels) in zip(grid, rows.items(), strict=True):
        for ax, panel in zip(line, panels, strict=True):
            _bars(ax, panel.d, {EXACT: panel.ranks, CUT: panel.cut_ranks})
        line[0].set_ylabel(label, fontsize=9, color=INK)
    for ax, panel in zip(grid[0], next(iter(rows.values())), strict=True):
        ax.set_title(panel.title, fontsize=10, color=INK)
    for ax in grid[-1]:
        ax.set_xlabel("rank", fontsize=9, color=INK)
    words = ["exact limit", f"exact limit, eigenvalues above {published.cut:g} only"]
    upper.legend(grid[0, 0].containers, words, loc="outside lower center", ncols=2, fontsize=8.5, frameon=False)
    left, right = lower.subplots(1, 2, width_ratios=(1.0, 1.35))
    _compare(left, published)
    _eigenvalues(right, published)
    lower.suptitle(published.title, fontsize=11, color=INK)
    figure.suptitle(title, fontsize=12.5, color=INK)
    if path is not None:
        save(figure, path)
    return figure


def _bars(ax: Axes, d: int, groups: Mapping[str, np.ndarray]) -> None:
    """Shares of each rank 0..d; the groups stand side by side."""
    quiet(ax)
    width = 0.8 / len(groups)
    for i, (color, ranks) in enumerate(groups.items()):
        shares = np.bincount(ranks, minlength=d + 1) / len(ranks)
        place = np.arange(d + 1) + (i - (len(groups) - 1) / 2) * width
        edge = MUTED if color == CUT else color
        ax.bar(place, shares, width=width, color=color, edgecolor=edge, linewidth=0.6)
    ax.set(xticks=np.arange(d + 1), ylim=(0, 1.08))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(visible=False, axis="x")


def _compare(ax: Axes, run: PublishedRun) -> None:
    d = run.eigenvalues.shape[1]
    _bars(ax, d, {EXACT: run.true_ranks, PUBLISHED: run.ranks})
    ax.set_xlabel("rank", fontsize=9, color=INK)
    ax.set_ylabel("share of the accepted samples", fontsize=9, color=INK)
    ax.legend(ax.containers, ["exact", "published algorithm"], fontsize=8.5, frameon=False, loc="upper right")
    ax.set_title(f"{len(run.ranks)} samples accepted, {run.redrawn} starts thrown away", fontsize=9.5, color=INK)


def _eigenvalues(ax: Axes, run: PublishedRun) -> None:
    quiet(ax)
    kept = run.true_ranks.max()
    order = np.argsort(run.true_eigenvalues[:, -kept])
    place = np.arange(1, len(order) + 1)
    shown = ((run.true_eigenvalues, EXACT, "o", 22), (run.eigenvalues, PUBLISHED, "x", 20))
    for values, color, marker, size in shown:
        for j in range(1, kept + 1):
            ax.scatter(place, values[order, -j], s=size, color=color, marker=marker, linewidths=1.2)
    ax.axhline(run.cut, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
    ax.text(place[-1], 1.15 * run.cut, f"published cut {run.cut:g}", fontsize=8, color=INK, ha="right", va="bottom")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_yscale("log")
    ax.set_xlabel("sample, by its smallest true eigenvalue", fontsize=9, color=INK)
    ax.set_ylabel("eigenvalues of the limit", fontsize=9, color=INK)
    ax.set_title("the largest eigenvalues: exact (dots), published (crosses)", fontsize=9.5, color=INK)
