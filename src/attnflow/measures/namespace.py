"""One formula for NumPy on the host and for JAX inside jit, vmap and grad."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._check import BadInput
from .._types import AnyArray, Number


def namespace(*arrays: Number) -> Any:
    """`jax.numpy` when one of `arrays` is a JAX array, else `numpy`."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np


def in_double(array: AnyArray) -> AnyArray:
    """`array` in float64 when it is NumPy's; a JAX `array` keeps its dtype."""
    return array if isinstance(array, jax.Array) else np.asarray(array, dtype=np.float64)


def root(square: Number) -> Any:
    """The root of a `square` >= 0, with the derivative 0 where it is 0."""
    if not isinstance(square, jax.Array):
        return np.sqrt(square)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def require_one_dimension(first: str, one: int, second: str, two: int) -> None:
    """Raise BadInput, naming the arguments `first` and `second`, unless their dimensions `one` and `two` are equal."""
    if one != two:
        raise BadInput(f"`{first}` and `{second}` must share one dimension d: {one} and {two} were found.")
