"""Gaussian noise given its own moments: n points whose mean is exactly 0 and whose covariance is exactly I.

A Gaussian sample is its mean, its covariance, and a standardised rest that is independent of both and has the same law
whatever the Gaussian (Basu). So tokens mean + L z with this noise z are what Gaussian tokens look like, given the mean
and the covariance that were seen.

Source: this package, docs/theory/diagnose.md, section 3.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg.lapack import dtrtri

SINGLE_FROM = 4
"""From so many points a dimension on float32 is enough for the covariance of the noise."""
RADII, SHARES = np.sqrt([0.2, 4.2]), (0.8, 0.2)
"""The control: a normal vector times one of two lengths. E radius^2 = 1, and the kurtosis is 3 * 3.56 = 10.7."""


def whitening(drawn: Float[np.ndarray, "n r"]) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, "r r"]]:
    """Points `drawn` (n, r) without their mean, and W (r, r) with which their product has exactly the covariance I.

    W is the inverse transposed Cholesky factor; r must be below n.

    Source: this package, docs/theory/diagnose.md, section 3.
    """
    n, r = drawn.shape
    centred = drawn - drawn.mean(axis=0, dtype=np.float64).astype(drawn.dtype)
    exact = centred if n >= SINGLE_FROM * r else centred.astype(np.float64)
    factor = np.linalg.cholesky((exact.T @ exact / n).astype(np.float64))
    return centred, np.asarray(dtrtri(factor, lower=1)[0].T) if r else np.zeros((0, 0))


def matched_noise(n: int, rank: int, rng: np.random.Generator) -> Float[np.ndarray, "n r"]:
    """`n` normal points of dimension `rank` from `rng`, in float32, given that their mean is 0 and covariance I.

    Source: this package, docs/theory/diagnose.md, section 3.
    """
    centred, W = whitening(rng.standard_normal((n, rank), dtype=np.float32))
    return np.asarray(centred @ W.astype(np.float32))


def two_lengths(n: int, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
    """The lengths of `n` points of the control: a mixture of two Gaussians of different size, from `rng`.

    Source: this package, docs/theory/diagnose.md, section 4.
    """
    return rng.choice(RADII, size=n, p=SHARES).astype(np.float32)
