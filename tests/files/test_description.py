import json

import jax
import numpy as np
import pytest

from attnflow._linalg import LowRank
from attnflow.files.description import build, build_gaussian, describe, describe_gaussian
from attnflow.measures.gaussian import Gaussian
from attnflow.transformer.block import Transformer
from attnflow.transformer.depth import Depth
from attnflow.transformer.feedforward import Affine
from attnflow.transformer.finite_softmax import FiniteSoftmaxAttention
from attnflow.transformer.l2 import L2Attention
from attnflow.transformer.layer import AbstractLayer
from attnflow.transformer.linear import LinearAttention
from attnflow.transformer.masked import MaskedAttention
from attnflow.transformer.multihead import MultiHeadAttention
from attnflow.transformer.sigmoid import SigmoidAttention
from attnflow.transformer.sinkhorn import SinkhornAttention
from attnflow.transformer.softmax import SoftmaxAttention


def leaves(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model)]


def assert_same(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(leaves(one), leaves(two), strict=True):
        assert a.dtype == b.dtype == np.float64
        np.testing.assert_array_equal(a.view(np.uint64), b.view(np.uint64))


def models(rng):
    square, vector = lambda: rng.normal(size=(3, 3)), lambda: rng.normal(size=3)
    plain = SoftmaxAttention(B=square(), V=-1.0 / 3.0)
    biased = SoftmaxAttention.from_qk(
        rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), square(), query_bias=rng.normal(size=2), value_bias=vector()
    )
    affine = Affine(A=square() * 1e-300, b=vector())
    block = Transformer(attention=[plain, biased], feedforward=affine)
    stack = [Transformer(feedforward=Affine(A=square(), b=vector())) for _ in range(3)]
    return {
        "softmax": plain,
        "low rank with biases": biased,
        "low rank V": SoftmaxAttention(B=1e-5, V=LowRank(rng.normal(size=(3, 1)), rng.normal(size=(1, 3)))),
        "inner dimension zero": SoftmaxAttention(B=LowRank(np.zeros((3, 0)), np.zeros((0, 3))), V=square()),
        "affine": Affine(A=0.1),
        "multi-head": MultiHeadAttention.from_qkvo(*rng.normal(size=(3, 2, 2, 3)), rng.normal(size=(2, 3, 2))),
        "l2": L2Attention(*rng.normal(size=(2, 2, 3)), square(), 0.7, key_bias=rng.normal(size=2)),
        "sinkhorn": SinkhornAttention(square(), -1.0, 0.3, value_bias=vector(), tolerance=1e-7, max_iterations=50),
        "sigmoid": SigmoidAttention(square(), square(), -0.3, query_bias=vector()),
        "linear": LinearAttention(square(), 2.0, value_bias=vector()),
        "finite softmax": FiniteSoftmaxAttention(square(), square(), 64, query_bias=vector(), self_key=False),
        "masked": MaskedAttention(plain, positions=[0.0, 0.5, 0.5]),
        "masked heads": Transformer([MaskedAttention(MultiHeadAttention([plain, biased])), biased]),
        "transformer": block,
        "attention only": Transformer(attention=biased),
        "piecewise": Depth.piecewise([block, stack[0]], np.array([0.0, 0.7])),
        "piecewise with an end": Depth.piecewise(stack, np.array([0.0, 0.1, 0.2, 1 / 3])),
        "interpolated": Depth.interpolated(stack, np.array([0.0, 0.1, 0.3])),
    }


@pytest.mark.parametrize("case", models(np.random.default_rng(0)))
def test_a_model_survives_the_way_through_json_to_the_last_bit(case, rng):
    model = models(rng)[case]
    again = build(json.loads(json.dumps(describe(model), allow_nan=False)))
    assert type(again) is type(model)
    assert_same(again, model)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_a_gaussian_survives_the_way_through_json_to_the_last_bit(rank, rng):
    gaussian = Gaussian.from_factor(rng.normal(size=2), rng.normal(size=(2, rank)) / 3)
    again = build_gaussian(json.loads(json.dumps(describe_gaussian(gaussian))))
    assert again.factor.shape == (2, rank)
    assert_same(again, gaussian)


def test_a_function_of_depth_is_named_and_not_rebuilt():
    def my_law(t):
        return Affine(A=t)

    description = json.loads(json.dumps(describe(Depth.function(my_law))))
    assert description["kind"] == "function"
    assert "my_law" in description["repr"]
    assert build(description) is None


class Foreign(AbstractLayer):
    """A layer of somebody else."""

    def velocity(self, points, tokens):
        return points

    def at_gaussian(self, measure):
        raise NotImplementedError

    @property
    def dim(self):
        return None


def test_a_foreign_layer_is_named_and_nothing_around_it_is_rebuilt():
    affine = Affine(A=2.0)
    for model in (
        Foreign(),
        Transformer(attention=[Foreign()], feedforward=affine),
        Transformer(attention=[SoftmaxAttention(B=1.0, V=2.0)], feedforward=Foreign()),
        Depth.piecewise([affine, Foreign()], np.array([0.0, 1.0])),
    ):
        description = json.loads(json.dumps(describe(model)))
        assert '"kind": "unknown"' in json.dumps(description)
        assert "Foreign" in json.dumps(description)
        assert build(description) is None


def test_single_precision_parameters_keep_their_values():
    third = np.float32(1.0) / np.float32(3.0)
    affine = Affine(A=jax.numpy.asarray([[third]], dtype="float32"))
    assert build(describe(affine)).A[0, 0] == float(third)
