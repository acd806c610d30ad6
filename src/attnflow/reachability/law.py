"""Control laws: A(t), B(t), V(t), b(t) as a function of depth, and the models that they are.

Along a path with the generator G, A = G - V cov B, V = -G and a constant b turn equation (2.6) into
cov' = G cov + cov G^T and mean' = b, for any B.

Source: :cite:alcalde2026, Thm. 3.2.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float
from typing_extensions import override

from .._types import AnyArray
from ..transformer.block import Transformer
from ..transformer.depth import Depth, Model
from ..transformer.feedforward import Affine
from ..transformer.softmax import SoftmaxAttention
from .paths import AbstractPath
from .planes import namespace


class Controls(NamedTuple):
    """The parameters of one layer: `A`, `B`, `V` (d, d) and `b` (d,)."""

    A: Float[AnyArray, "d d"]
    B: Float[AnyArray, "d d"]
    V: Float[AnyArray, "d d"]
    b: Float[AnyArray, " d"]

    def layer(self) -> Transformer:
        """One softmax head and an affine feed-forward with these parameters."""
        return Transformer(attention=SoftmaxAttention(B=self.B, V=self.V), feedforward=Affine(A=self.A, b=self.b))


class AbstractLaw(eqx.Module):
    """Controls on [0, T]; evaluated in NumPy at a float, in JAX at a JAX time."""

    @abc.abstractmethod
    def controls(self, t: float | AnyArray) -> Controls:
        """The controls at depth `t`."""

    @abc.abstractmethod
    def model(self) -> Model:
        """The Transformer with these parameters over depth."""

    @property
    def jumps(self) -> tuple[float, ...]:
        """The interior depths at which the controls jump."""
        return ()


class Following(AbstractLaw):
    """The controls that follow `path` over the `time` T; `velocity` b (d,) moves the mean.

    With `attends` B is the pseudo-inverse of the covariance on the path, as in the paper's proof; else B = 0, and every
    token attends to all others alike. Past T the last controls hold.
    """

    path: AbstractPath
    time: float
    velocity: Float[AnyArray, " d"]
    attends: bool = eqx.field(static=True)

    @override
    def controls(self, t: float | AnyArray) -> Controls:
        xp = namespace(t)
        s = xp.clip(t / self.time, 0.0, 1.0)
        G = self.path.generator(s) / self.time
        if not self.attends:
            return Controls(G, xp.zeros_like(G), -G, self.velocity)
        q, upper = xp.linalg.qr(self.path.factor(s))
        inverse = xp.linalg.solve(upper, q.T)
        return Controls(G + (G @ q) @ q.T, inverse.T @ inverse, -G, self.velocity)

    @override
    def model(self) -> Model:
        return Depth.function(_Layers(self))


class Constant(AbstractLaw):
    """The same `parameters` at every depth."""

    parameters: Controls

    @override
    def controls(self, t: float | AnyArray) -> Controls:
        return self.parameters

    @override
    def model(self) -> Model:
        return self.parameters.layer()


class Steps(AbstractLaw):
    """Controls that are constant on each stretch [edges[i], edges[i + 1]).

    `edges` (n + 1,) starts at 0 and ends at T; each of the `parameters` has a first axis of length n.
    """

    edges: Float[np.ndarray, " n_edges"]
    parameters: Controls

    @override
    def controls(self, t: float | AnyArray) -> Controls:
        xp = namespace(t)
        last = len(self.edges) - 2
        here = xp.clip(xp.searchsorted(self.edges, t, side="right") - 1, 0, last)
        return Controls(*(xp.asarray(part)[here] for part in self.parameters))

    @override
    def model(self) -> Model:
        layers = [Controls(*(part[i] for part in self.parameters)).layer() for i in range(len(self.edges) - 1)]
        return Depth.piecewise(layers, self.edges)

    @property
    @override
    def jumps(self) -> tuple[float, ...]:
        return tuple(float(edge) for edge in self.edges[1:-1])


class _Layers(eqx.Module):
    """A law as the function of depth that a `Depth` holds."""

    law: AbstractLaw

    def __call__(self, t: float | AnyArray) -> Transformer:
        return self.law.controls(t).layer()
