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
COLLAPSE = Threshold("collapse", 0.95, "tokens become one when their mean cosine reaches this")
DRAWN_TOGETHER = Threshold("drawn together", 0.2, "tokens draw together when their mean cosine rises by at least this")
GROWTH = Threshold("growth", 100.0, "the trace of the covariance blows up if it is multiplied by at least this and ...")
GROWTH_STEP = Threshold("growth step", 1.2, "... is multiplied by at least this in at least three of four layers")
STEPS = Threshold("steps", 0.75, "the share of layers in which the trace must grow to be called geometric growth")
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
GATE_INPUTS = Threshold(
    "gate inputs", 41.0,
    "a gate on neighbours needs at least so many inputs: with fewer, chance alone keeps more than a quarter of them",
)  # fmt: skip

THRESHOLDS = (
    NOISE, RANK_FALL, COLLAPSE, DRAWN_TOGETHER, GROWTH, GROWTH_STEP, STEPS, MASSIVE, NON_GAUSSIAN, TRUSTED_FIT,
    TRUSTED_CEILING, DRIFT, GATE_INPUTS,
)  # fmt: skip
"""All of them."""
