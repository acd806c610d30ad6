"""The exact constructions: which path leads from one covariance to another of the same rank."""

from __future__ import annotations

import abc
import dataclasses
import warnings

import numpy as np
import scipy.linalg
from jaxtyping import Float
from typing_extensions import override

from .displacement import Displacement, aligned, nothing, outside_rate, transported
from .law import AbstractLaw, Constant, Controls, Following
from .paths import AbstractPath, Exponential, Geodesic, TurnAndStretch


@dataclasses.dataclass(frozen=True)
class Construction(abc.ABC):
    """A way to build an exact plan; the means always move on a straight line."""

    @abc.abstractmethod
    def path(self, start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> AbstractPath:
        """The path of factors from `start` (d, r) to one of `target` (d, r); both have independent columns."""

    def law(self, path: AbstractPath, time: float, velocity: Float[np.ndarray, " d"]) -> AbstractLaw:
        """The controls that follow `path` in `time` while the mean moves with `velocity` (d,)."""
        return Following(path, time, velocity, attends=False)


@dataclasses.dataclass(frozen=True)
class Rotation(Construction):
    """The direct rotation between the ranges with a symmetric stretch: Phi(s) = e^{s Omega} e^{s K}.

    The stretch is the optimal transport within the range of the start, or the paper's stretch of the principal axes,
    whichever has the smaller |Omega|^2 + |K|^2. The condition number of Phi(s) grows evenly: no intermediate point is
    worse than the end.

    Source: this package, docs/theory/reachability.md, The default plan.
    """

    @override
    def path(self, start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> AbstractPath:
        return _turn_and_stretch(min((transported(start, target), aligned(start, target)), key=_cost), start)


@dataclasses.dataclass(frozen=True)
class ConstantControls(Construction):
    """A, V and b that do not change with depth: Phi(s) = e^{s X} with X a real logarithm, which always exists.

    Source: this package, docs/theory/reachability.md, Constant controls.
    """

    @override
    def path(self, start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> AbstractPath:
        displacement = transported(start, target)
        if not displacement.planes.angles.size:
            return _turn_and_stretch(displacement, start)
        return Exponential(_logarithm(displacement, start), start)

    @override
    def law(self, path: AbstractPath, time: float, velocity: Float[np.ndarray, " d"]) -> AbstractLaw:
        G = np.asarray(path.generator(0.0)) / time
        return Constant(Controls(G, np.zeros_like(G), -G, velocity))


@dataclasses.dataclass(frozen=True)
class McCann(Construction):
    """The Wasserstein geodesic: least kinetic energy, W_2^2 / T.

    Source: this package, docs/theory/reachability.md, McCann's plan.
    """

    @override
    def path(self, start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> AbstractPath:
        left, _, right = np.linalg.svd(start.T @ target)
        return Geodesic(start, target @ (left @ right).T, float(np.exp(outside_rate(start, target))))


@dataclasses.dataclass(frozen=True)
class PaperConstruction(Construction):
    """The construction of the paper's proof: Phi(T) = U_1 D U_0^T on a path in GL+, and B = cov^+.

    The path is e^{s Omega} e^{s K} with the rotation U_1 U_0^T, the signs of the axes chosen so that they turn little.
    With a nearly singular covariance the pseudo-inverse B is huge, and accuracy is lost.

    Source: :cite:alcalde2026, Thm. 3.2.
    """

    @override
    def path(self, start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> AbstractPath:
        return _turn_and_stretch(aligned(start, target), start)

    @override
    def law(self, path: AbstractPath, time: float, velocity: Float[np.ndarray, " d"]) -> AbstractLaw:
        return Following(path, time, velocity, attends=True)


def still(start: Float[np.ndarray, "d 0"]) -> AbstractPath:
    """The path of a point mass: `start` (d, 0) has nothing to turn or stretch."""
    d = len(start)
    return TurnAndStretch(nothing(d), np.zeros((d, 0)), np.zeros(0), start)


def _cost(displacement: Displacement) -> float:
    return displacement.cost


def _turn_and_stretch(displacement: Displacement, start: np.ndarray) -> TurnAndStretch:
    return TurnAndStretch(displacement.planes, displacement.axes, displacement.rates, start)


def _logarithm(displacement: Displacement, start: np.ndarray) -> np.ndarray:
    """log(e^Omega e^K), formed in the smallest space outside of which the map is a multiple of the identity."""
    d, r = start.shape
    planes, outside = displacement.planes, displacement.rates[r:].min(initial=0.0)
    spanned = np.hstack([displacement.axes[:, :r], planes.second])
    basis = np.linalg.qr(spanned)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what its error comes to, the end of the path shows
        logarithm = np.real(scipy.linalg.logm(basis.T @ displacement.matrix @ basis))
    return np.asarray(basis @ (logarithm - outside * np.eye(basis.shape[1])) @ basis.T + outside * np.eye(d))
