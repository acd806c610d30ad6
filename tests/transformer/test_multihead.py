from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from attention_kinds import make
from attnflow import BadInput, Gaussian, L2Attention, LowRank, MultiHeadAttention, SinkhornAttention, SoftmaxAttention
from attnflow.measures.gaussian import Moments
from oracles.kinds import at_gaussian, draw, on_tokens

pytestmark = pytest.mark.usefixtures("x64")
H, K, V_, D = 2, 2, 1, 3


def weights(rng, *, biases: bool = True) -> dict:
    """By head, with a value dimension that is not the key dimension."""
    shapes = {"Q": (H, K, D), "K": (H, K, D), "V": (H, V_, D), "O": (H, D, V_)}
    if biases:
        shapes |= {"query_bias": (H, K), "key_bias": (H, K), "value_bias": (H, V_), "output_bias": (D,)}
    return {name: 0.7 * rng.standard_normal(shape) for name, shape in shapes.items()}


def packed(p: dict) -> dict:
    """As a trained network holds them: heads one under the other, the output projections side by side."""
    out = {name: value.reshape(-1, *value.shape[2:]) for name, value in p.items() if name not in ("O", "output_bias")}
    return out | {"O": np.concatenate(list(p["O"]), axis=1)} | {n: p[n] for n in ("output_bias",) if n in p}


def written_out(p: dict, points, tokens, scale: float) -> np.ndarray:
    """Softmax of the scaled products of queries and keys, head by head and token by token."""
    zero = np.zeros((H, max(K, V_)))
    bq, bk, bv = (p.get(name, zero) for name in ("query_bias", "key_bias", "value_bias"))
    moved = np.tile(p.get("output_bias", np.zeros(D)), (len(points), 1))
    for i, x in enumerate(points):
        for h in range(H):
            query = [math.fsum(p["Q"][h][a] * x) + bq[h][a] for a in range(K)]
            keys = [[math.fsum(p["K"][h][a] * y) + bk[h][a] for a in range(K)] for y in tokens]
            values = [[math.fsum(p["V"][h][a] * y) + bv[h][a] for a in range(V_)] for y in tokens]
            raw = [math.exp(scale * math.fsum(q * k for q, k in zip(query, key, strict=True))) for key in keys]
            average = [math.fsum(w * v[a] for w, v in zip(raw, values, strict=True)) / sum(raw) for a in range(V_)]
            moved[i] += [math.fsum(p["O"][h][c][a] * average[a] for a in range(V_)) for c in range(D)]
    return moved


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("form", [dict, packed])
def test_the_weights_of_a_network_mean_the_attention_written_out(rng, form, scale, biases):
    p, points, tokens = weights(rng, biases=biases), rng.standard_normal((3, D)), rng.standard_normal((5, D))
    heads = {"heads": H} if form is packed else {}
    layer = MultiHeadAttention.from_qkvo(**form(p), **heads, scale=scale)
    assert (len(layer.heads), layer.dim) == (H, D)
    wanted = written_out(p, points, tokens, K**-0.5 if scale is None else scale)
    np.testing.assert_allclose(layer.velocity(points, tokens), wanted, rtol=1e-12, atol=1e-13)


def test_the_weights_stay_in_their_factors(rng):
    layer = MultiHeadAttention.from_qkvo(**weights(rng))
    assert all(isinstance(head.B, LowRank) and isinstance(head.V, LowRank) for head in layer.heads)
    assert [head.B.left.shape for head in layer.heads] == [(D, K)] * H
    assert [head.V.left.shape for head in layer.heads] == [(D, V_)] * H


def test_jax_weights_stay_jax_and_single(rng):
    p = {name: jnp.asarray(value, jnp.float32) for name, value in weights(rng).items()}
    tokens = jnp.asarray(rng.standard_normal((5, D)), jnp.float32)
    assert MultiHeadAttention.from_qkvo(**p).velocity(tokens, tokens).dtype == jnp.float32


@pytest.mark.parametrize("measure", ["factor", "covariance"])
def test_heads_add_up_at_a_gaussian(rng, measure):
    p, points = draw("multihead", rng, D), rng.standard_normal((3, D))
    mean, factor = rng.standard_normal(D), 0.5 * rng.standard_normal((D, D))
    gaussian = Gaussian(mean, factor) if measure == "factor" else Moments(mean, factor @ factor.T)
    affine = make("multihead", p).at_gaussian(gaussian)
    assert affine.exact
    wanted = at_gaussian("multihead", p, points, mean, factor)
    np.testing.assert_allclose(points @ affine.linear().T + affine.offset, wanted, rtol=1e-10, atol=1e-10)
    block = rng.standard_normal((D, 4))
    np.testing.assert_allclose(affine.apply(block), affine.linear() @ block, rtol=1e-12, atol=1e-13)


