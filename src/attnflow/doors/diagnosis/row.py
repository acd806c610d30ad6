"""The measurements of one input, layer by layer, while it passes through the network."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ...diagnostics.attention import Attention
from ...diagnostics.prediction import Prediction, predict_attention
from ...diagnostics.spread import Spread, spread_of
from ...diagnostics.state import State, measure_state

MASSIVE = 3
LEVELS = 257
PER_STATE = (
    "mean_norm", "cov_trace", "effective_rank", "numerical_rank", "token_cosine", "sliced_w2", "sliced_w2_scaled",
    "mmd", "mmd_floor", "massive_share",
)  # fmt: skip
PER_BLOCK = (
    "r2", "r2_finite_n", "r2_ceiling", "r2_finite_n_ceiling", "r2_mean_only", "r2_control",
    "r2_finite_n_control", "predicted_growth",
    "measured_growth", "two_log_n", "recomputed",
)  # fmt: skip
PER_HEAD = ("logit_variance", "effective_keys")

LARGEST = 1e15
"""Beyond it the squares of single precision overflow before long."""


class Overflowed(Exception):
    """A state or an attention output is beyond all bounds, or not a number, at the `layer`."""

    def __init__(self, layer: int) -> None:
        super().__init__(f"layer {layer}")
        self.layer = layer


Row = dict[str, np.ndarray]
"""Arrays by the names of the dataset, without the axis of the inputs."""


class Measuring:
    """A visit that measures every state and predicts every attention; `row()` is what it found.

    `attentions` are the heads by block, or why there is none; `axes` (l, d) the directions of the sliced distance;
    `seed` draws queries and controls; `kept` is how many tokens of each state are kept as they are (`sample`);
    `draws` is how many clouds of Gaussian tokens make a ceiling; `on_layer` is called when a layer is done; `seconds`
    is the time that it took, apart from the network's own.
    """

    def __init__(
        self, attentions: tuple[Attention | str, ...], axes: Float[np.ndarray, "l d"], *, seed: int, kept: int = 0,
        draws: int = 1, on_layer: Any = None,
    ) -> None:  # fmt: skip
        self.attentions, self.axes, self.seed, self.kept, self.on_layer = attentions, axes, seed, kept, on_layer
        self.draws, self.seconds = draws, 0.0
        self.states: list[State] = []
        self.predictions: list[Prediction | str] = []
        self.means: list[np.ndarray] = []
        self.samples: list[np.ndarray] = []
        self.marginals: list[tuple[int, np.ndarray]] = []

    def __call__(self, layer: int, inside: Any) -> None:
        """Measure what enters block `layer`, or leaves the last one."""
        began = time.perf_counter()
        state = np.asarray(inside.state)
        require_size(layer, state, inside.attention)
        spread = spread_of(state)
        self.states.append(measure_state(state, self.axes, spread=spread))
        self.means.append(state.mean(axis=0, dtype=np.float64).astype(np.float32))
        self.samples.append(state[chosen(state.shape[0], self.kept, self.seed)])
        self.marginals.append(marginal(state))
        if layer < len(self.attentions):
            self.predictions.append(self._predicted(self.attentions[layer], inside, spread))
        if self.on_layer is not None:
            self.on_layer()
        self.seconds += time.perf_counter() - began

    def _predicted(self, attention: Attention | str, inside: Any, spread: Spread) -> Prediction | str:
        if isinstance(attention, str):
            return attention
        own = spread if np.shares_memory(inside.state, inside.attended) else None  # the heads read the state itself
        return predict_attention(
            attention, inside.attended, inside.attention, seed=self.seed, draws=self.draws, spread=own
        )

    def row(self) -> Row:
        """What was found, by the names of the dataset."""
        found: Row = {name: np.array([_number(getattr(s, name)) for s in self.states]) for name in PER_STATE}
        found["sliced_w2_floor"] = np.array([s.sliced_w2_floor_scaled for s in self.states])
        found["normality_p"] = np.array([_number(s.normality_p) for s in self.states])
        found["spectrum"] = np.stack([s.spectrum for s in self.states])
        found |= _massive(self.states)
        found["tokens"] = np.array(self.states[0].n)
        found["layer_mean"] = np.stack(self.means)
        found["sample"] = np.stack(self.samples)
        found["marginal_coordinate"] = np.array([c for c, _ in self.marginals])
        found["marginal"] = np.stack([q for _, q in self.marginals])
        return found | self._blocks()

    def _blocks(self) -> Row:
        heads = max((p.logit_variance.size for p in self.predictions if isinstance(p, Prediction)), default=0)
        found: Row = {name: np.array([_of(p, name) for p in self.predictions]) for name in PER_BLOCK}
        found["trusted"] = np.array([isinstance(p, Prediction) and p.trusted for p in self.predictions])
        found["reason"] = np.array([p if isinstance(p, str) else p.reason for p in self.predictions])
        for name in PER_HEAD:
            missing = np.full(heads, np.nan)
            rows = [missing if isinstance(p, str) else np.asarray(getattr(p, name)) for p in self.predictions]
            found[name] = np.stack(rows) if rows else np.zeros((0, heads))
        return found


def require_size(layer: int, *arrays: np.ndarray | None) -> None:
    """Raise Overflowed at `layer` unless every number of the `arrays` is below LARGEST in size."""
    for array in arrays:
        if array is not None and not float(np.abs(array).max(initial=0.0)) <= LARGEST:
            raise Overflowed(layer)


def chosen(n: int, kept: int, seed: int) -> np.ndarray:
    """Which `kept` of `n` tokens are kept, in order: the same for every layer and every network at one `seed`."""
    if kept >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, 1]).choice(n, kept, replace=False))


def marginal(state: Float[np.ndarray, "n d"]) -> tuple[int, Float[np.ndarray, " levels"]]:
    """The coordinate of `state` (n, d) whose variance is nearest to the median of them all, and its quantiles."""
    variances = state.var(axis=0, dtype=np.float64)
    coordinate = int(np.argmin(np.abs(variances - np.median(variances))))
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    return coordinate, np.quantile(state[:, coordinate].astype(np.float64), levels)


def _massive(states: list[State]) -> Mapping[str, np.ndarray]:
    channel, share = np.full((len(states), MASSIVE), -1), np.zeros((len(states), MASSIVE))
    for i, state in enumerate(states):
        for j, massive in enumerate(state.massive_channels[:MASSIVE]):
            channel[i, j], share[i, j] = massive.channel, massive.share
    return {"massive_channel": channel, "massive_channel_share": share}


def _of(prediction: Prediction | str, name: str) -> float:
    return np.nan if isinstance(prediction, str) else _number(getattr(prediction, name))


def _number(value: float | None) -> float:
    """NaN stands for "no value" in a dataset, as everywhere in xarray."""
    return np.nan if value is None else float(value)
