"""Figure 4: blocks without norms, with V = +-a I and B = +-c I; whose trace grows, and why.

Source: :cite:alcalde2026, Section 5.2 and Fig. 4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from ...doors.progress import progress_bar
from ...report.diagnosis_regimes import Regimes, regimes_figure
from ..check import Reproduction
from ..probe import Probe, Size, open_network, size_of
from . import fig4_checks as checks
from . import fig4_numbers as numbers
from .network_files import clouds, facts, write_all

if TYPE_CHECKING:
    from ...networks.encoder import Encoder

NAME: Final = "alcalde2026/fig4"
FILES: Final = ("fig4.png", "fig4.nc", "fig4.json")
BATCHES: Final = 20
QUERIES: Final = 256
"""Tokens whose weight for themselves is measured."""
FLOWS: Final = ("mean_field", "finite_n")


class Course(NamedTuple):
    """Trace of the covariance, norm of the mean and weight of a token for itself by layer, each (layers + 1,).

    NaN stands behind the last layer whose tokens are finite.
    """

    trace: Float[np.ndarray, " l"]
    mean_norm: Float[np.ndarray, " l"]
    own_weight: Float[np.ndarray, " l"]


def reproduce(folder: Path, probe: Probe) -> Reproduction:
    """Tokens and Gaussians through the modified blocks of the network that `probe` names; files go into `folder`.

    Source: :cite:alcalde2026, Fig. 4.
    """
    size = size_of(probe, batches=BATCHES, tokens=numbers.TOKENS)
    network = open_network(probe)
    rounds = len(numbers.DAMPINGS) * len(numbers.SIGNS)
    with progress_bar((size.batches + len(FLOWS)) * rounds, words=f"{network.name}: modified blocks") as report:
        ticks = itertools.count(1)
        data = study(network, size, lambda: report(next(ticks)))
    found = checks.input_checks(data, network.dim, size)
    if probe.is_default:
        found += checks.default_checks(data, size)
    data.attrs |= {"target": NAME, **facts(network, size)}
    return write_all(folder, FILES, data, found, lambda path: draw(data, path))


def study(network: Encoder, size: Size, tick: Callable[[], None] = lambda: None) -> xr.Dataset:
    """What becomes of `size` clouds of Gaussian tokens in `network`, for both dampings and the four pairs of signs.

    Beside them what the theory says: the Gaussian moved by the mean field, and by as many keys as there are tokens.
    `tick` is called after each course.
    """
    measured: list[list[Course]] = []
    flows: list[list[np.ndarray]] = []
    for damping, (value, logit) in itertools.product(numbers.DAMPINGS.values(), numbers.SIGNS.values()):
        scales = (value * numbers.A, logit * numbers.strength(network.dim), damping)
        measured.append([])
        for cloud in clouds(network.dim, size):
            measured[-1].append(course(network, cloud, scales))
            tick()
        flows.append([])
        for keys in (None, size.tokens):
            flows[-1].append(predicted(network, scales, keys, size.seed))
            tick()
    return _dataset(np.array(measured), np.array(flows), network.dim)


def course(network: Encoder, cloud: Float[np.ndarray, "n d"], scales: tuple[float, float, float]) -> Course:
    """One `cloud` (n, d) through the blocks of `network` with V, B and damping as in `scales`."""
    from ...networks.modified import Modified, modified_states, own_weights

    rule = Modified(*scales)
    rows = [
        (*_moments(tokens), float(own_weights(tokens, rule.B, QUERIES).mean()))
        for tokens in modified_states(network, cloud, rule)
    ]
    return Course(*_filled(rows, network.layers + 1, width=3))


def predicted(
    network: Encoder, scales: tuple[float, float, float], keys: int | None, seed: int
) -> Float[np.ndarray, "2 l"]:
    """Trace and norm of the mean of the Gaussian that attention with `keys` keys, or the mean field, moves."""
    from ...networks.modified import Modified
    from ...networks.modified_flow import modified_flow

    places = modified_flow(network, network.dim, Modified(*scales), keys=keys, seed=seed)
    rows = [(float(np.trace(place.cov)), float(np.linalg.norm(place.mean))) for place in places]
    return _filled(rows, network.layers + 1, width=2)


def draw(data: xr.Dataset, path: Path) -> None:
    """The figure of `data`: damped beside the mean field, damped beside as many keys as tokens, undamped."""
    regimes_figure(
        {
            "damped; thin: mean field": _regimes(data.sel(damping="damped"), "mean_field"),
            "damped; thin: n keys": _regimes(data.sel(damping="damped"), "finite_n"),
            "undamped": _regimes(data.sel(damping="undamped"), None),
        },
        title="Modified blocks: no norms, one head with V = +-a I and B = +-c I, the network's own feed-forwards",
        note="Thin: the Gaussian that the mean field moves through the same blocks (left), that n keys move (middle).",
        path=path,
    )


def _regimes(data: xr.Dataset, flow: str | None) -> Regimes:
    def curves(name: str) -> Mapping[str, np.ndarray]:
        return {str(pair): data[name].sel(signs=pair).values for pair in data.signs.values}

    if flow is None:
        return Regimes(curves("cov_trace"), curves("mean_norm"))
    thin = data.flow_trace.sel(flow=flow)
    return Regimes(
        curves("cov_trace"), curves("mean_norm"), {str(pair): thin.sel(signs=pair).values for pair in data.signs.values}
    )


def _dataset(measured: np.ndarray, flows: np.ndarray, dim: int) -> xr.Dataset:
    cases = (len(numbers.DAMPINGS), len(numbers.SIGNS))
    tokens, theory = (array.reshape(*cases, *array.shape[1:]) for array in (measured, flows))
    along = ("damping", "signs", "batch", "layer")
    data: dict[str, Any] = {
        name: (along, tokens[:, :, :, i]) for i, name in enumerate(("cov_trace", "mean_norm", "own_weight"))
    }
    for i, name in enumerate(("flow_trace", "flow_mean_norm")):
        data[name] = (("damping", "signs", "flow", "layer"), theory[:, :, :, i])
    data["last_finite_layer"] = (along[:3], np.isfinite(tokens[:, :, :, 0]).sum(axis=-1) - 1)
    found = xr.Dataset(data, {"damping": list(numbers.DAMPINGS), "signs": list(numbers.SIGNS), "flow": list(FLOWS)})
    found.attrs = {"a": numbers.A, "c": numbers.strength(dim), "factors": dict(numbers.DAMPINGS)}
    return found.assign_coords(layer=np.arange(tokens.shape[-1]), batch=np.arange(tokens.shape[2]))


def _moments(tokens: Float[np.ndarray, "n d"]) -> tuple[float, float]:
    wide = tokens.astype(np.float64)
    return float(wide.var(axis=0).sum()), float(np.linalg.norm(wide.mean(axis=0)))


def _filled(rows: Sequence[tuple[float, ...]], length: int, *, width: int) -> np.ndarray:
    """The `rows` as columns, (`width`, `length`), NaN behind the last."""
    filled = np.full((width, length), np.nan)
    filled[:, : len(rows)] = np.array(rows).T
    return filled