def test_heads_of_other_kinds_may_be_mixed(rng):
    p, q, tokens = draw("softmax", rng, D), draw("l2", rng, D), rng.standard_normal((5, D))
    layer = MultiHeadAttention([SoftmaxAttention(**p), L2Attention(**q)])
    wanted = on_tokens("softmax", p, tokens, tokens) + on_tokens("l2", q, tokens, tokens)
    np.testing.assert_allclose(layer.velocity(tokens, tokens), wanted, rtol=1e-12, atol=1e-13)


def ones(**changes) -> dict:
    shapes = {"Q": (2, 2, 4), "K": (2, 2, 4), "V": (2, 3, 4), "O": (2, 4, 3)}
    return {name: np.ones(shape) for name, shape in shapes.items()} | changes


def flat(**changes) -> dict:
    shapes = {"Q": (4, 4), "K": (4, 4), "V": (6, 4), "O": (4, 6), "heads": 2}
    return {name: np.ones(shape) if name != "heads" else shape for name, shape in shapes.items()} | changes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (ones(K=np.ones((2, 3, 4))), r"`K` must have shape \(2, 2, 4\) by head \(h, k, d\), to agree with `Q`"),
        (ones(K=np.ones((3, 2, 4))), r"`K` must have shape"),
        (ones(V=np.ones((2, 3, 5))), r"`V` must have shape \(2, 3, 4\) by head \(h, v, d\)"),
        (ones(V=np.ones((1, 3, 4))), r"`V` must have shape \(2, 3, 4\)"),
        (ones(O=np.ones((2, 3, 4))), r"`O` must have shape \(2, 4, 3\) by head \(h, d, v\)"),
        (ones(O=np.ones((1, 4, 3))), r"`O` must have shape \(2, 4, 3\)"),
        (ones(Q=np.ones((4, 4))), r"`Q` must be an array of three axes: an array of shape \(4, 4\) was found"),
        (ones(Q=np.ones((0, 2, 4))), r"`Q` must hold at least one head"),
        (ones(Q=np.full((2, 2, 4), np.nan)), r"`Q` must be finite"),
        (ones(O=np.full((2, 4, 3), np.inf)), r"`O` must be finite"),
        (ones(query_bias=np.ones((2, 3))), r"`query_bias` must have shape \(2, 2\) by head"),
        (ones(key_bias=np.ones((2, 3))), r"`key_bias` must have shape \(2, 2\)"),
        (ones(key_bias=np.full((2, 2), np.nan)), r"`key_bias` must be finite"),
        (ones(value_bias=np.ones((2, 2))), r"`value_bias` must have shape \(2, 3\)"),
        (ones(query_bias=np.ones(4)), r"`query_bias` must be a matrix"),
        (ones(output_bias=np.ones(3)), r"`Q` has d = 4, `output_bias` has d = 3"),
        (ones(output_bias=np.ones((2, 4))), r"`output_bias` must be a vector"),
        (ones(scale=np.inf), r"`scale` must be finite"),
        (ones(scale=[1.0, 2.0]), r"`scale` must be a number"),
        (flat(heads=3), r"`heads` must divide the packed axis of `Q`: 3 heads and 4 entries.*weights by head"),
        (flat(heads=0), r"`heads` must divide"),
        (flat(heads=-2), r"`heads` must divide"),
        (flat(heads=2.0), r"`heads` must be a positive whole number: 2\.0 was found"),
        (flat(V=np.ones((5, 4))), r"`heads` must divide the packed axis of `V`: 2 heads and 5 entries"),
        (flat(O=np.ones((4, 7))), r"`heads` must divide the packed axis of `O`: 2 heads and 7 entries"),
        (flat(O=np.ones((5, 6))), r"`O` must have shape"),
        (flat(K=np.ones((6, 4))), r"`K` must have shape"),
        (flat(Q=np.ones((2, 2, 4))), r"`Q` must be a matrix"),
        (flat(query_bias=np.ones(3)), r"`heads` must divide the packed axis of `query_bias`"),
        (flat(query_bias=np.ones(6)), r"`query_bias` must have shape \(2, 2\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(BadInput, match=message) as caught:
        MultiHeadAttention.from_qkvo(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ([], r"`heads` must hold at least one attention"),
        ([1.0], r"`heads\[0\]` must be an attention: float was found"),
        ([SoftmaxAttention(1.0, 1.0), SinkhornAttention(1.0, 1.0)], r"`heads\[1\]` must be.*Transformer\(attention="),
        (
            [SoftmaxAttention(np.ones((2, 2)), 1.0), SoftmaxAttention(np.ones((3, 3)), 1.0)],
            r"all heads must share one dimension d: `heads\[0\]` has d = 2, `heads\[1\]` has d = 3",
        ),
    ],
)
def test_heads_that_do_not_fit_are_named(heads, message):
    with pytest.raises(BadInput, match=message):
        MultiHeadAttention(heads)
