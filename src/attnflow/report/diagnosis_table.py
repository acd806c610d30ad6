"""The measurements of a diagnosis as rows of words, for a terminal and for a page alike. Loads no pictures."""

from __future__ import annotations

import numpy as np
import xarray as xr

from .diagnosis_bands import band, has_values, repeated

NOTHING = "–"
"""What stands where there is no value."""

LAYER_HEADERS = (
    "layer", "mean norm", "trace", "eff. rank", "rank", "cosine", "SW2", "floor", "MMD", "floor", "normality p",
    "massive",
)  # fmt: skip
"""The columns of `layer_rows`."""

STATE_COLUMNS = (
    "mean_norm", "cov_trace", "effective_rank", "numerical_rank", "token_cosine", "sliced_w2_scaled", "sliced_w2_floor",
    "mmd", "mmd_floor", "normality_p",
)  # fmt: skip
"""The variables behind the columns of `layer_rows` between the first and the last."""

BLOCK_HEADERS = (
    "block", "R²", "ceiling", "other law", "mean only", "logit var.", "2 log n", "growth", "predicted", "trusted",
    "why",
)  # fmt: skip
"""The columns of `block_rows`."""

SMALLEST_P = 1e-6
"""Probabilities below this are not told apart: the law of the test is not known so far out."""

COMPARISON_HEADERS = ("layer", "drift", "from", "to")
"""The columns of `comparison_rows`."""


def layer_rows(layers: xr.Dataset) -> list[list[str]]:
    """A row for each layer of `layers`, medians over the batches or sequences, in the order of LAYER_HEADERS.

    SW2 is in units of sqrt(tr / d); the last column is the share of massive tokens with the channel most of them use.
    """
    columns = [(_probabilities if name == "normality_p" else _numbers)(layers, name) for name in STATE_COLUMNS]
    massive = _massive(layers)
    return [
        [str(layer), *(column[i] for column in columns), massive[i]]
        for i, layer in enumerate(layers["layer"].values.tolist())
    ]


def block_rows(layers: xr.Dataset) -> list[list[str]]:
    """A row for each block of `layers`, medians over the batches or sequences, in the order of BLOCK_HEADERS.

    R² and its ceiling are those with the finite-n correction where there is one; the logit variance is that of the
    head with the largest; "trusted" counts batches or sequences.
    """
    finite = _median(layers, "r2_finite_n")
    corrected = np.isfinite(finite)
    columns = [
        _written(np.where(corrected, finite, _median(layers, "r2"))),
        _written(np.where(corrected, _median(layers, "r2_finite_n_ceiling"), _median(layers, "r2_ceiling"))),
        _written(np.where(corrected, _median(layers, "r2_finite_n_control"), _median(layers, "r2_control"))),
        _written(_median(layers, "r2_mean_only")),
        _written(_largest_logits(layers)),
        *(_written(_median(layers, name)) for name in ("two_log_n", "measured_growth", "predicted_growth")),
        _trusted(layers),
        [str(reason) for reason in layers["reason"].values],
    ]
    return [[str(block), *(column[i] for column in columns)] for i, block in enumerate(layers["block"].values.tolist())]


def comparison_rows(comparison: xr.Dataset) -> list[list[str]]:
    """A row for each layer of a `comparison`: the drift and its bootstrap interval, as COMPARISON_HEADERS."""
    if not has_values(comparison, "drift"):
        return []
    columns = [_written(comparison[name].values) for name in ("drift", "drift_low", "drift_high")]
    return [[str(i), *(column[i] for column in columns)] for i in range(len(columns[0]))]


def head_rows(layers: xr.Dataset) -> tuple[list[str], list[list[str]]]:
    """The table of heads of `layers`, headers and rows: one row a head, one column a variable of dims (block, head)."""
    names = [str(name) for name, values in layers.data_vars.items() if values.dims == ("block", "head")]
    if not names:
        return [], []
    columns = [_written(layers[name].values.ravel()) for name in names]
    places = [(block, head) for block in layers["block"].values for head in range(layers.sizes["head"])]
    rows = [[str(block), str(head), *(column[i] for column in columns)] for i, (block, head) in enumerate(places)]
    return ["block", "head", *names], rows


