from __future__ import annotations

import jax
import numpy as np
import pytest

from attnflow import Affine, BadInput, Gaussian, LowRank, SoftmaxAttention, Transformer
from attnflow.measures.gaussian import Moments
from oracles.quadrature import velocity_at_gaussian, velocity_on_tokens

pytestmark = pytest.mark.usefixtures("x64")
D = 3


def heads(rng) -> list[dict]:
    """Three heads of different kinds: dense with biases, a scalar V, a low-rank B."""
    return [
        {
            "B": 0.4 * rng.standard_normal((D, D)),
            "V": rng.standard_normal((D, D)),
            "query_bias": rng.standard_normal(D),
            "value_bias": rng.standard_normal(D),
        },
        {"B": 0.4 * rng.standard_normal((D, D)), "V": -0.8},
        {
            "B": LowRank(0.4 * rng.standard_normal((D, 1)), rng.standard_normal((1, D))),
            "V": rng.standard_normal((D, D)),
        },
    ]


def dense(head: dict) -> dict:
    """The same head with matrices only, for the oracles."""
    B = head["B"].left @ head["B"].right if isinstance(head["B"], LowRank) else head["B"]
    V = head["V"] * np.eye(D) if np.ndim(head["V"]) == 0 else head["V"]
    return head | {"B": B, "V": V}


def test_the_velocities_of_heads_and_feed_forward_add_on_tokens(rng):
    parameters, A, b = heads(rng), rng.standard_normal((D, D)), rng.standard_normal(D)
    model = Transformer([SoftmaxAttention(**p) for p in parameters], Affine(A=A, b=b))
    tokens = rng.standard_normal((5, D))
    wanted = [sum(velocity_on_tokens(points=tokens, x=x, **dense(p)) for p in parameters) + A @ x + b for x in tokens]
    np.testing.assert_allclose(model.velocity(tokens, tokens), wanted, rtol=1e-12)


@pytest.mark.parametrize("kind", ["factor", "covariance"])
def test_the_affine_maps_of_heads_and_feed_forward_add_at_a_gaussian(rng, kind):
    parameters, A, b = heads(rng), rng.standard_normal((D, D)), rng.standard_normal(D)
    model = Transformer([SoftmaxAttention(**p) for p in parameters], Affine(A=A, b=b))
    mean, factor = rng.standard_normal(D), 0.3 * rng.standard_normal((D, D))
    gaussian = Gaussian(mean, factor) if kind == "factor" else Moments(mean, factor @ factor.T)
    affine, block = model.at_gaussian(gaussian), rng.standard_normal((D, 4))
    for x, image in zip(block.T, np.asarray(affine.apply(block)).T, strict=True):
        wanted = sum(velocity_at_gaussian(mean=mean, factor=factor, x=x, **dense(p)) for p in parameters) + A @ x + b
        np.testing.assert_allclose(image + affine.offset, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("attention", [None, "one", "many"])
@pytest.mark.parametrize("feedforward", [None, "affine"])
def test_attention_is_none_one_or_many(rng, attention, feedforward):
    layers = [SoftmaxAttention(**p) for p in heads(rng)]
    given = {None: None, "one": layers[0], "many": layers}[attention]
    forward = None if feedforward is None else Affine(A=rng.standard_normal((D, D)))
    if given is None and forward is None:
        with pytest.raises(BadInput, match="a Transformer needs `attention`, `feedforward` or both"):
            Transformer(given, forward)
        return
    model = Transformer(attention=given, feedforward=forward)
    assert isinstance(model.attention, tuple)
    assert len(model.attention) == {None: 0, "one": 1, "many": 3}[attention]
    assert model.dim == D
    assert [id(term) for term in model.terms] == [id(t) for t in (forward, *model.attention) if t is not None]


def test_a_transformer_is_itself_a_layer(rng):
    inner = Transformer([SoftmaxAttention(**p) for p in heads(rng)])
    outer = Transformer(attention=[inner], feedforward=Affine(A=0.5))
    tokens = rng.standard_normal((4, D))
    np.testing.assert_allclose(
        outer.velocity(tokens, tokens), inner.velocity(tokens, tokens) + 0.5 * tokens, rtol=1e-13
    )


def test_a_transformer_is_a_pytree_of_its_parameters(rng):
    model = Transformer([SoftmaxAttention(**p) for p in heads(rng)], Affine(A=rng.standard_normal((D, D))))
    leaves, structure = jax.tree.flatten(model)
    again = jax.tree.unflatten(structure, [2 * leaf for leaf in leaves])
    np.testing.assert_array_equal(again.feedforward.A, 2 * model.feedforward.A)
    assert float(again.attention[1].V) == -1.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": np.eye(2)}, r"`attention\[0\]` must be a layer: ndarray was found"),
        ({"attention": [SoftmaxAttention(B=1.0, V=1.0), "x"]}, r"`attention\[1\]` must be a layer: str was found"),
        ({"feedforward": np.eye(2)}, r"`feedforward` must be a layer: ndarray was found"),
        ({"attention": 3.0}, r"`attention` must be a layer or a sequence of layers"),
        (
            {"attention": [SoftmaxAttention(B=np.ones((3, 3)), V=1.0)], "feedforward": Affine(A=np.ones((2, 2)))},
            r"`attention\[0\]` has d = 3, `feedforward` has d = 2",
        ),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(BadInput, match=message):
        Transformer(**arguments)
