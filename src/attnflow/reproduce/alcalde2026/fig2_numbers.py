"""Figure 2 for MiniLM with 8192 tokens: what a separate program measured on ten clouds.

The program calls the blocks of the transformers package one by one; covariances are NumPy's, the slices (256 new
directions a layer) are sorted against means of normal cells, and the kernel means are summed over all pairs. Nothing of
this package takes part in it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

TOKENS: Final = 8192
CLOUDS: Final = 10
NORMAL: Final = 4.0
"""So many standard deviations may a mean of independent clouds be off."""
DIRECTIONS_NOISE: Final = 0.01
"""Relative: what other directions of the slices may change."""
NULL_MMD: Final = 0.02
"""Relative: the noise of the discrepancy of Gaussian tokens, whose floor is its mean."""
ENOUGH: Final = 2048
"""From so many tokens on the distance rises in every layer, whatever the sample."""


class Table(NamedTuple):
    """The `mean` of a quantity over the clouds by layer, the standard deviation of one cloud (`spread`), in `words`."""

    words: str
    mean: tuple[float, ...]
    spread: tuple[float, ...]


BY_LAYER: Final = {
    "cov_trace": Table(
        "trace of the covariance",
        (384.0, 124.76, 104.27, 115.12, 147.89, 130.84, 15.991),
        (0.19, 0.16, 0.29, 0.85, 1.6, 1.2, 0.69),
    ),
    "effective_rank": Table(
        "effective rank",
        (366.77, 244.15, 160.2, 100.61, 73.809, 62.027, 20.528),
        (0.064, 0.7, 0.69, 1.5, 1.7, 1.5, 1.6),
    ),
    "sliced_w2": Table(
        "sliced W2",
        (0.015818, 0.0091945, 0.0097899, 0.022367, 0.035851, 0.037742, 0.03453),
        (0.00019, 0.000093, 0.00025, 0.0012, 0.0019, 0.0016, 0.0023),
    ),
    "sliced_w2_scaled": Table(
        "sliced W2 over sqrt(tr / d)",
        (0.015818, 0.016131, 0.018787, 0.040851, 0.057768, 0.064657, 0.16935),
        (0.00019, 0.00016, 0.00046, 0.0022, 0.003, 0.0027, 0.013),
    ),
    "mmd": Table(
        "discrepancy, h^2 = tr cov",
        (0.0031403, 0.0033935, 0.0049338, 0.012804, 0.017143, 0.019681, 0.081374),
        (0.0000012, 0.0000095, 0.00011, 0.00025, 0.00044, 0.00046, 0.003),
    ),
}
