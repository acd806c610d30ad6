"""The distances of measures that other rooms use; a name that ends in nothing else is the distance, not its square."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .bures import bures_wasserstein
from .floors import sampling_floor
from .gaussian import Gaussian
from .line import normal_cells
from .namespace import require_one_dimension
from .sliced import sliced_squared, unit_directions

__all__ = ["bures_wasserstein", "normal_cells", "sampling_floor", "sliced_wasserstein"]


def sliced_wasserstein(
    points: Float[np.ndarray, "n d"], gaussian: Gaussian, *, directions: int = 256, seed: int = 0
) -> float:
    """The sliced 2-Wasserstein distance of the uniform measure on `points` (n, d) to `gaussian`.

    It is the root of the mean, over `directions` random unit vectors drawn with `seed`, of the squared distance of the
    projections, each exact: the Gaussian is not sampled.

    Raises BadInput when the dimensions differ.

    Source: this package, docs/theory/distances.md.
    """
    require_one_dimension("points", points.shape[1], "gaussian", gaussian.dim)
    return float(np.sqrt(sliced_squared(points, gaussian, unit_directions(gaussian.dim, directions, seed))))
