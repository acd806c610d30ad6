"""One input of a network, ready to go in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Item:
    """A passage or a picture: `tokens` is how many tokens it becomes, `truncated` whether it was cut to fit.

    `inputs` gives what the model's forward pass takes, as arrays with a first axis of length 1.
    """

    tokens: int
    truncated: bool
    inputs: Callable[[], Mapping[str, np.ndarray]]
