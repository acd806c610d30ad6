"""One model or a stack of models for many systems: what they have in common, and the form that the engines take.

Everything here is NumPy with the axis of systems first; its length is 1 where one model serves all systems.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from ..._linalg import LowRank, Operator, RankRule
from ...transformer.block import single_terms
from ...transformer.feedforward import Affine
from ...transformer.layer import AbstractLayer
from ...transformer.softmax import SoftmaxAttention
from .fields import Head, SoftmaxSum


class Stack(NamedTuple):
    """A layer for all systems (`shared`), or one whose leaves have a leading axis of systems; leaves are NumPy."""

    layer: AbstractLayer
    shared: bool


class ScalarSum(NamedTuple):
    """Softmax heads with V = eta I beside A = a I, for N systems or for all (N = 1).

    `rate` a (N,), `B` = sum of eta B (N, d, d), `eta` their sum (N,), `moving`: a bias or a tilt moves the mean.
    """

    rate: np.ndarray
    B: np.ndarray
    eta: np.ndarray
    moving: bool


def softmax_sum(stack: Stack, dim: int) -> SoftmaxSum | None:
    """The model as softmax heads and an affine map, systems first; None for any other model."""
    A, b, heads = None, None, []
    for term in single_terms(stack.layer):
        if isinstance(term, Affine):
            A = _plus(A, _dense(term.A, stack, dim))
            b = _plus(b, _vector(term.b, stack))
        elif isinstance(term, SoftmaxAttention):
            b = _plus(b, _vector(term.value_bias, stack))
            left, right = _form(term.B, stack, dim)
            heads.append(Head(left, right, _dense(term.V, stack, dim), _vector(term.query_bias, stack)))
        else:
            return None
    return SoftmaxSum(A, b, tuple(heads))


def factorised_forms(model: SoftmaxSum) -> SoftmaxSum:
    """The same heads with each B as factors of its numerical rank (at least 1) where that is less than d."""
    return model._replace(heads=tuple(_factorised(head) for head in model.heads))


def _factorised(head: Head) -> Head:
    if head.right is not None:
        return head
    dim = head.left.shape[1]
    left, values, right = np.linalg.svd(head.left)
    visible = values > dim * RankRule * values[:, :1]
    rank = max(1, int(np.count_nonzero(visible, axis=1).max(initial=0)))
    if rank == dim:
        return head
    scale = np.where(visible, values, 0.0)[:, None, :rank]
    return head._replace(left=left[:, :, :rank] * scale, right=right[:, :rank])


def scalar_sum(model: SoftmaxSum, dim: int) -> ScalarSum | None:
    """The parameters of the closed form, where every V and A are multiples of the identity; else None."""
    if not model.heads:
        return None
    etas = [_scalar(head.V, dim) for head in model.heads]
    rate = np.zeros(1) if model.A is None else _scalar(model.A, dim)
    if rate is None:
        return None
    B, eta, moving = np.zeros((1, dim, dim)), np.zeros(1), model.b is not None and bool(np.any(model.b))
    for value, head in zip(etas, model.heads, strict=True):
        if value is None:
            return None
        form = head.left if head.right is None else head.left @ head.right
        B, eta = B + value[:, None, None] * form, eta + value
        moving = moving or (head.tilt is not None and bool(np.any(head.tilt)))
    return ScalarSum(rate, B, eta, moving)


def lanes_last(tree: Any) -> Any:
    """The leaves with the axis of systems last."""
    return jax.tree.map(lambda leaf: np.ascontiguousarray(np.moveaxis(leaf, 0, -1)), tree)


def _scalar(matrices: Any, dim: int) -> np.ndarray | None:
    first = matrices[:, 0, 0]
    same = np.array_equal(matrices, first[:, None, None] * np.eye(dim))
    return np.asarray(first) if same else None


def _dense(operator: Operator, stack: Stack, dim: int) -> np.ndarray:
    if isinstance(operator, LowRank):
        return _systems(np.asarray(operator.left) @ np.asarray(operator.right), stack)
    value = _systems(np.asarray(operator), stack)
    return value[:, None, None] * np.eye(dim) if value.ndim == 1 else value


def _form(operator: Operator, stack: Stack, dim: int) -> tuple[np.ndarray, np.ndarray | None]:
    """B as it was given: its factors, or (B, None)."""
    if isinstance(operator, LowRank) and np.shape(operator.left)[-1] < dim:
        return _systems(np.asarray(operator.left), stack), _systems(np.asarray(operator.right), stack)
    return _dense(operator, stack, dim), None


def _vector(value: Any, stack: Stack) -> np.ndarray | None:
    return None if value is None else _systems(np.asarray(value), stack)


def _systems(array: np.ndarray, stack: Stack) -> np.ndarray:
    found = np.asarray(array, dtype=np.float64)
    return found[None] if stack.shared else found


def _plus(one: np.ndarray | None, two: np.ndarray | None) -> np.ndarray | None:
    if one is None or two is None:
        return two if one is None else one
    return np.asarray(one + two)
