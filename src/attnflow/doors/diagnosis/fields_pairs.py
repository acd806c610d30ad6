"""Single numbers of a comparison of two models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...diagnostics.pairing import Pairing


def cosine_quantile(level: float) -> Callable[[Pairing], float | None]:
    """The function that gives the quantile `level` of the cosines of the outputs, None without cosines."""

    def quantile(pairing: Pairing) -> float | None:
        return None if pairing.cosine is None else float(np.quantile(pairing.cosine, level))

    return quantile


def drift_at(layer: int) -> Callable[[Pairing], float | None]:
    """The function that gives the drift at `layer` (-1 is the last one), None without a drift."""

    def drift(pairing: Pairing) -> float | None:
        return None if pairing.drift is None else float(pairing.drift.value[layer])

    return drift


def drift_max(pairing: Pairing) -> float | None:
    """The largest drift of all layers of `pairing`, None without a drift."""
    return None if pairing.drift is None else float(pairing.drift.value.max())


def drift_start(pairing: Pairing) -> float | None:
    """The layer where the drift of `pairing` starts, the number of blocks plus 1 if nowhere; None without a drift."""
    drift = pairing.drift
    if drift is None:
        return None
    return float(drift.value.size if drift.start is None else drift.start)
