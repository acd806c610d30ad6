"""Figure 4 for MiniLM with 4096 tokens: what the blocks are, and what was measured on them by a separate program.

The program calls the feed-forwards of the transformers package one by one between attentions of PyTorch, on twelve
clouds of 4096 standard normal tokens.
"""

from __future__ import annotations

import math
from typing import Final

SIGNS: Final = {"(-, +)": (-1, 1), "(+, -)": (1, -1), "(+, +)": (1, 1), "(-, -)": (-1, -1)}
"""The signs of V and B."""

DAMPINGS: Final = {"damped": 0.1, "undamped": 1.0}
"""What the feed-forwards are multiplied by."""

A: Final = 0.5
"""|V|."""

TOKENS: Final = 4096
CLOUDS: Final = 12

TRACE: Final = {"(-, +)": 67.78, "(+, -)": 254.4, "(+, +)": 43918.0, "(-, -)": 1713.0}
"""The mean over the clouds of the trace behind the last block, damped."""

SPREAD: Final = {"(-, +)": 0.08, "(+, -)": 0.87, "(+, +)": 1378.0, "(-, -)": 253.0}
"""The standard deviation of a single cloud."""

SEPARATION: Final = 100
"""What the trace for (+, +) is at least, in units of that for (-, +)."""


def strength(dim: int) -> float:
    """|B| in dimension `dim`: 1 / sqrt(d) to two decimals, 0.05 for MiniLM."""
    return round(1 / math.sqrt(dim), 2)
