"""The published thresholds of a verdict and of a comparison, each with what it means: docs/diagnose-fields.md."""

from __future__ import annotations

import dataclasses

from ...diagnostics.attention_trust import SHARE, VISIBLE
from ...diagnostics.pairing_drift import DRIFT_START


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A threshold: its `name`, its `value`, and in one sentence what is said beyond it."""

    name: str
    value: float
    meaning: str


NOISE = Threshold(
    "noise", 0.9, "a change counts if at least this share of the sequences (or batches) changes in the same direction"
)
RANK_FALL = Threshold("rank fall", 1.5, "the effective rank falls if it is divided by at least this between two layers")
APART = Threshold(
    "all tokens together", 1.1, "their effective rank rises if it is multiplied by this while it falls in a sequence"
)
COLLAPSE = Threshold("collapse", 0.95, "tokens become one when their mean cosine reaches this")
DRAWN_TOGETHER = Threshold("drawn together", 0.2, "tokens draw together when their mean cosine rises by at least this")
GROWTH = Threshold("growth", 100.0, "the trace of the covariance blows up if it is multiplied by at least this and ...")
GROWTH_STEP = Threshold("growth step", 1.2, "... is multiplied by at least this in at least three of four layers")
STEPS = Threshold("steps", 0.75, "the share of layers in which the trace must grow to be called geometric growth")
UNEVEN = Threshold("uneven steps", 3.0, "the largest step is named where it is more than this times the smallest")
GAINS = Threshold(
    "gains", 10.0, "where a norm ends each block, a trace that changes by more than this between two layers is named"
)
PLATEAU = Threshold(
    "plateau", 1e-3, "a rise ends, and a fall begins, at the layer that comes so close to the extreme value"
)
MASSIVE = Threshold("massive", 0.01, "massive activations are named if at least this share of the tokens has one")
NON_GAUSSIAN = Threshold(
    "non-Gaussian", 1.25, "tokens are not Gaussian where the sliced distance is at least this many times its floor"
)
TRUSTED_FIT = Threshold(
    "trusted fit",
    SHARE,
    "a layer is trusted if R^2 is at least this share of that of Gaussian tokens (other laws that pass, too, take "
    "the evidence away), and ...",
)
TRUSTED_CEILING = Threshold(
    "trusted ceiling", VISIBLE, "... exactly Gaussian tokens give more than this: else too few keys hold the weight"
)
DRIFT = Threshold(
    "drift start", DRIFT_START,
    "the drift starts at the first layer where the lower end of its interval exceeds this share of the spread",
)  # fmt: skip
STAYED = Threshold(
    "stayed",
    0.9,
    "neighbours stay if this share is kept of what chance would not keep: (overlap - chance) / (1 - chance)",
)
FEW = Threshold("few", 0.5, "fewer of them: few neighbours are kept beyond chance (where chance keeps more than 10 %)")
GATE_INPUTS = Threshold(
    "gate inputs", 41.0,
    "a gate on neighbours needs at least so many inputs: with fewer, chance alone keeps more than a quarter of them",
)  # fmt: skip

THRESHOLDS = (
    NOISE, RANK_FALL, APART, COLLAPSE, DRAWN_TOGETHER, PLATEAU, GROWTH, GROWTH_STEP, STEPS, UNEVEN, GAINS, MASSIVE,
    NON_GAUSSIAN, TRUSTED_FIT, TRUSTED_CEILING, DRIFT, STAYED, FEW, GATE_INPUTS,
)  # fmt: skip
"""All of them."""
