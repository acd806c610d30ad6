"""Constant softmax heads and affine feed-forward as plain matrices: what the theorems of Section 4 speak of."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Float

from .._check import BadInput
from .._linalg import dense
from ..transformer.block import single_terms
from ..transformer.feedforward import Affine
from ..transformer.layer import AbstractLayer
from ..transformer.softmax import SoftmaxAttention


@dataclasses.dataclass(frozen=True)
class System:
    """The moment equations (2.6) with constant parameters and h heads, in NumPy float64.

    With M(cov) = A + sum_h V_h cov B_h they are cov' = M cov + cov M^T and
    mean' = (M + sum_h V_h) mean + bias + sum_h V_h cov tilt_h.

    `A` (d, d), `V` and `B` (h, d, d), `bias` (d,): the feed-forward bias and all value biases, `tilts` (h, d): the
    query biases. h may be 0.

    Source: :cite:alcalde2026, eq. (2.6).
    """

    A: Float[np.ndarray, "d d"]
    V: Float[np.ndarray, "h d d"]
    B: Float[np.ndarray, "h d d"]
    bias: Float[np.ndarray, " d"]
    tilts: Float[np.ndarray, "h d"]

    @property
    def dim(self) -> int:
        """d."""
        return int(self.A.shape[0])

    def generator(self, cov: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
        """M = A + sum_h V_h cov B_h, which moves the covariance."""
        return np.asarray(self.A + np.einsum("hij,jk,hkl->il", self.V, cov, self.B, optimize=True))

    def rate(self, cov: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
        """F(cov) = M cov + cov M^T, symmetric to the last bit."""
        half = self.generator(cov) @ cov
        return np.asarray(half + half.T)

    def mean_generator(self, cov: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
        """M + sum_h V_h, which moves the mean."""
        return np.asarray(self.generator(cov) + self.V.sum(axis=0))

    def drift(self, cov: Float[np.ndarray, "d d"]) -> Float[np.ndarray, " d"]:
        """What moves the mean besides: bias + sum_h V_h cov tilt_h."""
        return np.asarray(self.bias + np.einsum("hij,jk,hk->i", self.V, cov, self.tilts, optimize=True))

    @functools.cached_property
    def scalars(self) -> Float[np.ndarray, " h"] | None:
        """The eta_h when every V_h is exactly eta_h I, else None."""
        etas = self.V[:, 0, 0]
        return etas if np.array_equal(self.V, etas[:, None, None] * np.eye(self.dim)) else None

    @functools.cached_property
    def single(self) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "d d"]] | None:
        """(V, B) when there is exactly one head, else None."""
        return (self.V[0], self.B[0]) if len(self.V) == 1 else None

    @property
    def score(self) -> Float[np.ndarray, "d d"]:
        """sum_h eta_h B_h: with scalar heads M = A + cov score. Only for systems with `scalars`."""
        return np.asarray(np.einsum("h,hij->ij", self._etas(), self.B))

    @property
    def S(self) -> Float[np.ndarray, "d d"]:
        """score + score^T, so that cov' = A cov + cov A^T + cov S cov. Only for systems with `scalars`."""
        return np.asarray(self.score + self.score.T)

    @property
    def eta(self) -> float:
        """sum_h eta_h, which moves the mean. Only for systems with `scalars`."""
        return float(self._etas().sum())

    def _etas(self) -> np.ndarray:
        etas = self.scalars
        if etas is None:
            raise BadInput("the system has a V that is not a multiple of the identity: it has no scalar form.")
        return etas


def system_of(layer: AbstractLayer, dim: int) -> System | None:
    """The matrices of a layer made of softmax heads and affine feed-forward in dimension `dim`; None for other kinds.

    Values are copied to float64; runs in JAX's x64 mode, which the caller sets.
    """
    A, bias = np.zeros((dim, dim)), np.zeros(dim)
    values, scores, tilts = [], [], []
    for term in single_terms(layer):
        if isinstance(term, Affine):
            A = A + _matrix(term.A, dim)
            bias = bias if term.b is None else bias + np.asarray(term.b, dtype=np.float64)
        elif isinstance(term, SoftmaxAttention):
            values.append(_matrix(term.V, dim))
            scores.append(_matrix(term.B, dim))
            tilts.append(np.zeros(dim) if term.query_bias is None else np.asarray(term.query_bias, dtype=np.float64))
            bias = bias if term.value_bias is None else bias + np.asarray(term.value_bias, dtype=np.float64)
        else:
            return None
    count = len(values)
    V, B = (np.asarray(x, dtype=np.float64).reshape(count, dim, dim) for x in (values, scores))
    return System(A, V, B, bias, np.asarray(tilts).reshape(count, dim))


def _matrix(operator: object, dim: int) -> np.ndarray:
    return np.array(dense(operator, dim), dtype=np.float64)  # type: ignore[arg-type]
