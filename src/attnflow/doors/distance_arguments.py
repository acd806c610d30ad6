"""Checks of what `attnflow.distances` is given; concrete numbers go to NumPy, traced ones stay with JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .._check import BadInput, is_traced, parameter, positive, require_finite
from .._types import AnyArray, Number
from ..measures.gaussian import Gaussian
from ..measures.mmd import default_bandwidth
from ..measures.namespace import require_one_dimension
from ..measures.sliced import unit_directions
from ..measures.tokens import Tokens

SMALLEST_WIDTH = 1e-8


def checked_gaussian(name: str, value: Any) -> Gaussian:
    """`value` if it is a Gaussian, in float64 unless it is traced.

    Raises BadInput, naming the argument `name`, when it is not.
    """
    if not isinstance(value, Gaussian):
        raise BadInput(
            f"`{name}` must be a Gaussian: {type(value).__name__} was found; use Gaussian.from_moments(mean, cov) or "
            "Gaussian.from_tokens(points)."
        )
    if is_traced(value.mean) or is_traced(value.factor):
        return value
    return Gaussian(np.asarray(value.mean, np.float64), np.asarray(value.factor, np.float64))


def checked_tokens(name: str, value: Any) -> Float[AnyArray, "n d"]:
    """The points (n, d) of `value`, Tokens or an array: float32 stays, all else becomes float64, traced stays traced.

    Raises BadInput, naming the argument `name`, when there is no token, no matrix, or a number is not finite.
    """
    raw = value.points if isinstance(value, Tokens) else value
    if isinstance(raw, jax.Array) and not is_traced(raw):
        raw = np.asarray(raw)
    if isinstance(raw, np.ndarray) and raw.dtype.kind in "fV" and raw.dtype.itemsize <= 4:
        raw = raw.astype(np.float32, copy=False)  # half precision is exact in it
    points: AnyArray
    if isinstance(raw, np.ndarray) and raw.dtype == np.float32 and raw.ndim == 2:
        points = raw
        with np.errstate(all="ignore"):
            plain = np.isfinite(np.dot(raw.ravel(), raw.ravel()))  # one fast pass
        if not plain:
            require_finite(name, raw)
            points = raw.astype(np.float64)  # finite, but the squares overflow float32
    else:
        points = parameter(name, raw, ndim=(2,))
    if points.shape[0] == 0:
        raise BadInput(f"`{name}` must hold at least one token: shape {points.shape} was found; give an (n, d) array.")
    return points


def tokens_and_gaussian(tokens: Any, gaussian: Any) -> tuple[Float[AnyArray, "n d"], Gaussian]:
    """Both checked, of one dimension.

    Raises BadInput when `tokens` or `gaussian` breaks a rule.
    """
    points, target = checked_tokens("tokens", tokens), checked_gaussian("gaussian", gaussian)
    require_one_dimension("tokens", points.shape[1], "gaussian", target.dim)
    return points, target


def two_samples(one: Any, two: Any) -> tuple[Float[AnyArray, "n d"], Float[AnyArray, "m d"]]:
    """Both checked, of one dimension.

    Raises BadInput when `one` or `two` breaks a rule.
    """
    first, second = checked_tokens("one", one), checked_tokens("two", two)
    require_one_dimension("one", first.shape[1], "two", second.shape[1])
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray) and first.dtype != second.dtype:
        first, second = first.astype(np.float64), second.astype(np.float64)
    return first, second


def checked_numbers(name: str, value: Any) -> Float[AnyArray, " n"]:
    """A vector with at least one number, NumPy float64 unless it is traced.

    Raises BadInput, naming the argument `name`, when `value` is none.
    """
    numbers = parameter(name, value if is_traced(value) else np.asarray(value), ndim=(1,))
    if numbers.shape[0] == 0:
        raise BadInput(f"`{name}` must hold at least one number: it is empty; give a vector (n,).")
    return numbers


def directions(dim: int, projections: Any, key: int | PRNGKeyArray) -> Float[AnyArray, "l d"]:
    """`projections` unit vectors of dimension `dim`, from `key`.

    Raises BadInput when `projections` is not a positive whole number.
    """
    return unit_directions(dim, whole("projections", projections, least=1), key)


def bandwidth_or_default(value: Any, gaussian: Gaussian) -> Number:
    """The kernel width `value`, or that of `gaussian` if it is None.

    Raises BadInput when it is not positive.
    """
    if value is not None:
        return positive_bandwidth(value)
    width = default_bandwidth(gaussian)
    if not is_traced(width) and not width > 0:
        raise BadInput("`bandwidth` must be given when the Gaussian is a single point: its tr cov is 0.")
    return width


def joint_bandwidth(one: AnyArray, two: AnyArray) -> Number:
    """The root of the trace of the covariance of the samples `one` and `two` together.

    Raises BadInput when all tokens are equal.
    """
    sizes = one.shape[0], two.shape[0]
    shares = [size / sum(sizes) for size in sizes]
    means = [_mean(points) for points in (one, two)]
    middle = shares[0] * means[0] + shares[1] * means[1]
    square = sum(share * _mean((points - middle) ** 2).sum() for share, points in zip(shares, (one, two), strict=True))
    if not is_traced(square) and not square > 0:
        raise BadInput("`bandwidth` must be given when all tokens are equal: the trace of their covariance is 0.")
    width: Number = square**0.5
    return width


def positive_bandwidth(value: Any) -> Number:
    """`value` as a positive number, unless it is traced.

    Raises BadInput when it is not positive.
    """
    return value if is_traced(value) else positive("bandwidth", value)


def resolved(width: Number, *clouds: AnyArray) -> Number:
    """The kernel width `width`, checked against the extent of the `clouds` of tokens.

    Raises BadInput when it is so small beside them that rounding decides which tokens are near each other.
    """
    if is_traced(width) or any(is_traced(points) for points in clouds):
        return width
    size = max(float(np.ptp(np.asarray(points), axis=0).max(initial=0.0)) for points in clouds)
    if float(width) < SMALLEST_WIDTH * size:
        raise BadInput(
            f"`bandwidth` must be at least {SMALLEST_WIDTH:g} of the extent of the tokens, {size:.3g}, to be told from "
            f"rounding: {float(width):.3g} was found; take a larger one."
        )
    return width


def whole(name: str, value: Any, *, least: int) -> int:
    """`value` as a whole number of at least `least`.

    Raises BadInput, naming the argument `name`, when it is none.
    """
    number = positive(name, value, zero=True)
    if number % 1 or number < least:
        raise BadInput(f"`{name}` must be a whole number of at least {least}: {number:g} was found.")
    return int(number)


def require_two(name: str, n: int, why: str) -> None:
    """Raise BadInput unless the argument `name` holds `n` >= 2 tokens; `why` says what one is too few for."""
    if n < 2:
        raise BadInput(f"`{name}` must hold at least two tokens: {n} was found, and {why}.")


def _mean(points: AnyArray) -> Any:
    return points.mean(axis=0, dtype=np.float64) if isinstance(points, np.ndarray) else points.mean(axis=0)
