"""One attention table of a problem file as a layer."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from .._check import BadInput, require_shape
from .._linalg import LowRank
from ..transformer.l2 import L2Attention
from ..transformer.layer import AbstractAttention, AbstractLayer
from ..transformer.linear import LinearAttention
from ..transformer.masked import MaskedAttention
from ..transformer.multihead import MultiHeadAttention
from ..transformer.sigmoid import SigmoidAttention
from ..transformer.sinkhorn import SinkhornAttention
from ..transformer.softmax import SoftmaxAttention
from .schema import AttentionTable

_FIELDS = (
    "B", "Q", "K", "V", "O", "heads", "scale", "temperature", "epsilon", "tolerance", "max_iterations", "bias",
    "query_bias", "key_bias", "value_bias", "output_bias", "positions",
)  # fmt: skip


def read_attention(table: AttentionTable, name: str, dim: int) -> AbstractLayer:
    """The layer of an attention `table`, which the file calls `name`, in dimension `dim`.

    Raises BadInput that names the field of the file.
    """
    require_dim(name, dim, B=table.B, value_bias=table.value_bias, output_bias=table.output_bias)
    if table.kind != "multihead":
        require_dim(name, dim, V=table.V)
    for field, array in (("Q", table.Q), ("K", table.K)):
        if array is not None and array.shape[1] != dim:
            raise BadInput(
                f"`{name}.{field}` must have {dim} columns to agree with `start`: shape {array.shape} was found; "
                "write one row for each of the k inner dimensions."
            )
    with named({field: f"{name}.{field}" for field in _FIELDS}):
        layer = _layer(table, name, dim)
        if table.masked:
            return MaskedAttention(cast(AbstractAttention, layer), table.positions)
        return layer


def _layer(table: AttentionTable, name: str, dim: int) -> AbstractLayer:
    if table.kind == "multihead":
        given = {field: getattr(table, field) for field in ("Q", "K", "V", "O", "heads", "scale")}
        biases = {f: getattr(table, f) for f in ("query_bias", "key_bias", "value_bias", "output_bias")}
        return MultiHeadAttention.from_qkvo(**given, **biases)
    if table.kind == "l2":
        optional = {f: getattr(table, f) for f in ("query_bias", "key_bias", "value_bias")}
        Q, K = cast(np.ndarray, table.Q), cast(np.ndarray, table.K)  # by the rules of the table
        return L2Attention(Q, K, table.V, **_given(table, "temperature"), **optional)
    if table.B is not None:
        require_dim(name, dim, query_bias=table.query_bias)
    B, query_bias = _bilinear(table)
    if table.kind == "sinkhorn":
        numbers = _given(table, "epsilon", "tolerance", "max_iterations")
        return SinkhornAttention(B, table.V, value_bias=table.value_bias, **numbers)
    biases = {"query_bias": query_bias, "value_bias": table.value_bias}
    if table.kind == "sigmoid":
        return SigmoidAttention(B, table.V, **_given(table, "bias"), **biases)
    return (LinearAttention if table.kind == "linear" else SoftmaxAttention)(B, table.V, **biases)


def _bilinear(table: AttentionTable) -> tuple[Any, np.ndarray | None]:
    """B and the query bias in the space of the tokens, out of B or out of Q and K."""
    if table.B is not None:
        return table.B, table.query_bias
    Q, K = cast(np.ndarray, table.Q), cast(np.ndarray, table.K)
    head = SoftmaxAttention.from_qk(Q, K, 1.0, scale=table.scale, query_bias=table.query_bias)
    bias = None if head.query_bias is None else np.asarray(head.query_bias)
    return cast(LowRank, head.B), bias


def _given(table: AttentionTable, *fields: str) -> dict[str, Any]:
    return {field: getattr(table, field) for field in fields if getattr(table, field) is not None}


def require_dim(name: str, dim: int, **arrays: np.ndarray | None) -> None:
    """Raise BadInput unless all `arrays` of the table `name` have the dimension `dim` of the start."""
    for field, array in arrays.items():
        if array is not None and array.ndim:
            require_shape(f"{name}.{field}", array.shape, (dim,) * array.ndim, because="to agree with `start`")


@contextmanager
def named(fields: Mapping[str, str]) -> Iterator[None]:
    """Messages from inside speak of arguments; outside they speak of the `fields` of the file."""
    try:
        yield
    except BadInput as error:
        pattern = "|".join(re.escape(name) for name in sorted(fields, key=len, reverse=True))
        renamed = re.sub(rf"`({pattern})(\[\d+\])?`", lambda m: f"`{fields[m[1]]}{m[2] or ''}`", str(error))
        raise BadInput(renamed) from error
