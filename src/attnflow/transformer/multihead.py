"""Multi-head attention: a sum of heads with their output projections."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from typing_extensions import override

from .._check import BadInput, parameter, require_shape
from .._linalg import LowRank
from .._types import AnyArray, ArrayLike, Points
from ..measures.gaussian import Gaussian, Moments
from .layer import AbstractAttention, AffineMap
from .parameters import common_dim
from .softmax import SoftmaxAttention


class MultiHeadAttention(AbstractAttention):
    """The sum of `heads`, each an attention on the whole space whose V contains its output projection.

    Raises BadInput when there is no head, one is not an attention that can be masked, or the dimensions disagree.

    Source: :cite:castin2025, multi-head attention.
    """

    heads: tuple[AbstractAttention, ...]

    def __init__(self, heads: Sequence[AbstractAttention]) -> None:
        self.heads = tuple(heads)
        if not self.heads:
            raise BadInput("`heads` must hold at least one attention: it is empty.")
        for i, head in enumerate(self.heads):
            if not isinstance(head, AbstractAttention):
                raise BadInput(
                    f"`heads[{i}]` must be an attention: {type(head).__name__} was found; sums of other layers are "
                    "made by Transformer(attention=[...])."
                )
        dims = {f"heads[{i}]": head.dim for i, head in enumerate(self.heads) if head.dim is not None}
        if len(set(dims.values())) > 1:
            listed = ", ".join(f"`{name}` has d = {dim}" for name, dim in dims.items())
            raise BadInput(f"all heads must share one dimension d: {listed}.")

    @staticmethod
    def from_qkvo(
        Q: ArrayLike,
        K: ArrayLike,
        V: ArrayLike,
        O: ArrayLike,  # noqa: E741 (the name of the output projection)
        *,
        heads: int | None = None,
        scale: float | None = None,
        query_bias: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
        value_bias: ArrayLike | None = None,
        output_bias: ArrayLike | None = None,
    ) -> MultiHeadAttention:
        """Softmax heads out of projection weights: head h has B_h = scale K_h^T Q_h and V_h = O_h V_h.

        Weights by head: `Q`, `K` (h, k, d), `V` (h, v, d), `O` (h, d, v), `query_bias`, `key_bias` (h, k), `value_bias`
        (h, v). Or packed, with the number of `heads`: `Q`, `K` (h k, d), `V` (h v, d), `O` (d, h v), `query_bias`,
        `key_bias` (h k,), `value_bias` (h v,). `output_bias` (d,) is added once; `scale` is 1/sqrt(k) unless given.
        A key bias cancels in the softmax: its shape is checked, its values are not used.

        Raises BadInput when the shapes disagree, the heads do not divide the rows, or a number is not finite.
        """
        given = {"Q": Q, "K": K, "V": V, "query_bias": query_bias, "key_bias": key_bias, "value_bias": value_bias}
        by_head = {name: _by_head(name, value, heads) for name, value in given.items() if value is not None}
        out = _output(O, heads)
        _check_shapes(by_head, out)
        q, k, v = by_head["Q"], by_head["K"], by_head["V"]
        factor = 1.0 / math.sqrt(q.shape[1]) if scale is None else float(parameter("scale", scale, ndim=(0,)))
        extra = None if output_bias is None else parameter("output_bias", output_bias, ndim=(1,))
        common_dim(Q=q[0].T, output_bias=extra)
        made: list[AbstractAttention] = []
        for h in range(q.shape[0]):
            bias = by_head["query_bias"][h] if "query_bias" in by_head else None
            tilt = None if bias is None else factor * (k[h].T @ bias)
            added = out[h] @ by_head["value_bias"][h] if "value_bias" in by_head else None
            if h == 0 and extra is not None:
                added = extra if added is None else added + extra
            head = SoftmaxAttention(
                LowRank(factor * k[h].T, q[h]), LowRank(out[h], v[h]), query_bias=tilt, value_bias=added
            )
            made.append(head)
        return MultiHeadAttention(made)

    @override
    def attend(
        self, points: Float[AnyArray, "m d"], tokens: Points, visible: Int[AnyArray, " m"] | None
    ) -> Float[AnyArray, "m d"]:
        return functools.reduce(operator.add, (head.attend(points, tokens, visible) for head in self.heads))

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        return self.attend(points, tokens, None)

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        return functools.reduce(operator.add, (head.at_gaussian(measure) for head in self.heads))

    @property
    @override
    def dim(self) -> int | None:
        return next((head.dim for head in self.heads if head.dim is not None), None)


def _by_head(name: str, value: ArrayLike, heads: int | None) -> AnyArray:
    axes = 1 if name.endswith("bias") else 2
    if heads is None:
        array = parameter(name, value, ndim=(axes + 1,))
        if array.shape[0] == 0:
            raise BadInput(f"`{name}` must hold at least one head: shape {tuple(array.shape)} was found.")
        return array
    array = parameter(name, value, ndim=(axes,))
    _require_divided(name, array.shape[0], heads)
    return array.reshape(heads, array.shape[0] // heads, *array.shape[1:])


def _output(value: ArrayLike, heads: int | None) -> AnyArray:
    if heads is None:
        return parameter("O", value, ndim=(3,))
    array = parameter("O", value, ndim=(2,))
    _require_divided("O", array.shape[1], heads)
    return array.reshape(array.shape[0], heads, array.shape[1] // heads).swapaxes(0, 1)


def _require_divided(name: str, size: int, heads: int) -> None:
    if not isinstance(heads, int | np.integer):
        raise BadInput(f"`heads` must be a positive whole number: {heads!r} was found.")
    if heads < 1 or size == 0 or size % heads:
        raise BadInput(
            f"`heads` must divide the packed axis of `{name}`: {heads} heads and {size} entries were found; check "
            "the number of heads, or give the weights by head."
        )


def _check_shapes(by_head: dict[str, AnyArray], out: AnyArray) -> None:
    h, k, d = by_head["Q"].shape
    require_shape("K", by_head["K"].shape, (h, k, d), because="by head (h, k, d), to agree with `Q`")
    v = by_head["V"].shape[1]
    require_shape("V", by_head["V"].shape, (h, v, d), because="by head (h, v, d), to agree with `Q`")
    require_shape("O", out.shape, (h, d, v), because="by head (h, d, v), to agree with `Q` and `V`")
    for name, inner in (("query_bias", k), ("key_bias", k), ("value_bias", v)):
        if name in by_head:
            require_shape(name, by_head[name].shape, (h, inner), because="by head, to agree with its projection")
