"""Between which numbers the 2-Wasserstein distance lies, of a cloud that moved with known noise, to a Gaussian.

The points x = F(xi) come from standard normal noise xi. Any orthogonal U makes y = mean + L U xi a sample of N(mean, L
L^T) that is coupled to x; the best U is an orthogonal Procrustes problem. Its cost is an upper bound of W_2, the
distance of the moments of x and y a lower one. As x and y share their noise, neither has a sampling floor.

Source: this package, docs/theory/departure.md, section 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..measures.bures import bures_wasserstein
from ..measures.gaussian import Gaussian
from ..measures.sliced import sliced_squared_between


class Between(NamedTuple):
    """`lower` <= W_2 <= `upper`, and `sliced`: sqrt(d) times the sliced distance.

    `lower` is the distance of the Gaussians with the same moments. `sliced` is below W_2 for the measures themselves;
    for n points it is too high while the distance is smaller than the spacing of their projections.
    """

    lower: float
    upper: float
    sliced: float


def standard_noise(n: int, rank: int, rng: np.random.Generator) -> Float[np.ndarray, "n r"]:
    """`n` normal points of dimension `rank` from `rng`, with mean exactly zero and covariance exactly the identity.

    The points come in pairs xi, -xi where n is even; n must exceed the rank.
    """
    half = rng.standard_normal((n // 2, rank))
    drawn = np.concatenate([half, -half, rng.standard_normal((n % 2, rank))])
    centred = drawn - drawn.mean(axis=0)
    if rank == 0:
        return np.asarray(centred)
    values, vectors = np.linalg.eigh(centred.T @ centred / n)
    return np.asarray(centred @ (vectors / np.sqrt(values)) @ vectors.T)


def between(
    points: Float[np.ndarray, "n d"],
    noise: Float[np.ndarray, "n r"],
    gaussian: Gaussian,
    axes: Float[np.ndarray, "l d"],
) -> Between:
    """The bounds of W_2 of `points`, moved with `noise`, to `gaussian`; `axes` (l, d): unit vectors of the slices.

    Source: this package, docs/theory/departure.md, section 4.
    """
    partner = coupled(points, noise, gaussian)
    dim = points.shape[1]
    moments = (Gaussian.from_tokens(points), Gaussian.from_tokens(partner))
    return Between(
        lower=float(bures_wasserstein(*moments)),
        upper=float(np.sqrt(np.mean(np.sum(np.square(points - partner), axis=1)))),
        sliced=float(np.sqrt(dim * sliced_squared_between(points, partner, axes))),
    )


def coupled(
    points: Float[np.ndarray, "n d"], noise: Float[np.ndarray, "n r"], gaussian: Gaussian
) -> Float[np.ndarray, "n d"]:
    """The points mean + L U xi of `gaussian` nearest to `points`, xi the `noise`, over all orthogonal U."""
    mean, factor = np.asarray(gaussian.mean), np.asarray(gaussian.factor)
    joint = factor.T @ (points - mean).T @ noise / len(points)
    left, _, right = np.linalg.svd(joint, full_matrices=False)
    return np.asarray(mean + noise @ (left @ right).T @ factor.T)
