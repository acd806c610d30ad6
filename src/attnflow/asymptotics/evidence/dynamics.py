"""What the long run asks of a covariance flow: its generator, its rate, the derivative of that on Sym(d)."""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
from jaxtyping import Float

from ..linearisation import linearisation, smat, svec
from ..system import System

#: Up to this dimension the rate is held as a quadratic polynomial on the coordinates of Sym(d): m^3 numbers.
POLYNOMIAL_DIM = 12


class Dynamics(Protocol):
    """The flow cov' = M cov + cov M^T of covariances (d, d)."""

    @property
    def dim(self) -> int:
        """d."""

    @property
    def speed(self) -> float:
        """A bound or an estimate of ||M|| at small covariances: the unit of time."""

    def generator(self, factor: Float[np.ndarray, "d r"]) -> Float[np.ndarray, "d d"]:
        """M at cov = L L^T, L the `factor`."""

    def rate(self, coordinates: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """cov' in the `coordinates` of `svec`."""

    def derivative(self, coordinates: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m m"]:
        """The derivative of `rate` at `coordinates`."""

    @property
    def exact(self) -> bool:
        """Whether `bend` is a bound, not an estimate."""

    def bend(
        self, frame: Float[np.ndarray, "m m"], inverse: Float[np.ndarray, "m m"], at: Float[np.ndarray, " m"]
    ) -> float:
        """A bound c of |inverse Q(frame y)| <= c |y|^2 for the nonlinear part Q of the rate around `at`."""


class SystemDynamics:
    """The flow of a `System` of softmax heads and an affine feed-forward.

    Source: :cite:alcalde2026, eq. (2.6).
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self._heads = [(np.ascontiguousarray(V), np.ascontiguousarray(B)) for V, B in _active(system)]

    @property
    def dim(self) -> int:
        """d."""
        return self.system.dim

    @functools.cached_property
    def speed(self) -> float:
        """||A||, or the size of V and B where A = 0."""
        return float(np.linalg.norm(self.system.A, 2)) or self.curvature or 1.0

    @functools.cached_property
    def curvature(self) -> float:
        """2 sum_h ||V_h|| ||B_h||, so that the quadratic part of the rate is at most `curvature` |D|_F^2."""
        return 2.0 * sum(float(np.linalg.norm(V, 2) * np.linalg.norm(B, 2)) for V, B in self._heads)

    def generator(self, factor: Float[np.ndarray, "d r"]) -> Float[np.ndarray, "d d"]:
        """M at cov = L L^T, L the `factor`."""
        return self._generator(factor @ factor.T)

    def rate(self, coordinates: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """cov' in the `coordinates` of `svec`."""
        cov = smat(coordinates)
        half = self._generator(cov) @ cov
        return svec(half + half.T)

    def derivative(self, coordinates: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m m"]:
        """The derivative of `rate` at `coordinates`."""
        if self.dim > POLYNOMIAL_DIM:
            return linearisation(self.system, smat(coordinates))
        linear, quadratic = self._polynomial
        return np.asarray(linear + 2.0 * (quadratic @ coordinates))

    @property
    def exact(self) -> bool:
        """The rate is a quadratic polynomial: `bend` is a bound."""
        return True

    def bend(
        self, frame: Float[np.ndarray, "m m"], inverse: Float[np.ndarray, "m m"], at: Float[np.ndarray, " m"]
    ) -> float:
        """A bound c of |inverse Q(frame y)| <= c |y|^2 for the quadratic part Q of the rate, whatever `at`.

        Up to dimension 12 it is the norm of the unfolded bilinear form in the new frame, beyond that the product of
        norms.
        """
        if self.dim > POLYNOMIAL_DIM:
            return float(np.linalg.norm(inverse, 2) * np.linalg.norm(frame, 2) ** 2 * self.curvature)
        quadratic = self._polynomial[1]
        moved = np.tensordot(inverse, quadratic @ frame, axes=1)  # (m, m, m): output, first argument, second
        moved = np.swapaxes(np.swapaxes(moved, 1, 2) @ frame, 1, 2).reshape(len(frame), -1)
        largest = np.linalg.eigvalsh(moved @ moved.conj().T)[-1]
        return float(np.sqrt(max(largest, 0.0)))

    def _generator(self, cov: np.ndarray) -> np.ndarray:
        out = self.system.A
        for V, B in self._heads:
            out = out + V @ cov @ B
        return np.asarray(out)

    @functools.cached_property
    def _polynomial(self) -> tuple[np.ndarray, np.ndarray]:
        """The matrix of the linear part (m, m) and the symmetric tensor of the quadratic part (m, m, m)."""
        dim = self.dim
        basis = smat(np.eye(dim * (dim + 1) // 2))
        moved = self.system.A @ basis
        linear = svec(moved + np.swapaxes(moved, -1, -2)).T
        size = len(basis)
        tensor = np.zeros((size, size, size))
        for V, B in self._heads:
            half = np.einsum("iab,jbc->ijac", V @ basis, B @ basis, optimize=True)
            tensor += np.moveaxis(svec(half + np.swapaxes(half, -1, -2)), -1, 0)
        return np.ascontiguousarray(linear), 0.5 * (tensor + np.swapaxes(tensor, 1, 2))


def _active(system: System) -> list[tuple[np.ndarray, np.ndarray]]:
    """The heads that move something."""
    return [(V, B) for V, B in zip(system.V, system.B, strict=True) if V.any() and B.any()]
