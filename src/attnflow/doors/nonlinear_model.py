"""A model with one activated feed-forward, taken apart: that layer, its heads, and the model with the identity."""

from __future__ import annotations

import dataclasses

from .._check import BadInput
from .._linalg import Operator
from .._types import Vector
from ..moments.activation import Activation
from ..transformer.block import Transformer, single_terms
from ..transformer.feedforward import Affine, FeedForward
from ..transformer.layer import AbstractLayer
from ..transformer.mlp import MLP


@dataclasses.dataclass(frozen=True)
class Parts:
    """The feed-forward s(A x + b) of a model, with s the `activation` (None: the identity), and its `heads`."""

    activation: Activation | None
    A: Operator
    b: Vector | None
    heads: tuple[AbstractLayer, ...]

    def with_identity(self) -> AbstractLayer:
        """The model with the identity in the place of the activation: the one of the Gaussian flow."""
        return Transformer(attention=self.heads or None, feedforward=Affine(self.A, self.b))  # type: ignore[arg-type]  # LowRank, too


def parts_of(model: AbstractLayer) -> Parts:
    """The parts of `model`: one feed-forward s(A x + b) and any heads.

    Raises BadInput when there is no feed-forward, more than one, or one of another form.
    """
    terms = single_terms(model)
    layers = [term for term in terms if isinstance(term, FeedForward | Affine)]
    others = [type(term).__name__ for term in terms if isinstance(term, MLP)]
    if others:
        raise BadInput(
            f"`model` must have a feed-forward of the form s(A x + b): {others[0]} was found; Proposition 2.3 compares "
            "s(A x + b) with A x + b; give FeedForward(A=A, b=b, activation=ReLU())."
        )
    if len(layers) != 1:
        raise BadInput(
            f"`model` must have exactly one feed-forward layer: {len(layers)} were found; give for example "
            "Transformer(attention=SoftmaxAttention(B=B, V=V), feedforward=FeedForward(A=A, b=b, activation=ReLU()))."
        )
    layer = layers[0]
    activation = layer.activation if isinstance(layer, FeedForward) else None
    return Parts(activation, layer.A, layer.b, tuple(term for term in terms if term is not layer))
