"""Figure 3 for MiniLM: what a separate program measured on ten clouds of 8192 tokens.

The program calls the blocks of the transformers package one by one; the kurtosis is SciPy's.
"""

from __future__ import annotations

from typing import Final

TOKENS: Final = 8192
CLOUDS: Final = 10
NORMAL: Final = 4.0
"""So many standard deviations may a mean of independent clouds be off."""
GAP: Final = 0.05
"""Relative: how far the deviation of the coordinate that is shown may be from the median one."""

DEVIATION: Final = (
    (1.0001, 0.0004), (0.55618, 0.00083), (0.47386, 0.0018), (0.43848, 0.0032), (0.44698, 0.0028), (0.39192, 0.0011),
    (0.14777, 0.0029),
)  # fmt: skip
"""By layer the root of the median variance of the coordinates: mean over the clouds, standard deviation of one."""

KURTOSIS: Final = (
    (-0.00235, 0.0051), (-0.0093, 0.0027), (0.02021, 0.0042), (0.09253, 0.0069), (0.14194, 0.0062), (0.19657, 0.0095),
    (1.9312, 0.098),
)  # fmt: skip
"""By layer the median over the coordinates of the excess kurtosis: mean over the clouds, standard deviation of one."""
