"""The Bures-Wasserstein distance: the 2-Wasserstein distance of two Gaussians."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._types import AnyArray, Number
from .gaussian import Gaussian
from .namespace import in_double, namespace, require_one_dimension, root


def bures_wasserstein(one: Gaussian, two: Gaussian) -> Number:
    """The 2-Wasserstein distance of the Gaussians `one` and `two` of one dimension d, of any rank.

    It is the root of `bures_wasserstein_squared`; where that is 0, its derivative is taken to be 0.

    Raises BadInput when the dimensions differ.

    Source: this package, docs/theory/distances.md.
    """
    distance: Number = root(bures_wasserstein_squared(one, two))
    return distance


def bures_wasserstein_squared(one: Gaussian, two: Gaussian) -> Number:
    """The square of the 2-Wasserstein distance of the Gaussians `one` and `two` of one dimension d, of any rank.

    With cov_i = L_i L_i^T and L_1^T L_2 = U s W^T it is |m_1 - m_2|^2 + |L_1 - L_2 W U^T|^2: a sum of squares,
    accurate for nearly equal and for singular covariances, where the formula with traces of roots is not. NumPy fields
    are computed in float64; through JAX fields jit, vmap and grad pass, also at equal singular values.

    Raises BadInput when the dimensions differ.

    Source: this package, docs/theory/distances.md.
    """
    require_one_dimension("one", one.dim, "two", two.dim)
    fields = one.mean, one.factor, two.mean, two.factor
    xp = namespace(*fields)
    m_1, L_1, m_2, L_2 = (xp.asarray(in_double(field)) for field in fields)
    rank = max(one.rank, two.rank)
    L_1, L_2 = (xp.pad(L, ((0, 0), (0, rank - L.shape[1]))) for L in (L_1, L_2))
    rotation = (_polar_factor if xp is jnp else _orthogonal_factor)(L_1.T @ L_2)
    square: Number = xp.sum(xp.square(m_1 - m_2)) + xp.sum(xp.square(L_1 - L_2 @ rotation.T))
    return square


def _orthogonal_factor(matrix: Float[AnyArray, "r r"]) -> Float[AnyArray, "r r"]:
    """U W^T of a `matrix` U s W^T."""
    left, _, right = namespace(matrix).linalg.svd(matrix)
    factor: AnyArray = left @ right
    return factor


@jax.custom_jvp
def _polar_factor(matrix: Float[AnyArray, "r r"]) -> Float[AnyArray, "r r"]:
    """U W^T of a `matrix` U s W^T, with a derivative that exists at equal singular values, too."""
    return _orthogonal_factor(matrix)


@_polar_factor.defjvp
def _turn(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """U (K / (s_i + s_j)) W^T with K the skew part U^T dM W - (U^T dM W)^T; 0 in the kernel, where U W^T is free."""
    left, s, right = jnp.linalg.svd(primals[0])
    inner = left.T @ tangents[0] @ right.T
    sums = s[:, None] + s[None, :]
    seen = sums > np.finfo(s.dtype).eps * s[0]
    return left @ right, left @ (jnp.where(seen, 1 / jnp.where(seen, sums, 1), 0) * (inner - inner.T)) @ right
