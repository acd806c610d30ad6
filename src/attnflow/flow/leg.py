"""A leg of a flow: what one engine did on one stretch of depth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from .outcome import BlowUp, Status

Progress: TypeAlias = Callable[[float], None]
"""Called with the time that has been reached."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How to integrate: tolerances, the allowed steps, whether to stop at rest, and a wish for an engine.

    `rtol` is relative to the present size of mean and covariance, `atol` absolute and added to it; `engine` is None
    (chosen), "closed_form", "factor_ode" or "covariance_ode". With `layers` the flow is not continuous: it is that many
    residual layers x + step Gamma(x).
    """

    rtol: float = 1e-8
    atol: float = 0.0
    max_steps: int = 100_000
    stop_at_rest: bool = False
    engine: str | None = None
    layers: int | None = None
    step: float = 1.0


@dataclasses.dataclass(frozen=True)
class Point:
    """A Gaussian on the way: `mean` (d,), `factor` (d, r) at time `t`."""

    t: float
    mean: np.ndarray
    factor: np.ndarray


@dataclasses.dataclass
class Leg:
    """The points of one stretch, how it ended, and which engine computed what."""

    points: list[Point]
    end: Point
    status: Status
    engine: str
    mean_engine: str
    statements: dict[str, str]
    blow_up: BlowUp | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    accepted: int = 0
    rejected: int = 0
    start_trace: float = 0.0
