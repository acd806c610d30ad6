"""What a piece of a network makes of the moments of its input."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .._linalg import semidefinite_factor
from ..measures.gaussian import Gaussian


class OutputMoments(NamedTuple):
    """The moments of an output y of a random input x.

    `mean` (p,) and `cov` (p, p) of y, and `cross` = Cov(y, x) (p, d): output first.
    """

    mean: Float[np.ndarray, " p"]
    cov: Float[np.ndarray, "p p"]
    cross: Float[np.ndarray, "p d"]

    def gaussian(self) -> Gaussian:
        """The Gaussian with the same mean and covariance, which may be singular."""
        return Gaussian(self.mean, semidefinite_factor(self.cov)[0])
