"""Numerical evidence: where no theorem decides, the orbit of a start is followed to its end."""

from .layers import long_run_of_layer
from .outcome import Budget, Evidence
from .run import long_run
from .starts import several_starts, start_factors

__all__ = ["Budget", "Evidence", "long_run", "long_run_of_layer", "several_starts", "start_factors"]
