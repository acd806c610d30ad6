"""Figure 3: the marginal of the coordinate of median variance, layer by layer of a pretrained network.

Source: :cite:alcalde2026, Section 5.2 and Fig. 3.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from ...doors.diagnosis.row import LEVELS, marginal
from ...doors.progress import progress_bar
from ...report.diagnosis_marginals import marginals_figure
from ..check import Check, Reproduction, close
from ..probe import Probe, Size, open_network, size_of
from . import fig3_numbers as numbers
from .network_files import clouds, facts, write_all

if TYPE_CHECKING:
    from ...networks.encoder import Encoder

NAME: Final = "alcalde2026/fig3"
FILES: Final = ("fig3.png", "fig3.nc", "fig3.json")
BATCHES: Final = 5
TOKENS: Final = 8192
PANELS: Final = 7


class Marginal(NamedTuple):
    """The `coordinate` whose variance is nearest to the median of all variances, and its law.

    `deviation` is its standard deviation, `kurtosis` its excess kurtosis, `quantiles` those at the middles of equal
    cells; `median_deviation` is the root of the median variance, `median_kurtosis` the median over all coordinates.
    """

    coordinate: int
    deviation: float
    kurtosis: float
    median_deviation: float
    median_kurtosis: float
    quantiles: Float[np.ndarray, " levels"]


def reproduce(folder: Path, probe: Probe) -> Reproduction:
    """The marginals by layer of the network that `probe` names, their checks and picture; files go into `folder`.

    The picture shows the first batch; the others tell the noise.

    Source: :cite:alcalde2026, Fig. 3.
    """
    size = size_of(probe, batches=BATCHES, tokens=TOKENS)
    network = open_network(probe)
    with progress_bar(size.batches * (network.layers + 1), words=f"{network.name}: layers") as report:
        ticks = itertools.count(1)
        data = marginals(network, size, lambda: report(next(ticks)))
    found = input_checks(data, size)
    if probe.is_default:
        found += default_checks(data, size)
    data.attrs |= {"target": NAME, **facts(network, size)}
    title = f"Gaussian tokens through a network: the marginal of one coordinate by layer ({size.tokens} tokens)"

    def draw(path: Path) -> None:
        marginals_figure({network.name: data}, columns=PANELS, title=title, path=path)

    return write_all(folder, FILES, data, found, draw)


def marginals(network: Encoder, size: Size, tick: Callable[[], None] = lambda: None) -> xr.Dataset:
    """The marginals of `size` clouds of Gaussian tokens in each layer of `network`; `tick` is called after each."""
    rows: list[list[Marginal]] = []

    def visit(layer: int, inside: Any) -> None:
        rows[-1].append(median_marginal(inside.state))
        tick()

    for cloud in clouds(network.dim, size):
        rows.append([])
        network.run_tokens(cloud, visit)
    along = ("batch", "layer")
    names = [name for name in Marginal._fields if name != "quantiles"]
    data: dict[str, Any] = {
        name: (along, np.array([[getattr(m, name) for m in row] for row in rows])) for name in names
    }
    data["quantiles"] = ((*along, "level"), np.array([[m.quantiles for m in row] for row in rows]))
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    coordinates = {"batch": np.arange(size.batches), "layer": np.arange(network.layers + 1), "level": levels}
    found = xr.Dataset(data, coordinates)
    first = found.isel(batch=0, drop=True)
    return found.assign(marginal=first.quantiles, marginal_coordinate=first.coordinate)


def median_marginal(state: Float[np.ndarray, "n d"]) -> Marginal:
    """The marginal of `state` (n, d) that the figure shows, and the medians over its coordinates."""
    coordinate, quantiles = marginal(state)
    centred = state - state.mean(axis=0, dtype=np.float64)
    squares = np.square(centred)
    variances = squares.mean(axis=0)
    kurtosis = np.square(squares).mean(axis=0) / np.square(variances) - 3
    return Marginal(
        coordinate=coordinate,
        deviation=float(np.sqrt(variances[coordinate])),
        kurtosis=float(kurtosis[coordinate]),
        median_deviation=float(np.sqrt(np.median(variances))),
        median_kurtosis=float(np.median(kurtosis)),
        quantiles=quantiles,
    )


def input_checks(data: xr.Dataset, size: Size) -> list[Check]:
    """What holds for every network: which coordinate is shown, and that its law at the input is N(0, 1)."""
    start = data.isel(layer=0)
    n = size.tokens * size.batches
    gap = float(np.abs(data.deviation / data.median_deviation - 1).max())
    return [
        close("every layer: deviation of the coordinate over the median one, largest gap", gap, 0.0, atol=numbers.GAP),
        close("input: standard deviation", start.deviation.mean(), 1.0, atol=numbers.NORMAL / (2 * n) ** 0.5),
        close("input: excess kurtosis", start.kurtosis.mean(), 0.0, atol=numbers.NORMAL * (24 / n) ** 0.5),
    ]


def default_checks(data: xr.Dataset, size: Size) -> list[Check]:
    """What holds for MiniLM: spread and kurtosis by layer, medians over the coordinates."""
    if size.tokens != numbers.TOKENS:
        return []
    found = []
    for layer in range(1, data.sizes["layer"]):
        here = data.isel(layer=layer)
        for name, words, table in (
            ("median_deviation", "root of the median variance", numbers.DEVIATION),
            ("median_kurtosis", "median excess kurtosis of the coordinates", numbers.KURTOSIS),
        ):
            mean, spread = table[layer]
            error = numbers.NORMAL * spread * (1 / size.batches + 1 / numbers.CLOUDS) ** 0.5
            found.append(close(f"layer {layer}: {words}", here[name].mean(), mean, atol=error))
    return found
