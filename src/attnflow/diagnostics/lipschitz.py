"""A velocity field with a Lipschitz constant that holds everywhere: affine and activated parts, and a plain average.

The field is x -> A x + W s(U x + b) + M E[y] + constants, y the tokens: no weight of a token depends on where it is.

Source: this package, docs/theory/trust.md, section 1.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from .._linalg import Operator, dense
from .._types import Vector
from ..moments.activation import Activation
from ..moments.by_quadrature import SiLU, Tanh, TanhGELU
from ..moments.error_function import GELU, Erf
from ..moments.relu import ReLU
from ..transformer.block import single_terms
from ..transformer.feedforward import Affine, FeedForward
from ..transformer.l2 import L2Attention
from ..transformer.layer import AbstractLayer
from ..transformer.linear import LinearAttention
from ..transformer.mlp import MLP
from ..transformer.sigmoid import SigmoidAttention
from ..transformer.sinkhorn import SinkhornAttention
from ..transformer.softmax import SoftmaxAttention

STEEPEST = {GELU: 1.1289041452, TanhGELU: 1.1289930687, SiLU: 1.0998393202}
"""The largest slope of activations with s'(z) + s'(-z) = 1, rounded up."""
CORNERS = 2**20
"""The most numbers held at once when all corners of the box of slopes are tried."""
MOST_UNITS = 10


@dataclasses.dataclass(frozen=True)
class Hidden:
    """One activated part W s(U x + b): `U` (m, d), `b` (m,), `W` (d, m) or None for the identity, s `activation`."""

    activation: Activation
    U: Float[np.ndarray, "m d"]
    b: Float[np.ndarray, " m"]
    W: Float[np.ndarray, "d m"] | None

    def outward(self) -> Float[np.ndarray, "d m"]:
        """W as an array."""
        return np.eye(self.U.shape[0]) if self.W is None else self.W


@dataclasses.dataclass(frozen=True)
class LipschitzField:
    """The parts of the field: `linear` A (d, d), the activated ones in `hidden`, and `average` M (d, d)."""

    linear: Float[np.ndarray, "d d"]
    hidden: tuple[Hidden, ...]
    average: Float[np.ndarray, "d d"]

    @property
    def growth(self) -> float:
        """A number L for which two flows of this field, coupled, part no faster than e^{L t}.

        Source: this package, docs/theory/trust.md, section 1.
        """
        return one_sided(self) + max(0.0, _top(self.average))


def lipschitz_field(layer: AbstractLayer, dim: int) -> LipschitzField | str:
    """The parts of `layer` in dimension `dim`, or in words why it has no Lipschitz constant that is known.

    Source: this package, docs/theory/trust.md, section 1.
    """
    linear, average, hidden = np.zeros((dim, dim)), np.zeros((dim, dim)), list[Hidden]()
    for term in single_terms(layer):
        match term:
            case Affine():
                linear += dense(term.A, dim)
            case FeedForward():
                hidden.append(Hidden(term.activation, _matrix(term.A, dim), _vector(term.b, dim), None))
            case MLP():
                W1, W2 = np.asarray(term.W1, dtype=np.float64), np.asarray(term.W2, dtype=np.float64)
                hidden.append(Hidden(term.activation, W1, _vector(term.b1, len(W1)), W2))
            case _:
                weight = _plain_weight(term, dim)
                if weight is None:
                    return f"the weights of {type(term).__name__} depend on the tokens"
                average += weight
    unknown = [part.activation for part in hidden if slopes_of(part.activation) is None]
    if unknown:
        return f"no bounds of the slope of {type(unknown[0]).__name__} are known"
    return LipschitzField(linear, tuple(hidden), average)


def slopes_of(activation: Activation) -> tuple[float, float] | None:
    """The smallest and the largest slope of `activation`, rounded outward; None for one that is not known here.

    Source: this package, docs/theory/trust.md, section 1.
    """
    if isinstance(activation, ReLU | Tanh):
        return 0.0, 1.0
    if isinstance(activation, Erf):
        return 0.0, 2.0 / math.sqrt(math.pi)
    steepest = STEEPEST.get(type(activation))
    return None if steepest is None else (1.0 - steepest, steepest)


def one_sided(field: LipschitzField) -> float:
    """A number l with <x - y, f(x) - f(y)> <= l |x - y|^2, f the part of `field` that depends on x alone.

    The symmetric part of the Jacobian is largest at a corner of the box of slopes: all corners are tried where they are
    few, else a bound of all of them is taken.

    Source: this package, docs/theory/trust.md, section 1.
    """
    middle, inward, outward = field.linear.copy(), [], []
    for part in field.hidden:
        low, high = slopes_of(part.activation) or (-math.inf, math.inf)
        middle += 0.5 * (low + high) * (part.outward() @ part.U)
        inward.append(part.U)
        outward.append(0.5 * (high - low) * part.outward())
    if not inward:
        return _top(middle)
    U, W = np.concatenate(inward), np.concatenate(outward, axis=1)
    sizes = np.linalg.norm(U, axis=1), np.linalg.norm(W, axis=0)
    used = sizes[0] * sizes[1] > 0
    U, W, sizes = U[used], W[:, used], (sizes[0][used], sizes[1][used])
    if not len(U):
        return _top(middle)
    if len(U) <= MOST_UNITS and 2 ** len(U) * middle.size <= CORNERS:
        return _largest_corner(middle, U, W)
    even = np.full(len(U), np.linalg.norm(W, 2) / np.linalg.norm(U, 2))
    return min(_above_corners(middle, U, W, scale) for scale in (sizes[1] / sizes[0], even))


def _largest_corner(middle: np.ndarray, U: np.ndarray, W: np.ndarray) -> float:
    signs = 1.0 - 2.0 * (np.arange(2 ** len(U))[:, None] >> np.arange(len(U)) & 1)
    corners = middle + np.einsum("im,km,mj->kij", W, signs, U, optimize=True)
    return float(np.linalg.eigvalsh(0.5 * (corners + np.swapaxes(corners, 1, 2)))[:, -1].max())


def _above_corners(middle: np.ndarray, U: np.ndarray, W: np.ndarray, scale: np.ndarray) -> float:
    """Twice sum |(W^T x)_i (U x)_i| is at most sum t_i (U x)_i^2 + (W^T x)_i^2 / t_i, t the `scale`."""
    return _top(middle + 0.5 * (U.T @ (scale[:, None] * U) + (W / scale) @ W.T))


def _plain_weight(term: AbstractLayer, dim: int) -> Float[np.ndarray, "d d"] | None:
    """M where the velocity of an attention `term` is M E[y] + constant under every measure; None for another one."""
    V = getattr(term, "V", None)
    if V is None:
        return None
    value = _matrix(V, dim)
    share: float | None = None
    match term:
        case _ if not value.any():
            share = 0.0
        case SoftmaxAttention() if _zero(term.B, dim) and _no_bias(term.query_bias):
            share = 1.0
        case SigmoidAttention() if _zero(term.B, dim) and _no_bias(term.query_bias):
            share = float(expit(np.asarray(term.bias, dtype=np.float64)))
        case SinkhornAttention() if _zero(term.B, dim):
            share = 1.0
        case L2Attention() if not np.asarray(term.K).any():
            share = 1.0
        case LinearAttention() if _zero(term.B, dim) and _no_bias(term.query_bias):
            share = 0.0
    return None if share is None else share * value


def _zero(operator: Operator, dim: int) -> bool:
    return not np.asarray(dense(operator, dim)).any()


def _no_bias(bias: Vector | None) -> bool:
    return bias is None or not np.asarray(bias).any()


def _matrix(operator: Operator, dim: int) -> Float[np.ndarray, "d d"]:
    return np.asarray(dense(operator, dim), dtype=np.float64)


def _vector(vector: Vector | None, size: int) -> Float[np.ndarray, " m"]:
    return np.zeros(size) if vector is None else np.asarray(vector, dtype=np.float64)


def _top(matrix: np.ndarray) -> float:
    """The largest eigenvalue of the symmetric part."""
    return float(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[-1])
