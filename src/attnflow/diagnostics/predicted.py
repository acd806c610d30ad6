"""The output of attention layers as the Gaussian formulas predict it, and how much of the true one they explain.

Source: this package, docs/theory/diagnose.md, section 3.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from .attention import Attention
from .gaussian_reading import FEWEST_KEYS, finite_n_values, logit_variance, mean_field_values
from .projected import HeadMoments, Seen
from .rotary_reading import rotary_values


@dataclasses.dataclass(frozen=True)
class Predicted:
    """The outputs (m, d) for infinitely many keys, `mean_field`, and for the keys at hand, `finite_n`, or None.

    Without the output at the mean token. `logit_variance` (h,): the mean variance of the logits of a query.
    """

    mean_field: Float[np.ndarray, "m d"]
    finite_n: Float[np.ndarray, "m d"] | None
    logit_variance: Float[np.ndarray, " h"]


@dataclasses.dataclass(frozen=True)
class Explained:
    """R^2 of the two predictions, `mean_field` and `finite_n`, where there is one."""

    mean_field: float
    finite_n: float | None

    @property
    def best(self) -> float:
        """R^2 of the prediction for the keys at hand where there is one, else of the mean field."""
        return self.mean_field if self.finite_n is None else self.finite_n


def predicted(attention: Attention, moments: HeadMoments, seen: Seen) -> Predicted:
    """What the formulas say of `attention` at the queries `seen` of tokens with these `moments`.

    Source: this package, docs/theory/diagnose.md, sections 3 and 5.
    """
    if attention.rotary is not None:
        reading = rotary_values(attention, moments, seen)
        return Predicted(moments.outward(reading.values), None, reading.variance.mean(axis=1))
    finite = moments.outward(finite_n_values(attention, moments, seen)) if seen.tokens >= FEWEST_KEYS else None
    mean_field = moments.outward(mean_field_values(attention, moments, seen))
    return Predicted(mean_field, finite, logit_variance(attention, moments))


def explained(output: Float[np.ndarray, "m d"], found: Predicted) -> Explained:
    """How much of the `output` (m, d), without that of the mean token, the predictions `found` explain.

    Source: this package, docs/theory/diagnose.md, section 3.
    """
    finite = None if found.finite_n is None else r_squared(output, found.finite_n)
    return Explained(r_squared(output, found.mean_field), finite)


def r_squared(output: Float[np.ndarray, "m d"], prediction: Float[np.ndarray, "m d"] | float) -> float:
    """1 - sum |`output` - `prediction`|^2 / sum |`output` - its mean|^2, over all tokens and coordinates.

    Source: this package, docs/theory/diagnose.md, section 3.
    """
    exact = output.astype(np.float64)
    spread = np.sum(np.square(exact - exact.mean(axis=0)))
    return float(1 - np.sum(np.square(exact - prediction)) / spread)
