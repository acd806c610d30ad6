"""Paths of covariances from a start to a target: the flow map Phi(s), s = t / T in [0, 1], and what drives it.

A path is a JAX module: it can be evaluated at a traced time, in the functional core and in NumPy alike.

Source: this package, docs/theory/reachability.md.
"""

from __future__ import annotations

import abc

import equinox as eqx
import jax.scipy.linalg as jsl
import numpy as np
import scipy.linalg
from jaxtyping import Float
from typing_extensions import override

from .._types import AnyArray
from .planes import Planes, namespace


class AbstractPath(eqx.Module):
    """Factors L(s) (d, r) of covariances for s in [0, 1], with L' = G L."""

    @abc.abstractmethod
    def factor(self, s: float | AnyArray) -> Float[AnyArray, "d r"]:
        """L(s)."""

    @abc.abstractmethod
    def generator(self, s: float | AnyArray) -> Float[AnyArray, "d d"]:
        """G(s) with L'(s) = G(s) L(s)."""

    @abc.abstractmethod
    def between(self, s: float | AnyArray, later: float | AnyArray) -> Float[AnyArray, "d d"]:
        """Phi with L(later) = Phi L(s): the flow map of one layer."""


class TurnAndStretch(AbstractPath):
    """L(s) = e^{s Omega} e^{s K} L(0): constant speed (|Omega|^2 + |K|^2)^{1/2}, no bad condition on the way.

    `planes` hold Omega; K = `axes` diag(`rates`) `axes`^T with orthonormal axes (d, k) whose span holds the range of
    `start`, which is L(0) (d, r).
    """

    planes: Planes
    axes: Float[AnyArray, "d k"]
    rates: Float[AnyArray, " k"]
    start: Float[AnyArray, "d r"]

    @override
    def factor(self, s: float | AnyArray) -> Float[AnyArray, "d r"]:
        grown = namespace(s).exp(s * self.rates)[:, None] * (self.axes.T @ self.start)
        return self.planes.turn(s, self.axes @ grown)

    @override
    def generator(self, s: float | AnyArray) -> Float[AnyArray, "d d"]:
        turned = self.planes.turn(s, self.axes)
        return self.planes.logarithm() + (turned * self.rates) @ turned.T

    @override
    def between(self, s: float | AnyArray, later: float | AnyArray) -> Float[AnyArray, "d d"]:
        back = self.planes.turn(-s, np.eye(self.start.shape[0], dtype=self.start.dtype))
        return self.planes.turn(later, self._stretched(later - s, back))

    def _stretched(self, s: float | AnyArray, block: AnyArray) -> AnyArray:
        """e^{s K} @ block."""
        inner = self.axes.T @ block
        grown: AnyArray = self.axes @ (namespace(s).exp(s * self.rates)[:, None] * inner)
        d, k = self.axes.shape
        return grown if k == d else grown + (block - self.axes @ inner)


class Exponential(AbstractPath):
    """L(s) = e^{s X} L(0) with a constant `logarithm` X (d, d); `start` is L(0) (d, r)."""

    logarithm: Float[AnyArray, "d d"]
    start: Float[AnyArray, "d r"]

    @override
    def factor(self, s: float | AnyArray) -> Float[AnyArray, "d r"]:
        return self.between(0.0, s) @ self.start

    @override
    def generator(self, s: float | AnyArray) -> Float[AnyArray, "d d"]:
        return self.logarithm

    @override
    def between(self, s: float | AnyArray, later: float | AnyArray) -> Float[AnyArray, "d d"]:
        grown = (later - s) * self.logarithm
        found: AnyArray = scipy.linalg.expm(grown) if isinstance(grown, np.ndarray) else jsl.expm(grown)
        return found


class Geodesic(AbstractPath):
    """L(s) = (1 - s) L(0) + s L(1) with the pairing of optimal transport: the Wasserstein geodesic of McCann.

    `start` and `end` are L(0) and L(1) (d, r); G is the smallest matrix with G L = L(1) - L(0), plus what
    takes directions outside the range of L to the factor `outside` of their lengths, on a straight line, too.
    """

    start: Float[AnyArray, "d r"]
    end: Float[AnyArray, "d r"]
    outside: float = 1.0

    @override
    def factor(self, s: float | AnyArray) -> Float[AnyArray, "d r"]:
        return (1.0 - s) * self.start + s * self.end

    @override
    def generator(self, s: float | AnyArray) -> Float[AnyArray, "d d"]:
        return self._rate(s)

    @override
    def between(self, s: float | AnyArray, later: float | AnyArray) -> Float[AnyArray, "d d"]:
        return np.eye(self.start.shape[0], dtype=self.start.dtype) + (later - s) * self._rate(s)

    def _rate(self, s: float | AnyArray) -> AnyArray:
        """G(s): on straight lines, what moves by h moves by h G(s), whatever h."""
        q, inverse = self._inverse(s)
        rest = np.eye(self.start.shape[0], dtype=self.start.dtype) - q @ q.T
        return (self.end - self.start) @ inverse + (self.outside - 1.0) / (1.0 - s + s * self.outside) * rest

    def _inverse(self, s: float | AnyArray) -> tuple[AnyArray, AnyArray]:
        """An orthonormal basis (d, r) of the range of L(s), and its pseudo-inverse (r, d), by QR."""
        xp = namespace(s)
        q, upper = xp.linalg.qr(self.factor(s))
        return q, xp.linalg.solve(upper, q.T)
