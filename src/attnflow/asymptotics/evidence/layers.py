"""The long run under any layer: the same search, with the derivative by differences and nothing proved."""

from __future__ import annotations

import functools

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ...flow.outcome import Basis
from ...measures.gaussian import Gaussian
from ...transformer.layer import AbstractLayer
from ..linearisation import smat, svec
from ..regime import Regime
from ..system import system_of
from .orbit import orbit_of
from .outcome import Budget, Evidence
from .run import evidence_of, long_run, visible_columns

#: Step of the differences, relative to the covariance; the largest dimension in which they are affordable.
STEP, LARGEST = 1e-5, 10
#: The nonlinear part is estimated between covariances this far apart, and the estimate multiplied by the second number.
REACH, CAUTION = 0.1, 3.0


class LayerDynamics:
    """The covariance flow of a `layer` at Gaussians with a fixed `mean`; `size` is a typical size of covariances.

    Runs in JAX's x64 mode, which the caller sets.
    """

    def __init__(self, layer: AbstractLayer, mean: Float[np.ndarray, " d"], size: float) -> None:
        self._layer, self._mean, self._size = layer, np.asarray(mean, dtype=np.float64), size

    @property
    def dim(self) -> int:
        """d."""
        return int(self._mean.size)

    @functools.cached_property
    def speed(self) -> float:
        """||M|| at zero, or at a covariance of the typical size where that vanishes."""
        still, typical = (self.generator(c * np.eye(self.dim)) for c in (0.0, self._size**0.5))
        return float(np.linalg.norm(still, 2)) or float(np.linalg.norm(typical, 2)) or 1.0

    @property
    def exact(self) -> bool:
        """`bend` is an estimate."""
        return False

    def generator(self, factor: Float[np.ndarray, "d r"]) -> Float[np.ndarray, "d d"]:
        """M at cov = L L^T, L the `factor`."""
        return np.asarray(_generator(self._layer, self._mean, np.ascontiguousarray(factor)), dtype=np.float64)

    def rate(self, coordinates: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """cov' in the `coordinates` of `svec`; M is taken at the nearest positive semidefinite covariance."""
        cov = smat(coordinates)
        values, axes = np.linalg.eigh(cov)
        half = self.generator(axes * np.sqrt(np.maximum(values, 0.0))) @ cov
        return svec(half + half.T)

    def derivative(self, coordinates: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m m"]:
        """The derivative of `rate` at `coordinates`, by second-order differences towards covariances only.

        The directions e_i e_i^T and (e_i + e_j)(e_i + e_j)^T span the symmetric matrices, and a singular covariance
        stays positive semidefinite along them.
        """
        rows, columns = np.triu_indices(self.dim)
        units = np.eye(self.dim)
        arrows = np.where((rows == columns)[:, None], units[rows], units[rows] + units[columns])
        directions = svec(arrows[:, :, None] * arrows[:, None, :])
        step = STEP * max(float(np.linalg.norm(coordinates)), 1e-3 * self._size)
        here = self.rate(coordinates)
        slopes = [
            (4.0 * self.rate(coordinates + step * X) - self.rate(coordinates + 2.0 * step * X) - 3.0 * here)
            for X in directions
        ]
        return np.asarray(np.linalg.solve(directions, np.stack(slopes) / (2.0 * step)).T)

    def bend(
        self, frame: Float[np.ndarray, "m m"], inverse: Float[np.ndarray, "m m"], at: Float[np.ndarray, " m"]
    ) -> float:
        """An estimate c of |inverse Q(frame y)| <= c |y|^2 for the nonlinear part Q of the rate around `at`."""
        reach = REACH * max(float(np.linalg.norm(at)), 0.1 * self._size)
        side = svec(np.eye(self.dim)) / np.sqrt(self.dim)
        change = float(np.linalg.norm(self.derivative(at + reach * side) - self.derivative(at), 2)) / reach
        sizes = np.linalg.norm(inverse, 2) * np.linalg.norm(frame, 2) ** 2
        return float(CAUTION * 0.5 * change * sizes)


def long_run_of_layer(layer: AbstractLayer, start: Gaussian, *, budget: Budget | None = None) -> Evidence:
    """What becomes of the covariance of `start` under a `layer` with constant parameters, by integration.

    Softmax heads and affine feed-forward go through their matrices, with certificates; other kinds within the `budget`
    with a derivative by differences, up to dimension 10, and nothing proved. Kinds whose covariance depends on the mean
    are followed from a mean that rests at 0 only; else the verdict is undetermined.

    Runs in JAX's x64 mode, which the caller sets.

    Source: this package, docs/theory/long-run.md.
    """
    factor = visible_columns(np.asarray(start.factor, dtype=np.float64))
    mean = np.asarray(start.mean, dtype=np.float64)
    system = system_of(layer, mean.size)
    if system is not None:
        return long_run(system, factor, budget=budget)
    if mean.size > LARGEST:
        return _undetermined(factor, f"no derivative by differences beyond dimension {LARGEST}")
    if factor.shape[1] == 0:
        zero = np.zeros((mean.size, mean.size))
        return Evidence(Regime.ZERO, Basis.NUMERICAL, "the start is zero, and zero stays", 0.0, factor, zero, 0)
    if _feels_mean(layer, mean, factor):
        return _undetermined(factor, "the covariance depends on the mean, which moves")
    size = float(np.sum(factor * factor)) / mean.size
    return evidence_of(orbit_of(LayerDynamics(layer, mean, size), factor, budget or Budget(), []))


def _feels_mean(layer: AbstractLayer, mean: np.ndarray, factor: np.ndarray) -> bool:
    """Whether M depends on the mean, and the mean does not rest at 0."""
    here, there = (np.asarray(_generator(layer, m, factor)) for m in (mean, mean + 1.0))
    if np.allclose(here, there, rtol=1e-9, atol=1e-12 * float(np.abs(here).max(initial=0.0))):
        return False
    return bool(mean.any()) or bool(np.any(np.asarray(_offset(layer, mean, factor))))


def _undetermined(factor: np.ndarray, reason: str) -> Evidence:
    return Evidence(Regime.UNDETERMINED, Basis.UNDETERMINED, reason, 0.0, factor)


@eqx.filter_jit
def _generator(layer: AbstractLayer, mean: np.ndarray, factor: np.ndarray) -> object:
    return layer.at_gaussian(Gaussian(mean, factor)).linear()


@eqx.filter_jit
def _offset(layer: AbstractLayer, mean: np.ndarray, factor: np.ndarray) -> object:
    return layer.at_gaussian(Gaussian(mean, factor)).offset
