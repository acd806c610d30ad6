"""Tokens with a nonlinear feed-forward leave the Gaussian flow: the distance over time beside the bound."""

from collections.abc import Mapping
from typing import TypeAlias, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import INK, MUTED, SERIES, WARNING, Times, new_figure, quiet, require_times

Rows: TypeAlias = tuple[Times, Times, Times, Times]
LABELS = {"identity": "to the Gaussian flow of the identity", "closure": "to the moment closure"}


def departure_figure(
    ts: Times, distances: Mapping[str, Rows], *, bound: float, slope: float | None, time: float | None, exact: bool
) -> Figure:
    """W_2 over time to each Gaussian flow beside the line t * `bound`, and what it is divided by t.

    `distances` by flow (identity, closure): its times, the lower and upper ends of W_2 there, and what slices give,
    dashed; `exact` draws the upper ends only. `slope` is the limit of W_2 / t at 0, `time` the one of Lemma 2.2 (both
    may be None); `ts` those of the study.

    Raises BadInput when `ts` is empty.
    """
    require_times(ts)
    figure = new_figure(10.0, 4.0)
    left, right = cast(np.ndarray, figure.subplots(1, 2))
    last = float(ts[-1])
    for ax in (left, right):
        quiet(ax)
        ax.set_xlabel("time", fontsize=9)
    line = np.array([0.0, last])
    left.plot(line, bound * line, color=INK, linestyle="--", linewidth=1.2, label="bound: t times the constant")
    right.axhline(bound, color=INK, linestyle="--", linewidth=1.2)
    if slope is not None:
        left.plot(line, slope * line, color=MUTED, linestyle=":", linewidth=1.4, label="sharp slope")
        right.axhline(slope, color=MUTED, linestyle=":", linewidth=1.4)
    for color, (name, rows) in zip(SERIES, distances.items(), strict=False):
        _draw(left, right, rows, color=color, label=LABELS.get(name, name), exact=exact)
    if time is not None and time <= last:
        for ax in (left, right):
            ax.axvline(time, color=WARNING, linewidth=0.9)
        left.annotate("time of Lemma 2.2", (time, 0.98), xycoords=("data", "axes fraction"), rotation=90, ha="right",
                      va="top", fontsize=7, color=WARNING)  # fmt: skip
    left.set_title("2-Wasserstein distance of the tokens", fontsize=9)
    right.set_title("the distance over t", fontsize=9)
    left.legend(frameon=False, fontsize=8)
    right.set_ylim(bottom=0.0)
    return figure


def _draw(left: Axes, right: Axes, rows: Rows, *, color: str, label: str, exact: bool) -> None:
    ts, *ends = rows
    seen = ts > 0
    for ax, at, (low, high, sliced) in ((left, ts, ends), (right, ts[seen], [row[seen] / ts[seen] for row in ends])):
        ax.plot(at, high, color=color, marker="o", markersize=2.5, linewidth=1.4, label=label)
        if not exact:
            ax.fill_between(at, low, high, color=color, alpha=0.2, linewidth=0)
            ax.plot(at, sliced, color=color, linestyle="--", linewidth=0.9)
