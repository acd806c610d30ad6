"""The numbers that a training callback logs, under their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..diagnostics.attention import Attention

PREFIX = "attnflow"
QUERIES = 128
"""So many tokens ask in each head: enough for two digits of R^2, and a third of the cost of a diagnosis."""
APART = 0.1
"""Rounding in 16 bits stays well below; beyond, the weights are not what the block computes with."""
LAST = ("growth", "effective_rank", "token_cosine")
LARGEST = ("logit_variance", "logit_share")
MEDIAN = ("r2", "r2_ceiling")

Numbers = dict[str, float]


class Watching:
    """A visit that takes down few numbers of every layer: `numbers()` gives them by name.

    `attentions` are the heads by block, or why there is none; `seed` draws the queries. A number that cannot be had is
    left out: growth without spread, R^2 where nothing is predicted or an adapter changed the attention, everything
    behind a layer that is not finite.
    """

    def __init__(self, attentions: Sequence[Attention | str], *, seed: int) -> None:
        self.attentions, self.seed = attentions, seed
        self.traces: list[float] = []
        self.found: Numbers = {}
        self.broken: int | None = None

    def __call__(self, layer: int, inside: Any) -> None:
        """Take down what enters block `layer`, or leaves the last one."""
        from ..diagnostics.spread import spread_of
        from ..diagnostics.state import token_cosine

        if self.broken is not None or not np.isfinite(inside.state).all():
            self.broken = layer if self.broken is None else self.broken
            return
        spread, cosine = spread_of(inside.state), token_cosine(inside.state)
        self.traces.append(spread.trace if spread.rank else 0.0)
        self._grow(layer)
        if spread.rank:
            rank = spread.trace**2 / np.sum(np.square(spread.spectrum))
            self.found[f"layer{layer}/effective_rank"] = float(rank)
        if cosine is not None:
            self.found[f"layer{layer}/token_cosine"] = cosine
        if layer < len(self.attentions):
            self._predict(layer, inside)

    def numbers(self) -> Numbers:
        """By name: those of each layer and block, then those of the whole network."""
        depth, found = len(self.attentions), dict(self.found)
        if self.broken is not None:
            found["not_finite_from_layer"] = float(self.broken)
        if len(self.traces) == depth + 1 and min(self.traces[0], self.traces[-1]) > 0:
            found["growth"] = float(np.log(self.traces[-1] / self.traces[0]))
        for name in LAST[1:]:
            if f"layer{depth}/{name}" in self.found:
                found[name] = self.found[f"layer{depth}/{name}"]
        for names, together in ((LARGEST, np.max), (MEDIAN, np.median)):
            for name in names:
                values = [self.found[key] for block in range(depth) if (key := f"block{block}/{name}") in self.found]
                if values:
                    found[name] = float(together(values))
        return {f"{PREFIX}/{name}": value for name, value in found.items()}

    def _grow(self, layer: int) -> None:
        if layer and min(self.traces[-2:]) > 0:
            self.found[f"block{layer - 1}/growth"] = float(np.log(self.traces[-1] / self.traces[-2]))

    def _predict(self, block: int, inside: Any) -> None:
        from ..diagnostics.prediction import predict_attention

        attention = self.attentions[block]
        if isinstance(attention, str) or not np.isfinite(inside.attention).all():
            return
        told = predict_attention(attention, inside.attended, inside.attention, seed=self.seed, queries=QUERIES)
        if told.recomputed > APART:
            return
        largest = float(np.max(told.logit_variance))
        values = {"logit_variance": largest, "r2": told.r2, "r2_ceiling": told.r2_ceiling}
        values["logit_share"] = largest / told.two_log_n if told.two_log_n > 0 else None
        self.found |= {f"block{block}/{name}": value for name, value in values.items() if value is not None}


def middle(rows: Sequence[Numbers]) -> Numbers:
    """The median of each name over the `rows`, one a sequence, that have it; the first layer that is not finite."""
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: [row[name] for row in rows if name in row] for name in names}
    first = f"{PREFIX}/not_finite_from_layer"
    return {name: float(min(many) if name == first else np.median(many)) for name, many in values.items()}
