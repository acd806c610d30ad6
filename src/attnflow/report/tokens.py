"""Tokens in the plane."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection

from .canvas import ACCENT, MUTED, TIME_COLORS, axes_or_new, quiet

MOST_PATHS, MOST_POINTS = 150, 4000


def token_cloud(tokens: Float[np.ndarray, "t n 2"], *, ax: Axes | None = None) -> list[Collection]:
    """The `tokens` (t, n, 2) at the first time (grey) and the last (blue), and the paths of up to 150 of them.

    Paths go from dark to light in time. With many tokens an even selection is drawn. `ax` is the axes to draw into (new
    ones if None); returns the artists.
    """
    ax = axes_or_new(ax)
    quiet(ax)
    chosen = _even(tokens.shape[1], MOST_POINTS)
    paths = tokens[:, _even(tokens.shape[1], MOST_PATHS)]
    shades = TIME_COLORS(np.linspace(0.0, 1.0, max(len(tokens) - 1, 1)))
    lines: list[Collection] = [
        ax.add_collection(
            LineCollection(list(np.swapaxes(paths[i : i + 2], 0, 1)), colors=[shades[i]], linewidths=0.5, alpha=0.45)
        )
        for i in range(len(tokens) - 1)
    ]
    size = float(np.clip(4000 / max(chosen.size, 1), 2, 14))
    start = ax.scatter(
        tokens[0, chosen, 0], tokens[0, chosen, 1], s=size, color=MUTED, alpha=0.35, linewidths=0, label="start"
    )
    end = ax.scatter(
        tokens[-1, chosen, 0], tokens[-1, chosen, 1], s=size, color=ACCENT, alpha=0.8, linewidths=0, label="end"
    )
    ax.set(xlabel="$x_1$", ylabel="$x_2$", title=f"{tokens.shape[1]} tokens")
    ax.set_aspect("equal", adjustable="datalim")
    ax.legend(frameon=False, fontsize=8)
    return [*lines, start, end]


def _even(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
