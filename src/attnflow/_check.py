"""Value checks for the doors: bad input gets one message, before any work starts."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ._types import AnyArray

SYMMETRY_TOLERANCE = 1e-8
DEFINITENESS_TOLERANCE = 1e-8


class BadInput(ValueError):
    """An argument breaks a rule; the message names the argument, the rule, what was found and the remedy."""


def is_traced(value: Any) -> bool:
    """Whether `value` is a JAX tracer: its shape is known, its numbers are not."""
    return isinstance(value, jax.core.Tracer)


def parameter(name: str, value: Any, *, ndim: tuple[int, ...]) -> AnyArray:
    """A parameter of a layer or a measure: JAX arrays stay as they are, all else becomes NumPy float64.

    NumPy float64 is kept until the numbers are used, so that nothing is cut to single precision by a
    global JAX setting.

    Raises BadInput when `value` is not numeric, has another number of axes than `ndim`, or is not finite.
    """
    if isinstance(value, jax.Array):
        _require_ndim(name, value.shape, ndim)
        if not is_traced(value):
            require_finite(name, np.asarray(value))
        return value
    array = real_array(name, value)
    _require_ndim(name, array.shape, ndim)
    return array


def real_array(name: str, value: Any, *, ndim: tuple[int, ...] | None = None) -> np.ndarray:
    """`value` as a finite NumPy float64 array of `ndim` axes.

    Raises BadInput when that is impossible.
    """
    try:
        raw = np.asarray(value)
        if np.iscomplexobj(raw):
            raise BadInput(f"`{name}` must be real: complex numbers were found; give its real part if that is meant.")
        array = np.array(raw, dtype=np.float64)
    except BadInput:
        raise
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"`{name}` must be a rectangular array of numbers: {type(value).__name__} was found that is not one "
            f"({error}); check that all rows have the same length."
        ) from error
    if ndim is not None:
        _require_ndim(name, array.shape, ndim)
    require_finite(name, array)
    return array


def require_finite(name: str, array: np.ndarray) -> None:
    """Raise BadInput unless every entry of `array` is finite."""
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise BadInput(f"`{name}` must be finite: entry {place or ''} is {array[place]}; remove or replace it.")


def require_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...], *, because: str) -> None:
    """Raise BadInput unless `shape` equals `expected`; `because` names the argument it must agree with."""
    if tuple(shape) != tuple(expected):
        raise BadInput(f"`{name}` must have shape {expected} {because}: shape {tuple(shape)} was found.")


def require_square(name: str, shape: tuple[int, ...]) -> None:
    """Raise BadInput unless a matrix of this shape is square."""
    if len(shape) == 2 and shape[0] != shape[1]:
        raise BadInput(f"`{name}` must be square: shape {tuple(shape)} was found; give a (d, d) matrix.")


def covariance(name: str, value: Any) -> np.ndarray:
    """A symmetric positive semidefinite matrix, up to the tolerances of this module relative to its size.

    Raises BadInput when it is not square, not symmetric or has an eigenvalue below -1e-8 of the largest.
    """
    cov = real_array(name, value, ndim=(2,))
    require_square(name, cov.shape)
    scale = np.abs(cov).max(initial=0.0)
    asymmetry = np.abs(cov - cov.T).max(initial=0.0)
    if asymmetry > SYMMETRY_TOLERANCE * scale:
        raise BadInput(
            f"`{name}` must be symmetric: its largest asymmetry is {asymmetry:.1e} (tolerance "
            f"{SYMMETRY_TOLERANCE * scale:.1e}); give (C + C.T) / 2 if that is what is meant."
        )
    return 0.5 * cov + 0.5 * cov.T


def require_semidefinite(name: str, eigenvalues: np.ndarray) -> None:
    """Raise BadInput when the smallest eigenvalue of a covariance is below -1e-8 of the largest."""
    tolerance = DEFINITENESS_TOLERANCE * np.abs(eigenvalues).max(initial=0.0)
    lowest = eigenvalues.min(initial=0.0)
    if lowest < -tolerance:
        raise BadInput(
            f"`{name}` must be positive semidefinite: its smallest eigenvalue is {lowest:.1e} (tolerance "
            f"{-tolerance:.1e}); if it is an empirical covariance, use `Gaussian.from_tokens`."
        )


def times(name: str, value: Any) -> np.ndarray:
    """Requested times: finite, at least 0, strictly increasing, not empty.

    Raises BadInput otherwise.
    """
    ts = np.atleast_1d(real_array(name, value, ndim=(0, 1)))
    if ts.size == 0:
        raise BadInput(f"`{name}` must hold at least one time: it is empty; give for example [0.0, 1.0].")
    if ts[0] < 0:
        raise BadInput(f"`{name}` must not be negative: the flow starts at 0 and the first time is {ts[0]:g}.")
    falls = np.flatnonzero(np.diff(ts) <= 0)
    if falls.size:
        i = int(falls[0])
        raise BadInput(
            f"`{name}` must be strictly increasing: entry {i + 1} is {ts[i + 1]:g} after {ts[i]:g}; sort the times "
            "and drop repeated ones."
        )
    return ts


def positive(name: str, value: Any, *, zero: bool = False) -> float:
    """A positive (or, with `zero`, nonnegative) finite number.

    Raises BadInput otherwise.
    """
    number = float(real_array(name, value, ndim=(0,)))
    if number < 0 or (number == 0 and not zero):
        rule = "at least 0" if zero else "positive"
        raise BadInput(f"`{name}` must be {rule}: {number:g} was found.")
    return number


def positive_parameter(name: str, value: Any) -> AnyArray:
    """A positive finite number that belongs to a layer; a JAX array stays one.

    Raises BadInput otherwise.
    """
    number = parameter(name, value, ndim=(0,))
    if not is_traced(number) and not float(number) > 0:
        raise BadInput(f"`{name}` must be positive: {float(number):g} was found.")
    return number


def _require_ndim(name: str, shape: tuple[int, ...], ndim: tuple[int, ...]) -> None:
    if len(shape) not in ndim:
        words = {0: "a number", 1: "a vector", 2: "a matrix", 3: "an array of three axes"}
        expected = " or ".join(words[n] for n in ndim)
        raise BadInput(f"`{name}` must be {expected}: an array of shape {tuple(shape)} was found.")
