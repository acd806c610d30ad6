"""Masked (causal) attention: a token sees the tokens up to its own position."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from typing_extensions import override

from .._check import BadInput, real_array
from .._types import AnyArray, ArrayLike, Points
from ..measures.gaussian import Gaussian, Moments
from .depth import Model
from .layer import AbstractAttention, AbstractLayer, AffineMap


class MaskedAttention(AbstractLayer):
    """`attention` in which token i sees the uniform measure on the tokens whose position is at most its own.

    `attention`: SoftmaxAttention, MultiHeadAttention, L2Attention, SigmoidAttention or LinearAttention; `positions`:
    (n,), nondecreasing, one for each token (None: 1, 2, ..., n), tokens at one position see each other. The velocity
    is asked for at the tokens themselves, in the order of their positions.

    A masked layer moves tokens only. Where the law of a token does not depend on its position, the mask is irrelevant
    in the limit of many tokens: a Gaussian then moves as under `attention` itself.

    Raises BadInput for another attention, unsorted or non-finite positions.

    Source: :cite:castin2025, masked attention.
    """

    attention: AbstractAttention
    positions: Float[np.ndarray, " n"] | None

    def __init__(self, attention: AbstractAttention, positions: ArrayLike | None = None) -> None:
        if not isinstance(attention, AbstractAttention):
            raise BadInput(
                f"`attention` must be an attention whose keys can be hidden: {type(attention).__name__} was found; use "
                "SoftmaxAttention, MultiHeadAttention, L2Attention, SigmoidAttention or LinearAttention."
            )
        self.attention = attention
        self.positions = None if positions is None else _sorted(positions)

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        n = tokens.shape[0]
        if points.shape[0] != n:
            raise BadInput(
                f"`points` must be the tokens themselves under a mask, in their order: {points.shape[0]} points and "
                f"{n} tokens were found; ask for the velocity at the tokens."
            )
        if self.positions is None:
            return self.attention.attend(points, tokens, jnp.arange(1, n + 1))
        if self.positions.shape[0] != n:
            raise BadInput(
                f"`positions` must have one entry for each token: {self.positions.shape[0]} positions and {n} tokens "
                "were found."
            )
        return self.attention.attend(points, tokens, jnp.searchsorted(self.positions, self.positions, side="right"))

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        raise BadInput(
            "a masked attention cannot move a Gaussian, whose points have no positions: give Tokens, or, for tokens "
            "whose law does not depend on their position, its limit of many tokens, the unmasked "
            f"{type(self.attention).__name__} itself."
        )

    @property
    @override
    def dim(self) -> int | None:
        return self.attention.dim


def _sorted(positions: ArrayLike) -> np.ndarray:
    places = real_array("positions", positions, ndim=(1,))
    falls = np.flatnonzero(np.diff(places) < 0)
    if falls.size:
        i = int(falls[0])
        raise BadInput(
            f"`positions` must not decrease: entry {i + 1} is {places[i + 1]:g} after {places[i]:g}; sort the tokens "
            "by position."
        )
    return places


def unmasked(model: Model) -> Model:
    """`model` with every masked attention replaced by the attention itself.

    For tokens whose law does not depend on their position it has the same limit of many tokens.

    Source: :cite:castin2025, masked attention.
    """
    replaced: Model = jax.tree.map(
        lambda node: node.attention if isinstance(node, MaskedAttention) else node,
        model,
        is_leaf=lambda node: isinstance(node, MaskedAttention),
    )
    return replaced