def short_number(value: float) -> str:
    """`value` in three significant digits."""
    if not np.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    text = f"{value:.0f}" if 1000 <= abs(value) < 1e5 else f"{value:#.3g}".rstrip(".")
    return text.replace("-", "−")


def _written(values: np.ndarray) -> list[str]:
    """The `values` in words; a column of whole numbers stays whole."""
    numbers = np.asarray(values, np.float64)
    seen = numbers[np.isfinite(numbers)]
    if seen.size and (seen == np.round(seen)).all() and np.abs(seen).max() < 1e15:
        return [f"{number:.0f}".replace("-", "−") if np.isfinite(number) else NOTHING for number in numbers]
    return [short_number(float(number)) for number in numbers]


def _numbers(layers: xr.Dataset, name: str) -> list[str]:
    if not has_values(layers, name):
        return [NOTHING] * layers.sizes["layer"]
    return _written(band(layers, name).middle)


def _probabilities(layers: xr.Dataset, name: str) -> list[str]:
    if not has_values(layers, name):
        return [NOTHING] * layers.sizes["layer"]
    return [f"< {SMALLEST_P:g}" if p < SMALLEST_P else short_number(float(p)) for p in band(layers, name).middle]


def _median(layers: xr.Dataset, name: str) -> np.ndarray:
    if not has_values(layers, name):
        return np.full(layers.sizes["block"], np.nan)
    return np.asarray(band(layers, name).middle)


def _largest_logits(layers: xr.Dataset) -> np.ndarray:
    if not has_values(layers, "logit_variance"):
        return np.full(layers.sizes["block"], np.nan)
    heads = band(layers, "logit_variance").middle
    largest: np.ndarray = np.where(np.isfinite(heads), heads, -np.inf).max(axis=1)
    return np.where(np.isfinite(largest), largest, np.nan)


def _trusted(layers: xr.Dataset) -> list[str]:
    """In words: yes, no, or "7 of 20"; nothing where nothing was predicted."""
    if not has_values(layers, "r2"):
        return [NOTHING] * layers.sizes["block"]
    if "valid" in layers:
        known = np.isfinite(_median(layers, "r2"))
        held = layers["valid"].values.astype(bool)
        return [NOTHING if not here else "yes" if yes else "no" for here, yes in zip(known, held, strict=True)]
    over = repeated(layers)
    predicted = np.isfinite(layers["r2"].transpose(over, "block").values)
    held = layers["trusted"].transpose(over, "block").values.astype(bool) & predicted
    words = []
    for yes, of in zip(held.sum(axis=0), predicted.sum(axis=0), strict=True):
        words.append(NOTHING if not of else "no" if not yes else "yes" if yes == of else f"{yes} of {of}")
    return words


def _massive(layers: xr.Dataset) -> list[str]:
    """The share of massive tokens in percent, with the channel that is massive in most tokens of all repeats."""
    if not has_values(layers, "massive_share"):
        return [NOTHING] * layers.sizes["layer"]
    shares = band(layers, "massive_share").middle
    words = []
    for i, share in enumerate(shares):
        text = f"{100 * share:.2g} %" if share > 0 else "none" if np.isfinite(share) else NOTHING
        channel = _channel(layers, i) if share > 0 else None
        words.append(text if channel is None else f"{text} (channel {channel})")
    return words


def _channel(layers: xr.Dataset, layer: int) -> int | None:
    if not {"massive_channel", "massive_channel_share"} <= set(layers.data_vars):
        return None
    order = (repeated(layers), "layer", "rank")
    names = layers["massive_channel"].transpose(*order).values[:, layer].astype(int)
    parts = layers["massive_channel_share"].transpose(*order).values[:, layer]
    known = np.unique(names[names >= 0])
    if not known.size:
        return None
    return int(known[np.argmax([parts[names == channel].sum() for channel in known])])
