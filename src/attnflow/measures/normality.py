"""The test of Henze and Zirkler: are these tokens a sample of a Gaussian?"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.special import hyp1f1, ndtr

from .kernel_mean import kernel_mean

RESOLVED = 1e3
"""A deviation below this many rounding errors tells nothing."""


@dataclasses.dataclass(frozen=True)
class HenzeZirkler:
    """The `statistic` T of `n` tokens in dimension `dim`, and its `p_value` under the hypothesis of a Gaussian.

    `rank` is that of the covariance of the tokens: where it is below d, they are standardised and tested in the
    subspace that they span. `bandwidth` is the kernel width h in standardised units; T is n times the squared
    discrepancy of the standardised tokens to the standard Gaussian. The p-value comes from a lognormal law with
    `null_mean` and `null_variance`, those of T for large n; it is None where T tells nothing. `note` says what there is
    to know about the rank and a missing p-value, or is empty.

    Source: this package, docs/theory/mmd.md, section 3.
    """

    statistic: float
    p_value: float | None
    n: int
    dim: int
    rank: int
    bandwidth: float
    null_mean: float
    null_variance: float
    note: str


def henze_zirkler_bandwidth(n: int, rank: int) -> float:
    """h of Henze and Zirkler for `n` tokens of this `rank`: root 2 (4 / ((2 r + 1) n))^{1 / (r + 4)}.

    Source: this package, docs/theory/mmd.md, section 3.
    """
    return float(np.sqrt(2) * ((2 * rank + 1) * n / 4) ** (-1 / (rank + 4)))


def null_moments(rank: int, bandwidth: float) -> tuple[float, float]:
    """Mean and variance of T for many tokens of a Gaussian of this `rank`, at the kernel width `bandwidth`.

    A variance that cancels to rounding, as it does for very wide kernels, is returned as 0.

    Source: this package, docs/theory/mmd.md, section 3.
    """
    r, b = rank, bandwidth**-2
    a, w, v = 1 + 2 * b, (1 + b) * (1 + 3 * b), 1 + 4 * b
    mean = -np.expm1(-r / 2 * np.log(a) + np.log1p(r * b / a + r * (r + 2) * b**2 / (2 * a**2)))
    plain = 2 * v ** (-r / 2)
    square = 2 * a**-r * (1 + 2 * r * b**2 / a**2 + 3 * r * (r + 2) * b**4 / (4 * a**4))
    mixed = 4 * w ** (-r / 2) * (1 + 3 * r * b**2 / (2 * w) + r * (r + 2) * b**4 / (2 * w**2))
    variance = plain + square - mixed
    lost = variance <= RESOLVED * np.finfo(np.float64).eps * (plain + square)
    return float(abs(mean)), 0.0 if lost else float(variance)


def henze_zirkler_test(points: Float[np.ndarray, "n d"], *, bandwidth: float | None = None) -> HenzeZirkler:
    """The test on tokens `points` (n, d), with the kernel width `bandwidth` in standardised units (theirs if None).

    Source: this package, docs/theory/mmd.md, section 3.
    """
    n, d = points.shape
    z = standardised(points)
    r = z.shape[1]
    h = henze_zirkler_bandwidth(n, r) if bandwidth is None else bandwidth
    b = h**-2
    squares = np.sum(np.square(z), axis=1)
    cross = np.exp(-0.5 * r * np.log1p(b) - 0.5 * b / (1 + b) * squares).mean()
    own = (1 + 2 * b) ** (-r / 2)
    statistic = n * float(kernel_mean(z / h) - 2 * cross + own)
    mean, variance = null_moments(r, h)
    note = _note(n, d, r)
    silent = _silence(n, r, own=own, variance=variance)
    p_value = henze_zirkler_p_value(statistic, n, r, h)
    return HenzeZirkler(statistic, p_value, n, d, r, h, mean, variance, " ".join(filter(None, (note, silent))))


def exact_null_mean(n: int, rank: int, bandwidth: float) -> float:
    """The mean of T for `n` Gaussian tokens of this `rank` < n - 1 at the kernel width `bandwidth`: not only for many.

    Standardised tokens are a projection of a regular simplex on a random subspace, so that their squared lengths and
    distances have beta laws.

    Source: this package, docs/theory/diagnose.md, section 2.
    """
    b, a, c = bandwidth**-2, rank / 2, (n - 1) / 2
    pairs = hyp1f1(a, c, -b * n)
    cross = (1 + b) ** -a * hyp1f1(a, c, -(n - 1) * b / (2 * (1 + b)))
    return float(1 + (n - 1) * pairs - 2 * n * cross + n * (1 + 2 * b) ** -a)


def henze_zirkler_p_value(
    statistic: float, n: int, rank: int, bandwidth: float, *, mean: float | None = None
) -> float | None:
    """The p-value of T = `statistic` of `n` tokens of this `rank`, standardised, at the kernel width `bandwidth`.

    By the lognormal law with the `mean` of T (that for many tokens, if None) and its variance for many tokens. None
    where T tells nothing.

    Source: this package, docs/theory/mmd.md, section 3.
    """
    many, variance = null_moments(rank, bandwidth)
    own = (1 + 2 * bandwidth**-2) ** (-rank / 2)
    if _silence(n, rank, own=own, variance=variance):
        return None
    return _lognormal_tail(statistic, many if mean is None else mean, variance)


def standardised(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n r"]:
    """The tokens `points` (n, d) in coordinates of mean 0 and covariance I on the r directions that they span.

    A direction counts unless its variance is below d eps of the largest (the rank rule of the package), or below what
    rounding of the points in their own dtype makes.

    Source: this package, docs/theory/mmd.md, section 3.
    """
    n, d = points.shape
    centred = points - points.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    variances = np.square(singular) / n
    rounding = d * np.square(np.finfo(points.dtype).eps * np.abs(points).max())
    visible = variances > max(d * np.finfo(np.float64).eps * variances.max(initial=0.0), rounding)
    return np.asarray(np.sqrt(n) * left[:, visible])


def _lognormal_tail(value: float, mean: float, variance: float) -> float:
    spread = np.log1p(variance / mean**2)
    return float(ndtr(-(np.log(value / mean) + 0.5 * spread) / np.sqrt(spread)))


def _note(n: int, d: int, r: int) -> str:
    if r == d:
        return ""
    words = (
        f"The covariance of {n} tokens in dimension {d} has rank {r} (variances below d eps of the largest count as "
        "zero): they are tested in the subspace of the others"
    )
    return words + (f" (a full rank needs at least {d + 1} tokens)." if n <= d else ".")


def _silence(n: int, r: int, *, own: float, variance: float) -> str:
    """Why T has no p-value, or nothing."""
    if r == 0:
        return "No p-value: all tokens are equal."
    if r >= n - 1:
        return "No p-value: standardised tokens of rank n - 1 form the same regular simplex whatever their law."
    rounding = np.finfo(np.float64).eps * (1 + n * own)
    if np.sqrt(variance) <= RESOLVED * rounding:
        return (
            f"No p-value: at this kernel width T is constant to rounding; give another `bandwidth`, for example "
            f"sqrt(rank) = {np.sqrt(r):.3g}."
        )
    return ""
