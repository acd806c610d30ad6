"""Figure 2: how far Gaussian tokens are from their Gaussian, layer by layer of a pretrained network.

Source: :cite:alcalde2026, Section 5.2 and Fig. 2.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from ...doors.diagnosis.row import Measuring
from ...doors.progress import progress_bar
from ...measures.sliced import unit_directions
from ...report.diagnosis_distances import distances_figure
from ..check import Check, Reproduction, close, same
from ..probe import Probe, Size, open_network, size_of
from . import fig2_numbers as numbers
from .network_files import clouds, facts, write_all

if TYPE_CHECKING:
    from ...networks.encoder import Encoder

NAME: Final = "alcalde2026/fig2"
FILES: Final = ("fig2.png", "fig2.nc", "fig2.json")
BATCHES: Final = 20
TOKENS: Final = 8192
DIRECTIONS: Final = 256
MEASURED: Final = (
    "mean_norm", "cov_trace", "effective_rank", "sliced_w2", "sliced_w2_scaled", "sliced_w2_floor", "mmd", "mmd_floor",
)  # fmt: skip


def reproduce(folder: Path, probe: Probe) -> Reproduction:
    """The distances by layer of the network that `probe` names, their checks and picture; files go into `folder`.

    Source: :cite:alcalde2026, Fig. 2.
    """
    size = size_of(probe, batches=BATCHES, tokens=TOKENS)
    network = open_network(probe)
    with progress_bar(size.batches * (network.layers + 1), words=f"{network.name}: layers") as report:
        ticks = itertools.count(1)
        data = distances(network, size, lambda: report(next(ticks)))
    found = input_checks(data, network.dim, size)
    if probe.is_default:
        found += default_checks(data, size)
    data.attrs |= {"target": NAME, **facts(network, size)}
    title = "Gaussian tokens through a network: the distance to the Gaussian with their mean and covariance"

    def draw(path: Path) -> None:
        distances_figure({network.name: data}, title=title, path=path)

    return write_all(folder, FILES, data, found, draw)


def distances(network: Encoder, size: Size, tick: Callable[[], None] = lambda: None) -> xr.Dataset:
    """What is measured on `size` clouds of Gaussian tokens in each layer of `network`; `tick` is called after each."""
    axes = np.asarray(unit_directions(network.dim, DIRECTIONS, size.seed))
    rows = []
    for cloud in clouds(network.dim, size):
        visit = Measuring((), axes, seed=size.seed, on_layer=tick)
        network.run_tokens(cloud, visit)
        rows.append(visit.row())
    data: dict[str, Any] = {name: (("batch", "layer"), np.stack([row[name] for row in rows])) for name in MEASURED}
    data["tokens"] = (("batch",), np.full(size.batches, size.tokens))
    return xr.Dataset(data, {"batch": np.arange(size.batches), "layer": np.arange(network.layers + 1)})


def input_checks(data: xr.Dataset, dim: int, size: Size) -> list[Check]:
    """What holds for every network: the input is Gaussian, so that its distances lie at their floors."""
    start = data.isel(layer=0).mean("batch")
    floor = float(data.sliced_w2_floor[0, 0])
    # the squares of the slices: relative deviation 0.7 / 2, almost independent
    error = numbers.NORMAL * 0.35 * float(np.sqrt((1 / DIRECTIONS + 3 / dim**2) / size.batches))
    return [
        close(
            "input: sliced W2 over sqrt(tr / d), against its floor",
            start.sliced_w2_scaled,
            floor,
            rtol=0.5 * error + 0.005,
        ),
        close("input: discrepancy against its floor", start.mmd, start.mmd_floor, rtol=numbers.NULL_MMD),
    ]


def default_checks(data: xr.Dataset, size: Size) -> list[Check]:
    """What holds for MiniLM: distances and effective ranks by layer, and that the distance rises."""
    found = []
    if size.tokens >= numbers.ENOUGH:
        scaled = data.sliced_w2_scaled
        rising = int(np.sum(np.all(np.diff(scaled.isel(layer=slice(1, None)), axis=1) > 0, axis=1)))
        found.append(same("batches whose scaled distance rises in each layer from the first on", rising, size.batches))
    if size.tokens == numbers.TOKENS:
        for name, table in numbers.BY_LAYER.items():
            found += [_referred(data[name].isel(layer=layer), layer, table, size) for layer in range(1, 7)]
    return found


def _referred(values: xr.DataArray, layer: int, table: numbers.Table, size: Size) -> Check:
    """The mean over the batches against that of the separate program, within the noise of both."""
    mean, spread = table.mean[layer], table.spread[layer]
    error = numbers.NORMAL * spread * float(np.sqrt(1 / size.batches + 1 / numbers.CLOUDS))
    return close(f"layer {layer}: {table.words}", values.mean(), mean, rtol=max(error / mean, numbers.DIRECTIONS_NOISE))
