"""The sampling criteria of softmax heads along a Gaussian flow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..transformer.depth import Model
from .run import Run


@dataclasses.dataclass(frozen=True)
class HeadTrust:
    """What the criteria say of one head (`name`) at the time `t` where they are worst.

    `kappa` is the mean square of its logit's standard deviation; `trusted` whether all hold, `reason` why not.
    """

    name: str
    t: float
    kappa: float
    trusted: bool
    reason: str


def along(model: Model, run: Run, counts: Sequence[int]) -> dict[int, list[HeadTrust]]:
    return {count: [] for count in counts}
