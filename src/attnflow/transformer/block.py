"""The Transformer: a sum of attention heads and a feed-forward layer."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence

from jaxtyping import Float
from typing_extensions import override

from .._check import BadInput
from .._types import AnyArray, Points
from ..measures.gaussian import Gaussian, Moments
from .layer import AbstractLayer, AffineMap
from .multihead import MultiHeadAttention


class Transformer(AbstractLayer):
    """The velocity field Gamma = sum of `attention` heads + `feedforward`; a layer itself.

    `attention`: one layer, a sequence of heads (they add), or None; `feedforward`: one layer or None.

    Raises BadInput when both are missing, something is not a layer, or the dimensions disagree.

    Source: :cite:alcalde2026, eq. (2.3).
    """

    attention: tuple[AbstractLayer, ...]
    feedforward: AbstractLayer | None

    def __init__(
        self,
        attention: AbstractLayer | Sequence[AbstractLayer] | None = None,
        feedforward: AbstractLayer | None = None,
    ) -> None:
        heads = () if attention is None else attention
        if not isinstance(heads, AbstractLayer | Iterable):
            raise BadInput(
                f"`attention` must be a layer or a sequence of layers: {type(heads).__name__} was found; give for "
                "example SoftmaxAttention(B=B, V=V)."
            )
        self.attention = (heads,) if isinstance(heads, AbstractLayer) else tuple(heads)
        self.feedforward = feedforward
        _check_terms(self.attention, feedforward)

    @property
    def terms(self) -> tuple[AbstractLayer, ...]:
        """All layers whose velocities are added."""
        return self.attention if self.feedforward is None else (self.feedforward, *self.attention)

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        return functools.reduce(operator.add, (term.velocity(points, tokens) for term in self.terms))

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        return functools.reduce(operator.add, (term.at_gaussian(measure) for term in self.terms))

    @property
    @override
    def dim(self) -> int | None:
        return next((term.dim for term in self.terms if term.dim is not None), None)


def single_terms(layer: AbstractLayer) -> tuple[AbstractLayer, ...]:
    """The heads and the feed-forward whose velocities add up to that of `layer`; sums of heads are taken apart."""
    match layer:
        case Transformer():
            return tuple(part for term in layer.terms for part in single_terms(term))
        case MultiHeadAttention():
            return tuple(part for head in layer.heads for part in single_terms(head))
        case _:
            return (layer,)


def _check_terms(attention: tuple[AbstractLayer, ...], feedforward: AbstractLayer | None) -> None:
    named = [(f"attention[{i}]", head) for i, head in enumerate(attention)]
    named += [] if feedforward is None else [("feedforward", feedforward)]
    if not named:
        raise BadInput("a Transformer needs `attention`, `feedforward` or both: neither was given.")
    for name, term in named:
        if not isinstance(term, AbstractLayer):
            raise BadInput(
                f"`{name}` must be a layer: {type(term).__name__} was found; give for example "
                "SoftmaxAttention(B=B, V=V) or Affine(A=A, b=b)."
            )
    dims = {name: term.dim for name, term in named if term.dim is not None}
    if len(set(dims.values())) > 1:
        listed = ", ".join(f"`{name}` has d = {dim}" for name, dim in dims.items())
        raise BadInput(f"all layers must share one dimension d: {listed}.")
