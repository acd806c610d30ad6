"""Whether the Gaussian prediction of a block holds over all inputs together, and why or why not.

Source: this package, docs/theory/diagnose.md, section 4.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import Bool, Float

from ...diagnostics.attention_trust import DEVIATIONS, SHARE, verdict
from .row import Row

MANY = 8
"""From so many inputs on their spread says what chance does."""


def validity(rows: list[Row]) -> tuple[Bool[np.ndarray, " b"], np.ndarray]:
    """For each block of the measurements `rows` whether its prediction holds, and the reason in one sentence (b,).

    Medians over the inputs are compared; from eight inputs on, two standard errors of the median are granted to chance.
    With fewer, half of the inputs must be trusted by themselves.

    Source: this package, docs/theory/diagnose.md, section 4.
    """
    blocks = rows[0]["r2"].size
    holds, reasons = np.zeros(blocks, bool), np.empty(blocks, object)
    for block in range(blocks):
        holds[block], reasons[block] = _block(rows, block)
    return holds, reasons


def _block(rows: list[Row], block: int) -> tuple[bool, str]:
    best, ceiling, control = (_best(rows, suffix)[:, block] for suffix in ("", "_ceiling", "_control"))
    mean_only = _column(rows, "r2_mean_only")[:, block]
    known = ~np.isnan(best)
    if not known.any():
        return False, Counter(str(row["reason"][block]) for row in rows).most_common(1)[0][0]
    shortfall = (best - SHARE * ceiling)[known]
    sharpest = np.array([np.nanmax(row["logit_variance"][block]) for row, one in zip(rows, known, strict=True) if one])
    numbers = [float(np.median(some[known])) for some in (best, ceiling, mean_only, control)]
    many = known.sum() >= MANY
    found = verdict(
        *numbers,
        logit_variance=float(np.median(sharpest)),
        two_log_n=float(np.nanmedian(_column(rows, "two_log_n")[:, block])),
        slack=DEVIATIONS * _median_error(shortfall) if many else np.inf,
    )
    if many or not found.trusted:
        return found.trusted, found.reason
    trusted = _column(rows, "trusted")[known, block]
    if 2 * np.count_nonzero(trusted) >= trusted.size:
        return True, found.reason
    lost = next(row for row, one in zip(rows, known, strict=True) if one and not row["trusted"][block])
    return False, str(lost["reason"][block])


def _median_error(values: Float[np.ndarray, " s"]) -> float:
    """The standard error of the median of independent `values`, by their middle 68 %."""
    low, high = np.quantile(values, [0.16, 0.84])
    return float(np.sqrt(np.pi / 2) * (high - low) / 2 / np.sqrt(values.size))


def _best(rows: list[Row], suffix: str) -> Float[np.ndarray, "s b"]:
    """R^2 for the keys at hand where there is one, else of the mean field."""
    corrected, plain = _column(rows, f"r2_finite_n{suffix}"), _column(rows, f"r2{suffix}")
    return np.asarray(np.where(np.isnan(_column(rows, "r2_finite_n")), plain, corrected))


def _column(rows: list[Row], name: str) -> np.ndarray:
    return np.stack([row[name] for row in rows])
