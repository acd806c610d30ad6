"""`attnflow.distances`: how far tokens are from a Gaussian, from each other, and what sampling alone would cost.

A name without a power is a distance, a name with `squared` its square. Tokens are an (n, d) array or `Tokens`, each
with the same weight; float32 tokens are multiplied in float32 and summed in float64, all else is float64. Inside jit,
vmap and grad of JAX the same functions compute in the dtype of what is given.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import PRNGKeyArray

from .._check import BadInput, is_traced, positive
from .._types import ArrayLike, Number
from ..measures import bures, floors, line, mmd, normality, sliced
from ..measures.gaussian import Gaussian
from ..measures.namespace import require_one_dimension, root
from ..measures.normality import HenzeZirkler
from ..measures.tokens import Tokens
from .distance_arguments import (
    bandwidth_or_default,
    checked_gaussian,
    checked_numbers,
    checked_tokens,
    directions,
    joint_bandwidth,
    positive_bandwidth,
    require_two,
    resolved,
    tokens_and_gaussian,
    two_samples,
    whole,
)

__all__ = [
    "HenzeZirkler",
    "bures_wasserstein",
    "bures_wasserstein_squared",
    "henze_zirkler",
    "mmd_squared",
    "mmd_squared_between",
    "mmd_squared_floor",
    "mmd_squared_floor_between",
    "sliced_wasserstein",
    "sliced_wasserstein_between",
    "sliced_wasserstein_floor",
    "sliced_wasserstein_floor_between",
    "sliced_wasserstein_squared",
    "spread",
    "wasserstein_1d",
]

PROJECTIONS = 256


def bures_wasserstein(g1: Gaussian, g2: Gaussian) -> Number:
    """The 2-Wasserstein distance of the Gaussians `g1` and `g2`, of any rank.

    Raises BadInput when one is not a Gaussian or the dimensions differ.

    Source: this package, docs/theory/distances.md.
    """
    distance: Number = root(bures_wasserstein_squared(g1, g2))
    return distance


def bures_wasserstein_squared(g1: Gaussian, g2: Gaussian) -> Number:
    """The square of `bures_wasserstein` of `g1` and `g2`.

    That is |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1^{1/2} C_2 C_1^{1/2})^{1/2}), computed as a sum of squares, so that it
    keeps its digits for nearly equal and for singular covariances; its derivatives exist wherever it is smooth.

    Raises BadInput when one is not a Gaussian or the dimensions differ.

    Source: this package, docs/theory/distances.md.
    """
    one, two = checked_gaussian("g1", g1), checked_gaussian("g2", g2)
    require_one_dimension("g1", one.dim, "g2", two.dim)
    return bures.bures_wasserstein_squared(one, two)


def sliced_wasserstein(
    tokens: Tokens | ArrayLike, gaussian: Gaussian, *, projections: int = PROJECTIONS, key: int | PRNGKeyArray = 0
) -> Number:
    """The sliced 2-Wasserstein distance of `tokens` (n, d) to `gaussian`, which is not sampled.

    It is the root of the mean, over `projections` random directions, of the squared distances of the projections, each
    exact. `key` is an integer, which gives the same directions everywhere, or a JAX key. To read the number, divide it
    by `spread(gaussian)` and compare it with `sliced_wasserstein_floor`.

    Raises BadInput when an argument breaks a rule.

    Source: this package, docs/theory/distances.md.
    """
    distance: Number = root(sliced_wasserstein_squared(tokens, gaussian, projections=projections, key=key))
    return distance


def sliced_wasserstein_squared(
    tokens: Tokens | ArrayLike, gaussian: Gaussian, *, projections: int = PROJECTIONS, key: int | PRNGKeyArray = 0
) -> Number:
    """The square of `sliced_wasserstein` of `tokens` (n, d) to `gaussian`, with `projections` directions from `key`.

    Raises BadInput when an argument breaks a rule.

    Source: this package, docs/theory/distances.md.
    """
    points, target = tokens_and_gaussian(tokens, gaussian)
    return sliced.sliced_squared(points, target, directions(target.dim, projections, key))


def sliced_wasserstein_between(
    one: Tokens | ArrayLike, two: Tokens | ArrayLike, *, projections: int = PROJECTIONS, key: int | PRNGKeyArray = 0
) -> Number:
    """The sliced 2-Wasserstein distance of the tokens `one` (n, d) and `two` (m, d); n and m may differ.

    `projections` and `key` as in `sliced_wasserstein`.

    Raises BadInput when an argument breaks a rule.

    Source: this package, docs/theory/distances.md.
    """
    first, second = two_samples(one, two)
    distance: Number = root(sliced.sliced_squared_between(first, second, directions(first.shape[1], projections, key)))
    return distance


def wasserstein_1d(one: ArrayLike, two: ArrayLike) -> Number:
    """The 2-Wasserstein distance of the uniform measures on the numbers `one` (n,) and `two` (m,), exact.

    Raises BadInput when one is empty, no vector or not finite.

    Source: this package, docs/theory/distances.md.
    """
    return line.wasserstein_1d(checked_numbers("one", one), checked_numbers("two", two))


def mmd_squared(
    tokens: Tokens | ArrayLike, gaussian: Gaussian, *, bandwidth: float | None = None, unbiased: bool = False
) -> Number:
    """The squared maximum mean discrepancy of `tokens` (n, d) to `gaussian`, whose part is a closed form.

    The kernel is exp(-|x - y|^2 / (2 h^2)) with h = `bandwidth`, by default sqrt(tr cov) of the Gaussian, so that the
    number does not depend on the scale. It is the V-statistic, whose expectation for tokens of the Gaussian itself is
    `mmd_squared_floor`; with `unbiased` pairs of a token with itself are left out, that expectation is 0, and the
    result may be negative.

    Raises BadInput when an argument breaks a rule.

    Source: this package, docs/theory/mmd.md, section 1.
    """
    points, target = tokens_and_gaussian(tokens, gaussian)
    if unbiased:
        require_two("tokens", points.shape[0], "`unbiased` leaves out pairs of a token with itself")
    width = bandwidth_or_default(bandwidth, target)
    if bandwidth is not None:
        resolved(width, points)
    return mmd.mmd_squared(points, target, bandwidth=width, unbiased=unbiased)


def mmd_squared_between(
    one: Tokens | ArrayLike, two: Tokens | ArrayLike, *, bandwidth: float | None = None, unbiased: bool = False
) -> Number:
    """The squared maximum mean discrepancy of the tokens `one` (n, d) and `two` (m, d).

    Kernel and `unbiased` as in `mmd_squared`; `bandwidth` is h, by default the root of the trace of the covariance of
    both samples together.

    Raises BadInput when an argument breaks a rule.

    Source: this package, docs/theory/mmd.md, section 1.
    """
    first, second = two_samples(one, two)
    if unbiased:
        for name, points in (("one", first), ("two", second)):
            require_two(name, points.shape[0], "`unbiased` leaves out pairs of a token with itself")
    width = joint_bandwidth(first, second) if bandwidth is None else bandwidth
    return mmd.mmd_squared_between(
        first, second, bandwidth=resolved(positive_bandwidth(width), first, second), unbiased=unbiased
    )


def henze_zirkler(tokens: Tokens | ArrayLike, *, bandwidth: float | None = None) -> HenzeZirkler:
    """The test of Henze and Zirkler: are `tokens` (n, d) a sample of some Gaussian?

    Returns the statistic, its p-value, and what it rests on. `bandwidth` is the kernel width in standardised units; by
    default theirs, which from rank 20 or so on has little power: give sqrt(rank) there. A singular covariance is tested
    in the subspace that the tokens span, and `note` says so.

    Raises BadInput for fewer than two tokens, numbers that are not finite, a bandwidth that is not positive, or inside
    a transformation of JAX, where the rank is not known.

    Source: this package, docs/theory/mmd.md, section 3.
    """
    points = checked_tokens("tokens", tokens)
    if is_traced(points):
        raise BadInput(
            "`tokens` must be numbers, because their rank is found first: a JAX tracer was found; call henze_zirkler "
            "outside of jit, vmap and grad, or use mmd_squared."
        )
    require_two("tokens", points.shape[0], "one token has no covariance")
    width = None if bandwidth is None else positive("bandwidth", bandwidth)
    if width is not None:
        resolved(width, np.eye(2))  # in standardised units
    return normality.henze_zirkler_test(np.asarray(points), bandwidth=width)


def spread(gaussian: Gaussian) -> Number:
    """sqrt(tr cov / d) of `gaussian`: the unit in which a sliced distance can be read.

    Raises BadInput when it is not a Gaussian.
    """
    target = checked_gaussian("gaussian", gaussian)
    unit: Number = mmd.default_bandwidth(target) / np.sqrt(target.dim)
    return unit


def sliced_wasserstein_floor(n: int, gaussian: Gaussian, *, fitted: bool = False) -> float:
    """The root of the expected square of `sliced_wasserstein` for `n` independent tokens of `gaussian` itself; exact.

    With `fitted` the Gaussian is the one with the moments of the tokens (`Gaussian.from_tokens`), to which they are
    nearer.

    Raises BadInput when `n` is no whole number, at least 1, or 2 with `fitted`.

    Source: this package, docs/theory/floors.md, sections 1 and 2.
    """
    count = whole("n", n, least=2 if fitted else 1)
    square = floors.fitted_floor(count) if fitted else floors.known_floor(count)
    return float(np.sqrt(square) * spread(gaussian))


def sliced_wasserstein_floor_between(n: int, m: int, gaussian: Gaussian) -> float:
    """The root of the expected square of `sliced_wasserstein_between` for `n` and `m` independent tokens of `gaussian`.

    Raises BadInput when `n` or `m` is no whole number, at least 1.

    Source: this package, docs/theory/floors.md, section 3.
    """
    square = floors.two_sample_floor(whole("n", n, least=1), whole("m", m, least=1))
    return float(np.sqrt(square) * spread(gaussian))


def mmd_squared_floor(n: int, gaussian: Gaussian, *, bandwidth: float | None = None, fitted: bool = False) -> float:
    """The expectation of `mmd_squared` for `n` independent tokens of `gaussian`, with the same `bandwidth`; exact.

    With `fitted` the Gaussian is the one with the moments of the tokens, to which they are nearer: then to leading
    order in 1 / n, for n large against the rank.

    Raises BadInput when `n` is no whole number, at least 1, or 2 with `fitted`, or the bandwidth is not positive.

    Source: this package, docs/theory/mmd.md, section 2.
    """
    target = checked_gaussian("gaussian", gaussian)
    count, width = whole("n", n, least=2 if fitted else 1), bandwidth_or_default(bandwidth, target)
    return (mmd.fitted_floor if fitted else mmd.known_floor)(target, bandwidth=width, n=count)


def mmd_squared_floor_between(n: int, m: int, gaussian: Gaussian, *, bandwidth: float | None = None) -> float:
    """The expectation of `mmd_squared_between` for `n` and `m` independent tokens of `gaussian`; exact.

    `bandwidth` as in `mmd_squared`.

    Raises BadInput when `n` or `m` is no whole number, at least 1, or the bandwidth is not positive.

    Source: this package, docs/theory/mmd.md, section 2.
    """
    target = checked_gaussian("gaussian", gaussian)
    width = bandwidth_or_default(bandwidth, target)
    shares = 1 / whole("n", n, least=1) + 1 / whole("m", m, least=1)
    return mmd.known_floor(target, bandwidth=width, n=1) * shares
