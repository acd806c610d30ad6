"""The fields that a gate can watch: single numbers of a diagnosis, each with its unit, its meaning and its need."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

import numpy as np
import xarray as xr

from ...diagnostics.pairing import Pairing
from . import fields_pairs as pairs
from . import fields_states as states
from .thresholds import GATE_INPUTS

PAGE = "docs/diagnose-fields.md"


class Need(enum.StrEnum):
    """What a field needs, in the words of a message."""

    NOTHING = "nothing"
    PREDICTION = "a model whose heads have a prediction"
    POOLED = "real input (`text`, `images` or saved states)"
    COMPARISON = "another model to compare with: give `against` (`--against`)"
    SAME_OUTPUT = "`against` with outputs of the same width"
    SAME_LAYERS = "`against` with layers of the same number and width"
    NEIGHBOURS = f"`against` and at least {GATE_INPUTS.value:.0f} inputs"


@dataclasses.dataclass(frozen=True)
class Field:
    """A field: its `name`, its `unit`, what it says in `words`, its `need`, and the function of the layers."""

    name: str
    unit: str
    words: str
    need: Need
    of_layers: Callable[[xr.Dataset], float] | None = None
    of_pairs: Callable[[Pairing], float | None] | None = None


def _layer(
    name: str, unit: str, words: str, compute: Callable[[xr.Dataset], float], need: Need = Need.NOTHING
) -> Field:
    return Field(name, unit, words, need, of_layers=compute)


def _pair(name: str, unit: str, words: str, need: Need, compute: Callable[[Pairing], float | None]) -> Field:
    return Field(name, unit, words, need, of_pairs=compute)


_ALL = (
    _pair("overlap10", "share", "of the 10 nearest neighbours by cosine, the share that is kept, mean over the inputs",
          Need.NEIGHBOURS, lambda p: None if p.overlap is None else p.overlap.mean),
    _pair("overlap10_low", "share", "the lower end of the 95 % bootstrap interval of `overlap10`",
          Need.NEIGHBOURS, lambda p: None if p.overlap is None else p.overlap.low),
    _pair("cosine_median", "cosine", "median over the inputs of the cosine of the two outputs",
          Need.SAME_OUTPUT, pairs.cosine_quantile(0.5)),
    _pair("cosine_p05", "cosine", "5 % of the inputs have a cosine below this",
          Need.SAME_OUTPUT, pairs.cosine_quantile(0.05)),
    _pair("cosine_min", "cosine", "the smallest cosine of all inputs", Need.SAME_OUTPUT, pairs.cosine_quantile(0.0)),
    _pair("drift_first", "spread", "drift of what enters the first block", Need.SAME_LAYERS, pairs.drift_at(0)),
    _pair("drift_last", "spread", "drift after the last block", Need.SAME_LAYERS, pairs.drift_at(-1)),
    _pair("drift_max", "spread", "the largest drift of all layers", Need.SAME_LAYERS, pairs.drift_max),
    _pair("drift_start", "layer", "the layer where the drift starts; the number of layers plus 1 if it starts nowhere",
          Need.SAME_LAYERS, pairs.drift_start),
    _layer("effective_rank_first", "dimensions", "effective rank of what enters the first block",
           lambda d: states.path(d, "effective_rank")[0]),
    _layer("effective_rank_last", "dimensions", "effective rank after the last block",
           lambda d: states.path(d, "effective_rank")[-1]),
    _layer("effective_rank_min", "dimensions", "the smallest effective rank of all layers",
           lambda d: states.path(d, "effective_rank").min()),
    _layer("rank_ratio", "ratio", "`effective_rank_last` / `effective_rank_first`",
           lambda d: states.last_over_first(d, "effective_rank")),
    _layer("token_cosine_last", "cosine", "mean cosine of two different tokens after the last block",
           lambda d: states.path(d, "token_cosine")[-1]),
    _layer("token_cosine_max", "cosine", "the largest mean cosine of two different tokens of all layers",
           lambda d: states.path(d, "token_cosine").max()),
    _layer("trace_ratio", "ratio", "trace of the covariance after the last block over that before the first",
           lambda d: states.last_over_first(d, "cov_trace")),
    _layer("trace_step_max", "ratio", "the largest growth of the trace of the covariance in one block",
           states.largest_step),
    _layer("mean_share_last", "share", "|mean|^2 / (|mean|^2 + trace) after the last block: what tokens share",
           states.mean_share),
    _layer("massive_share_max", "share", "the largest share of tokens with a massive coordinate of all layers",
           lambda d: states.average(d, "massive_share").max()),
    _layer("sliced_w2_last", "sqrt(trace / d)", "sliced W2 to the Gaussian with the same moments after the last block",
           lambda d: states.path(d, "sliced_w2_scaled")[-1]),
    _layer("sliced_w2_excess_max", "floors", "the largest sliced W2 of all layers, in multiples of its floor",
           states.largest_excess),
    _layer("mmd_last", "MMD", "MMD to the Gaussian with the same moments after the last block",
           lambda d: states.path(d, "mmd")[-1]),
    _layer("trusted_layers", "layers", "the number of layers whose Gaussian prediction is trusted",
           states.trusted_layers, Need.PREDICTION),
    _layer("r2_min", "R^2", "the smallest R^2 of all layers, corrected for finitely many keys where that can be done",
           states.smallest_r2, Need.PREDICTION),
    _layer("logit_excess_max", "2 log n", "the largest logit variance of all heads, in multiples of 2 log n",
           states.largest_logit_excess, Need.PREDICTION),
    _layer("pooled_effective_rank_last", "dimensions", "effective rank of the tokens of all inputs, last layer",
           lambda d: states.path(d, "pooled_effective_rank")[-1], Need.POOLED),
    _layer("pooled_token_cosine_last", "cosine", "mean cosine of two tokens of any inputs, last layer",
           lambda d: states.path(d, "pooled_token_cosine")[-1], Need.POOLED),
)  # fmt: skip

FIELDS: dict[str, Field] = {field.name: field for field in _ALL}
"""All fields by name."""


def available(
    *,
    compared: bool,
    real: bool = True,
    predictions: bool = True,
    inputs: int | None = None,
    same_output: bool = True,
    same_layers: bool = True,
) -> frozenset[str]:
    """The fields of a diagnosis, as far as they are known before the work.

    `compared`: it is held against another model; `real`: the input is not the Gaussian probe; `predictions`: some heads
    have one; `inputs`: how many items are compared, None if that is not known yet; `same_output` and `same_layers`:
    whether the two models agree in the width of the output, in number and width of the layers.
    """
    met = {
        Need.NOTHING: True,
        Need.PREDICTION: predictions,
        Need.POOLED: real,
        Need.COMPARISON: compared,
        Need.SAME_OUTPUT: compared and same_output,
        Need.SAME_LAYERS: compared and same_layers,
        Need.NEIGHBOURS: compared and (inputs is None or inputs >= GATE_INPUTS.value),
    }
    return frozenset(name for name, field in FIELDS.items() if met[field.need])


def gate_values(layers: xr.Dataset, comparison: Pairing | None) -> dict[str, float]:
    """The values of the fields in a diagnosis: its dataset `layers`, and the `comparison` if there is one.

    A field without a value is not there.
    """
    found: dict[str, float | None] = {}
    for name, field in FIELDS.items():
        if field.of_pairs is not None:
            found[name] = None if comparison is None else field.of_pairs(comparison)
        elif field.of_layers is not None and states.has(
            layers, field.need is Need.POOLED, field.need is Need.PREDICTION
        ):
            found[name] = field.of_layers(layers)
    return {name: float(value) for name, value in found.items() if value is not None and not np.isnan(value)}
