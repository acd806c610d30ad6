"""Parameters of layers out of user data, and how they act on tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Float

from .._check import BadInput, parameter, require_shape, require_square
from .._linalg import LowRank, Operator, operator_dim, times
from .._types import AnyArray, ArrayLike, Points, Vector
from ..measures.gaussian import Gaussian, Moments

Parameter: TypeAlias = ArrayLike | LowRank


def square_parameter(name: str, value: Parameter) -> Operator:
    """A square matrix, a scalar or a LowRank from user data; raises BadInput otherwise."""
    if isinstance(value, LowRank):
        left = parameter(f"{name}.left", value.left, ndim=(2,))
        right = parameter(f"{name}.right", value.right, ndim=(2,))
        require_shape(f"{name}.right", right.shape, left.shape[::-1], because=f"to agree with `{name}.left`")
        return LowRank(left, right)
    matrix = parameter(name, value, ndim=(0, 2))
    require_square(name, matrix.shape)
    return matrix


def common_dim(**parameters: Operator | None) -> int | None:
    """The one dimension d that all given parameters share, None when all are scalars; raises BadInput otherwise."""
    found: dict[str, int] = {}
    for name, value in parameters.items():
        dim = None if value is None else operator_dim(value)
        if dim is not None:
            found[name] = dim
    if len(set(found.values())) > 1:
        listed = ", ".join(f"`{name}` has d = {dim}" for name, dim in found.items())
        raise BadInput(
            f"all parameters must share one dimension d: {listed}; check which of them is transposed or cut."
        )
    return next(iter(found.values()), None)


def covariance_times(measure: Gaussian | Moments, vector: AnyArray) -> AnyArray:
    """cov @ vector."""
    if isinstance(measure, Moments):
        return measure.cov @ vector
    return measure.factor @ (measure.factor.T @ vector)


def optional_vector(name: str, value: ArrayLike | None) -> Vector | None:
    """A bias (d,) from user data, or None; raises BadInput when it is not a finite vector."""
    return None if value is None else parameter(name, value, ndim=(1,))


def rows(operator: Operator, points: Float[AnyArray, "m d"]) -> Float[AnyArray, "m d"]:
    """`operator` applied to each row."""
    return times(operator, jnp.asarray(points).T).T


def bilinear_logits(
    B: Operator, query_bias: Vector | None, points: Float[AnyArray, "m d"], tokens: Points
) -> tuple[Float[AnyArray, "m k"], Float[AnyArray, "n k"], Float[AnyArray, " n"] | None]:
    """Queries, keys and key biases with y^T (B x + query_bias) = query . key + key_bias; k is the inner dimension."""
    tokens = jnp.asarray(tokens)
    if not isinstance(B, LowRank):
        queries = rows(B, points)
        return (queries if query_bias is None else queries + query_bias), tokens, None
    bias = None if query_bias is None else tokens @ query_bias
    return jnp.asarray(points) @ B.right.T, tokens @ B.left, bias


def split_values(
    V: Operator, tokens: Points
) -> tuple[Float[AnyArray, "n v"], Callable[[AnyArray], Float[AnyArray, "m d"]]]:
    """What to average over the tokens, and the map that makes the average of V y out of it."""
    if isinstance(V, LowRank):
        left = V.left
        return jnp.asarray(tokens) @ V.right.T, lambda average: average @ left.T
    return jnp.asarray(tokens), lambda average: rows(V, average)
