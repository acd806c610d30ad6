"""A Gaussian measure held by its mean and a factor of its covariance, so that rank is part of the type."""

from __future__ import annotations

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .._check import BadInput, covariance, parameter, real_array, require_semidefinite, require_shape
from .._linalg import semidefinite_factor
from .._types import AnyArray, ArrayLike


class Gaussian(eqx.Module):
    """The measure N(mean, L L^T), possibly singular.

    `mean` (d,), `factor` L (d, r). The number of columns r is the rank that the flow conserves; r = 0 is a
    Dirac mass. Leading axes are allowed inside `vmap` only.

    Use the doors: `Gaussian.from_moments`, `Gaussian.from_factor`, `Gaussian.from_tokens`.

    Source: :cite:alcalde2026, Lemma 3.1.
    """

    mean: Float[AnyArray, " d"]
    factor: Float[AnyArray, "d r"]

    @staticmethod
    def from_moments(mean: ArrayLike, cov: ArrayLike) -> Gaussian:
        """From `mean` (d,) and covariance `cov` (d, d), which may be singular.

        Eigenvalues of `cov` down to -1e-8 of the largest are rounding and are clipped to zero, with a warning
        when one lies below -d eps of the largest. The rank is the number of eigenvalues above d eps of the largest.

        Raises BadInput for wrong shapes, non-finite numbers, an asymmetric or indefinite `cov`.
        """
        center = real_array("mean", mean, ndim=(1,))
        matrix = covariance("cov", cov)
        require_shape("cov", matrix.shape, (center.size, center.size), because="to agree with `mean`")
        factor, eigenvalues = semidefinite_factor(matrix)
        require_semidefinite("cov", eigenvalues)
        largest = eigenvalues.max(initial=0.0)
        if eigenvalues.min(initial=0.0) < -center.size * np.finfo(float).eps * largest:
            warnings.warn(
                f"negative eigenvalues of `cov` down to {eigenvalues.min():.1e} were clipped to zero; "
                f"its rank is {factor.shape[1]}.",
                stacklevel=2,
            )
        return Gaussian(center, factor)

    @staticmethod
    def from_factor(mean: ArrayLike, factor: ArrayLike) -> Gaussian:
        """From `mean` (d,) and `factor` L (d, r) with covariance L L^T; a vector (d,) means one column.

        The columns are kept as given: r is the conserved rank, even if they are linearly dependent.

        Raises BadInput for wrong shapes and non-finite numbers.
        """
        center = parameter("mean", mean, ndim=(1,))
        columns = parameter("factor", factor, ndim=(1, 2))
        columns = columns[:, None] if columns.ndim == 1 else columns
        if columns.shape[0] != center.shape[0]:
            raise BadInput(
                f"`factor` must have {center.shape[0]} rows to agree with `mean`: shape {tuple(columns.shape)} was "
                "found; give L with cov = L @ L.T, one column for each direction."
            )
        return Gaussian(center, columns)

    @staticmethod
    def from_tokens(points: ArrayLike) -> Gaussian:
        """The Gaussian with the moments of n tokens `points` (n, d); the covariance divides by n.

        Its rank is the numerical rank of the centred tokens, at most min(d, n - 1).

        Raises BadInput when there is no token or a number is not finite.
        """
        tokens = real_array("points", points, ndim=(2,))
        if tokens.shape[0] == 0:
            raise BadInput("`points` must hold at least one token: shape (0, d) was found; give an (n, d) array.")
        center = tokens.mean(axis=0)
        _, singular, axes = np.linalg.svd((tokens - center) / np.sqrt(tokens.shape[0]), full_matrices=False)
        largest = np.square(singular).max(initial=0.0)
        visible = np.square(singular) > tokens.shape[1] * np.finfo(float).eps * largest
        return Gaussian(center, axes[visible].T * singular[visible])

    @property
    def dim(self) -> int:
        """d."""
        return int(self.mean.shape[-1])

    @property
    def rank(self) -> int:
        """The conserved rank: the number of columns of the factor."""
        return int(self.factor.shape[-1])

    @property
    def cov(self) -> Float[AnyArray, "d d"]:
        """The covariance L L^T."""
        return self.factor @ self.factor.mT

    def sample(self, n: int, *, key: PRNGKeyArray) -> Float[jax.Array, "n d"]:
        """`n` independent tokens (n, d), drawn with the explicit JAX random `key`, in the dtype of the factor."""
        noise = jax.random.normal(key, (n, self.rank), dtype=jax.dtypes.canonicalize_dtype(self.factor.dtype))
        return jnp.asarray(self.mean) + noise @ jnp.asarray(self.factor).T


class Moments(eqx.Module):
    """A Gaussian held by `mean` (d,) and a well-conditioned covariance `cov` (d, d): the covariance engine's state."""

    mean: Float[AnyArray, " d"]
    cov: Float[AnyArray, "d d"]
