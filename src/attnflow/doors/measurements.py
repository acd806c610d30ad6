"""`attnflow.measurements`: what `diagnose` measures, as functions of arrays. They load no PyTorch.

Tokens are an (n, d) array or `Tokens`; heads are an `Attention`, whose docstring gives the shapes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from .._check import BadInput, positive, real_array, require_shape
from .._types import ArrayLike
from ..diagnostics import head_table
from ..diagnostics.attention import Attention, Keys
from ..diagnostics.pairing import Outputs, Pairing, pair_outputs
from ..diagnostics.prediction import Prediction, predict_attention
from ..diagnostics.state import State, measure_state
from ..measures.tokens import Tokens
from .distance_arguments import checked_tokens, directions, require_two, whole

__all__ = ["Attention", "Keys", "Pairing", "Prediction", "State", "compared", "heads", "predicted", "state"]

PROJECTIONS = 256
QUERIES = 384
SHAPES = {
    "query": "h k d", "key": "h k d", "value": "h k d", "output": "h d k", "query_bias": "h k", "key_bias": "h k",
    "value_bias": "h k", "output_bias": "d",
}  # fmt: skip


def state(tokens: Tokens | ArrayLike, *, projections: int = PROJECTIONS, key: int = 0) -> State:
    """Moments, ranks, cosine, distances to the Gaussian of the same moments, massive channels of `tokens` (n, d).

    `projections` directions, drawn with the integer `key`, make the sliced distance.

    Raises BadInput when an argument breaks a rule, or there are fewer than two tokens.

    Source: this package, docs/theory/diagnose.md, section 1.
    """
    points = _cloud("tokens", tokens)
    return measure_state(points, np.asarray(directions(points.shape[1], projections, key)))


def predicted(
    attention: Attention, tokens: Tokens | ArrayLike, output: ArrayLike, *, queries: int = QUERIES, seed: int = 0
) -> Prediction:
    """How well mean and covariance of `tokens` (n, d) predict the `output` (n, d) of `attention`, and whether to trust.

    `tokens` are what the heads read, after the norm before them, if any. `queries` of them ask, chosen with `seed`,
    which also draws the tokens of ceiling and control; all tokens are keys.

    Raises BadInput when an argument breaks a rule or the shapes disagree.

    Source: this package, docs/theory/diagnose.md, sections 3 to 5.
    """
    points, heads_ = _cloud("tokens", tokens), _attention(attention)
    require_shape("tokens", points.shape, (points.shape[0], heads_.dim), because="to agree with `attention`")
    given = real_array("output", output, ndim=(2,)).astype(points.dtype)
    require_shape("output", given.shape, points.shape, because="to agree with `tokens`")
    return predict_attention(
        heads_, points, given, seed=whole("seed", seed, least=0), queries=whole("queries", queries, least=1)
    )


def heads(attention: Attention) -> head_table.Table:
    """The table of heads of `attention`: spectra, ranks, norms, trace and skew ratios of B and V, each (h,).

    Raises BadInput when the shapes disagree.

    Source: this package, docs/theory/diagnose.md, section 6.
    """
    return head_table.head_table(_attention(attention))


def compared(
    output: ArrayLike,
    reference: ArrayLike,
    *,
    states: ArrayLike | None = None,
    reference_states: ArrayLike | None = None,
    seed: int = 0,
) -> Pairing:
    """Two networks on the same inputs: cosines, neighbours kept, drift by layer, the inputs that moved most.

    `output` (n, p) and `reference` (n, q) hold a vector for each input; `states` and `reference_states`
    (n, layers + 1, d), if given, one for each input and layer. `seed` draws the bootstrap.

    Raises BadInput when an argument breaks a rule, or the numbers of inputs differ.

    Source: this package, docs/theory/drift.md.
    """
    sides = []
    for names, (vectors, by_layer) in (
        (("output", "states"), (output, states)),
        (("reference", "reference_states"), (reference, reference_states)),
    ):
        rows = real_array(names[0], vectors, ndim=(2,))
        deep = None if by_layer is None else real_array(names[1], by_layer, ndim=(3,))
        if deep is not None:
            require_shape(names[1], deep.shape, (len(rows), *deep.shape[1:]), because=f"to agree with `{names[0]}`")
        sides.append(Outputs(rows, deep))
    if len(sides[0].output) != len(sides[1].output):
        raise BadInput(
            f"`output` and `reference` must hold the same inputs: {len(sides[0].output)} and "
            f"{len(sides[1].output)} were found."
        )
    return pair_outputs(sides[0], sides[1], seed=whole("seed", seed, least=0))


def _cloud(name: str, tokens: Tokens | ArrayLike) -> Float[np.ndarray, "n d"]:
    points = np.asarray(checked_tokens(name, tokens))
    require_two(name, points.shape[0], "one token has no spread")
    return points


def _attention(attention: Attention) -> Attention:
    """`attention` with its arrays checked, and NumPy's.

    Raises BadInput when it is no Attention, a shape is wrong or a number is not finite.
    """
    if not isinstance(attention, Attention):
        raise BadInput(f"`attention` must be an Attention: {type(attention).__name__} was found.")
    raw: dict[str, Any] = {name: np.asarray(getattr(attention, name)) for name in SHAPES}
    if raw["query"].ndim != 3:
        raise BadInput(f"`attention.query` must have shape (h, k, d): {raw['query'].shape} was found.")
    sizes = dict(zip("hkd", raw["query"].shape, strict=True))
    for name, letters in SHAPES.items():
        real_array(f"attention.{name}", raw[name])
        expected = tuple(sizes[letter] for letter in letters.split())
        require_shape(f"attention.{name}", raw[name].shape, expected, because="to agree with `attention.query`")
    positive("attention.scale", attention.scale)
    if attention.rotary is not None:
        rotary = real_array("attention.rotary", attention.rotary, ndim=(1,))
        require_shape("attention.rotary", rotary.shape, (sizes["k"] // 2,), because="half the width of a head")
    return dataclasses.replace(attention, **raw)
