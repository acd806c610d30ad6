"""What an activation must know about Gaussians: its expectations, its Hermite coefficients, its covariances.

Source: this package, docs/theory/closures.md.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.special as jax_special
import numpy as np
import scipy.special
from jaxtyping import Float

from .._check import BadInput
from .._types import AnyArray

KNOWN = "ReLU(), GELU(), TanhGELU(), Tanh(), SiLU() or Erf()"


class Expectations(NamedTuple):
    """E s(z) and E s'(z) of normal numbers z; each has the shape of their means."""

    mean: AnyArray
    slope: AnyArray


class Activation(eqx.Module):
    """A function s of one number, applied to each coordinate, whose expectations under Gaussians are known.

    `pair_cost`: how much longer one covariance of a pair takes than one term of a series at one pair. `analytic`:
    whether 32 squared coefficients give the variance to the last digit where the deviation is at most 1/2.
    """

    pair_cost: ClassVar[float] = 1e3
    analytic: ClassVar[bool] = True

    @abc.abstractmethod
    def __call__(self, x: AnyArray) -> AnyArray:
        """s at each entry of `x`, a NumPy or a JAX array."""

    @abc.abstractmethod
    def expectations(self, mean: AnyArray, var: AnyArray) -> Expectations:
        """E s(z) and E s'(z) of z ~ N(`mean`, `var`), entry by entry; `var` may be zero.

        NumPy in, NumPy out; with JAX arrays jit, vmap and grad pass through it. The expected curvature follows:
        d E s / d var = E s'' / 2.
        """

    @abc.abstractmethod
    def coefficients(
        self, mean: Float[np.ndarray, " m"], deviation: Float[np.ndarray, " m"], count: int
    ) -> Float[np.ndarray, "k m"]:
        """a_k = E[s(z) He_k(Z)] / sqrt(k!) for k = 0, ..., `count`, with z = `mean` + `deviation` Z (count + 1, m).

        Cov(s(z_i), s(z_j)) = sum over k >= 1 of rho^k a_k(i) a_k(j) for normal numbers with the correlation rho.
        """

    @abc.abstractmethod
    def variance(self, mean: Float[np.ndarray, " m"], deviation: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Var s(z) for z of `mean` (m,) and standard `deviation` (m,).

        For an analytic s and small deviations the sum of the squared coefficients has more digits.
        """

    @abc.abstractmethod
    def covariance(self, one: Normal, two: Normal, correlation: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
        """Cov(s(z_1), s(z_2)) of pairs of normal numbers z_1 = `one`, z_2 = `two`, any `correlation` in [-1, 1]."""


class Normal(NamedTuple):
    """Normal numbers: their means and standard deviations, each (p,)."""

    mean: Float[np.ndarray, " p"]
    deviation: Float[np.ndarray, " p"]

    @property
    def var(self) -> Float[np.ndarray, " p"]:
        """The variances."""
        return np.asarray(np.square(self.deviation))

    def scaled(self, factor: AnyArray | float) -> Normal:
        """The numbers times `factor` > 0."""
        return Normal(self.mean * factor, self.deviation * factor)


def namespace(*arrays: AnyArray) -> tuple[Any, Any]:
    """(array functions, special functions): those of JAX when one of `arrays` is a JAX array, else NumPy and SciPy."""
    if any(isinstance(array, jax.Array) for array in arrays):
        return jnp, jax_special
    return np, scipy.special


def density(x: AnyArray) -> AnyArray:
    """The standard normal density at `x`."""
    xp, _ = namespace(x)
    found: AnyArray = xp.exp(-0.5 * xp.square(x)) / np.sqrt(2 * np.pi)
    return found


def require_activation(value: Any) -> Activation:
    """`value` if it is an activation.

    Raises BadInput otherwise: the expectations of an arbitrary function under a Gaussian are not known.
    """
    if isinstance(value, Activation):
        return value
    found = value.__name__ if callable(value) and hasattr(value, "__name__") else type(value).__name__
    remedy = f"write {found}()" if isinstance(value, type) and issubclass(value, Activation) else f"give {KNOWN}"
    raise BadInput(f"`activation` must be an activation with a known Gaussian form: {found} was found; {remedy}.")
