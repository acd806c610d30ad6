"""Eigenvalues in the complex plane, with their distance to the imaginary axis."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .._check import BadInput
from .canvas import INK, MUTED, SERIES, WARNING, axes_or_new, new_figure, quiet
from .overview import save

MARKERS = ("o", "s", "^", "D", "v")
SIZES = (74, 40, 20, 12, 8)
"""Large and hollow to small and full: sets that coincide can all be seen."""

ROUNDING = 1e-12


@dataclass(frozen=True)
class Spectrum:
    """A set of eigenvalues `values` (n,), named by `label`."""

    label: str
    values: Complex[np.ndarray, " n"]

    @property
    def abscissa(self) -> float:
        """The largest real part."""
        return float(self.values.real.max())

    def __str__(self) -> str:
        """Name and largest real part, 0 where it is within rounding."""
        size = float(np.abs(self.values).max())
        value = "0" if abs(self.abscissa) <= ROUNDING * size else f"{self.abscissa:+.3g}".replace("-", "\u2212")
        return f"{self.label}: max Re = {value}"


@dataclass(frozen=True)
class SpectrumPanel:
    """The artists of `spectrum_panel`: one set of `points` and one `margins` line for each spectrum."""

    axes: Axes
    points: tuple[PathCollection, ...]
    margins: tuple[Line2D, ...]


def spectrum_panel(spectra: Sequence[Spectrum], *, title: str | None = None, ax: Axes | None = None) -> SpectrumPanel:
    """Draw `spectra` in the complex plane; a bar joins each rightmost eigenvalue with the imaginary axis.

    The length of that bar is the margin of stability (or of instability, in the shaded half plane); the legend below
    the panel says it in numbers. `title` stands above; `ax` is drawn on, a new one if None.

    Raises BadInput when there is no eigenvalue.
    """
    if not any(len(s.values) for s in spectra):
        raise BadInput("`spectra` must hold at least one eigenvalue: none was found.")
    spectra = [s for s in spectra if len(s.values)]
    ax = axes_or_new(ax, width=4.8, height=4.8)
    drawn = [_add(ax, spectrum, i) for i, spectrum in enumerate(spectra)]
    _dress(ax, np.concatenate([s.values for s in spectra]))
    # outside the axes: eigenvalues may lie anywhere inside
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8.5, frameon=False, labelcolor=INK)
    if title is not None:
        ax.set_title(title, fontsize=10.5, color=INK, loc="left")
    points, margins = zip(*drawn, strict=True)
    return SpectrumPanel(ax, points, margins)


def spectrum_with_margins(
    generators: Sequence[Spectrum],
    linearisation: Spectrum | None = None,
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """The spectra of the `generators` (of A, of the covariance at its limit, of the mean) in one panel.

    The `linearisation` of the covariance equation on symmetric matrices has a second panel, left out if None.
    `title` says the result. With `path` the figure is also written there, whole or not at all.

    Raises BadInput when there is no eigenvalue, or `path` cannot be written.

    Source: this package, docs/theory/long-run.md.
    """
    columns = 1 if linearisation is None else 2
    figure = new_figure(4.7 * columns, 5.0)
    spectrum_panel(generators, title="generators", ax=figure.add_subplot(1, columns, 1))
    if linearisation is not None:
        panel = spectrum_panel(
            [linearisation], title="linearisation on symmetric matrices", ax=figure.add_subplot(1, columns, 2)
        )
        panel.axes.set_ylabel("")
    if title is not None:
        figure.suptitle(title, fontsize=12, color=INK)
    if path is not None:
        save(figure, path)
    return figure


def _add(ax: Axes, spectrum: Spectrum, index: int) -> tuple[PathCollection, Line2D]:
    color, values = SERIES[index % len(SERIES)], spectrum.values
    size = SIZES[min(index, len(SIZES) - 1)]
    points = ax.scatter(
        values.real, values.imag, s=size, marker=MARKERS[index % len(MARKERS)], zorder=4 + index, linewidth=1.6,
        facecolor="none" if index == 0 else color, edgecolor=color, label=str(spectrum),
    )  # fmt: skip
    right = values[int(values.real.argmax())]
    height = abs(float(right.imag))  # of a pair the upper one carries the bar
    (margin,) = ax.plot([0.0, right.real], [height, height], color=color, linewidth=3.0, alpha=0.35, zorder=2)
    return points, margin


def _dress(ax: Axes, values: np.ndarray) -> None:
    quiet(ax)
    left, right = min(float(values.real.min()), 0.0), max(float(values.real.max()), 0.0)
    width = max(right - left, 0.5 * float(np.abs(values.imag).max()), 1e-300)
    tall = max(1.15 * float(np.abs(values.imag).max()), 0.3 * width)
    ax.set(xlim=(left - 0.12 * width, right + 0.16 * width), ylim=(-tall, tall))
    ax.axvspan(0.0, right + 0.16 * width, color=WARNING, alpha=0.06, linewidth=0, zorder=0)
    ax.axvline(0.0, color=INK, linewidth=1.0, zorder=1)
    ax.axhline(0.0, color=MUTED, linewidth=0.5, zorder=1)
    ax.set_xlabel("Re", fontsize=9, color=INK)
    ax.set_ylabel("Im", fontsize=9, color=INK)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_major_locator(MaxNLocator(6))
