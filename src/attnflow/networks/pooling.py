"""Many tokens as one vector."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Tokens = Float[np.ndarray, "n d"]
Pooled = Float[np.ndarray, " d"]


def _weighted(tokens: Tokens) -> Pooled:
    return np.average(tokens, axis=0, weights=np.arange(1, len(tokens) + 1))


MODES: dict[str, Callable[[Tokens], Pooled]] = {
    "mean": lambda tokens: tokens.mean(axis=0),
    "cls": lambda tokens: tokens[0],
    "last": lambda tokens: tokens[-1],
    "max": lambda tokens: tokens.max(axis=0),
    "weighted mean": _weighted,
    "mean times sqrt(n)": lambda tokens: tokens.sum(axis=0) / np.sqrt(len(tokens)),
}


@dataclasses.dataclass(frozen=True)
class Pooling:
    """How the tokens of a sequence become its vector: `mode` is a key of `MODES`; `normalised` scales it to length 1.

    The weights of "weighted mean" are the positions 1 to n.
    """

    mode: str
    normalised: bool = False

    def __call__(self, tokens: Tokens) -> Pooled:
        """The vector (d,) of `tokens` (n, d), in float32 after sums in float64."""
        vector = MODES[self.mode](tokens.astype(np.float64))
        if self.normalised:
            vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return vector.astype(np.float32)
