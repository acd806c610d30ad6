"""One feed-forward table of a problem file as a layer."""

from typing import cast

import numpy as np

from .._check import BadInput, require_shape
from ..transformer.feedforward import Affine, FeedForward
from ..transformer.mlp import MLP
from .activations import ACTIVATIONS
from .heads import named, require_dim
from .schema import FeedforwardTable


def read_feedforward(table: FeedforwardTable, name: str, dim: int) -> Affine | FeedForward | MLP:
    """The layer of a feed-forward `table`, which the file calls `name`, in dimension `dim`.

    Raises BadInput that names the field of the file.
    """
    if table.kind == "mlp":
        return _two_layers(table, name, dim)
    require_dim(name, dim, A=table.A, b=table.b)
    A = cast(np.ndarray, table.A)  # by the rules of the table
    if table.kind == "affine":
        return Affine(A=A, b=table.b)
    return FeedForward(A=A, b=table.b, activation=ACTIVATIONS[table.kind]())


def _two_layers(table: FeedforwardTable, name: str, dim: int) -> MLP:
    W1, W2 = cast(np.ndarray, table.W1), cast(np.ndarray, table.W2)
    if W1.shape[1] != dim:
        raise BadInput(
            f"`{name}.W1` must have {dim} columns to agree with `start`: shape {W1.shape} was found; write one row for "
            "each of the hidden numbers."
        )
    require_shape(f"{name}.W2", W2.shape, (dim, W1.shape[0]), because=f"to agree with `start` and `{name}.W1`")
    with named({field: f"{name}.{field}" for field in ("W1", "b1", "W2", "b2")}):
        return MLP(W1, W2, ACTIVATIONS[str(table.activation)](), b1=table.b1, b2=table.b2)
