"""Nonlinear feed-forward layers in problem files and in results: every kind, every number, every mistake."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow._linalg import LowRank
from attnflow.files.description import build, describe
from attnflow.files.problem import read_problem
from attnflow.moments.by_quadrature import SiLU, Tanh, TanhGELU
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU
from attnflow.transformer.block import Transformer
from attnflow.transformer.depth import Depth
from attnflow.transformer.feedforward import FeedForward
from attnflow.transformer.mlp import MLP

START = "[start]\nmean = [1.0, -2.0]\ncov = [[2.0, 0.3], [0.3, 1.0]]\n"
KINDS = {"relu": ReLU, "gelu": GELU, "tanh_gelu": TanhGELU, "tanh": Tanh, "silu": SiLU, "erf": Erf}
TWO_LAYERS = "W1 = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]\nW2 = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]\n"


def read(folder, table: str):
    path = folder / "problem.toml"
    path.write_text(START + "[model.feedforward]\n" + table)
    return read_problem(path).model.feedforward


@pytest.mark.parametrize("kind", KINDS)
def test_every_activation_has_a_kind(kind, tmp_path):
    layer = read(tmp_path, f'kind = "{kind}"\nA = [[0.0, -1.0], [1.0, 0.5]]\nb = [0.25, 0.5]\n')
    assert type(layer) is FeedForward
    assert type(layer.activation) is KINDS[kind]
    np.testing.assert_array_equal(layer.A, [[0.0, -1.0], [1.0, 0.5]])
    np.testing.assert_array_equal(layer.b, [0.25, 0.5])


def test_a_number_stays_a_number(tmp_path):
    layer = read(tmp_path, 'kind = "relu"\nA = -1.5\n')
    assert np.ndim(layer.A) == 0
    assert layer.b is None


def test_two_layers(tmp_path):
    layer = read(tmp_path, f'kind = "mlp"\nactivation = "gelu"\n{TWO_LAYERS}b1 = [1, 2, 3]\nb2 = [4, 5]\n')
    assert type(layer) is MLP
    assert type(layer.activation) is GELU
    np.testing.assert_array_equal(layer.W1, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(layer.W2, [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    np.testing.assert_array_equal(layer.b1, [1, 2, 3])
    np.testing.assert_array_equal(layer.b2, [4, 5])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('kind = "relu"\n', '`model.feedforward.A` is missing: kind = "relu" needs it'),
        ("b = [1.0, 2.0]\n", '`model.feedforward.A` is missing: kind = "affine" needs it'),
        ('kind = "swish"\nA = 1.0\n', "`model.feedforward.kind` must be 'affine', 'relu'"),
        (f'kind = "relu"\nA = 1.0\n{TWO_LAYERS}', '`model.feedforward.W1` does not belong to kind = "relu"'),
        ('A = 1.0\nactivation = "gelu"\n', '`model.feedforward.activation` does not belong to kind = "affine"'),
        (f'kind = "mlp"\n{TWO_LAYERS}', '`model.feedforward.activation` is missing: kind = "mlp" needs it'),
        ('kind = "relu"\nA = [[1.0]]\n', r"`model.feedforward.A` must have shape \(2, 2\) to agree with `start`"),
        ('kind = "relu"\nA = 1.0\nb = [1.0]\n', r"`model.feedforward.b` must have shape \(2,\) to agree with `start`"),
        (
            'kind = "mlp"\nactivation = "tanh"\nW1 = [[1.0]]\nW2 = [[1.0]]\n',
            "`model.feedforward.W1` must have 2 columns to agree with `start`",
        ),
        (
            'kind = "mlp"\nactivation = "tanh"\nW1 = [[1.0, 2.0]]\nW2 = [[1.0]]\n',
            r"`model.feedforward.W2` must have shape \(2, 1\) to agree with `start` and `model.feedforward.W1`",
        ),
        (
            f'kind = "mlp"\nactivation = "tanh"\n{TWO_LAYERS}b1 = [1.0]\n',
            r"`model.feedforward.b1` must have shape \(3,\)",
        ),
        (f'kind = "mlp"\nactivation = "tanh"\n{TWO_LAYERS}w3 = 1\n', "`model.feedforward.w3` is not a known key here"),
    ],
)
def test_mistakes_are_named(table, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        read(tmp_path, table)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_survive_the_way_through_json_to_the_last_bit(kind, rng):
    activation = KINDS[kind]()
    low = LowRank(rng.normal(size=(3, 1)), rng.normal(size=(1, 3)))
    layers = [
        FeedForward(rng.normal(size=(3, 3)) * 1e-300, rng.normal(size=3), activation=activation),
        FeedForward(low, activation=activation),
        Transformer(feedforward=FeedForward(-1 / 3, activation=activation)),
        MLP(rng.normal(size=(2, 3)), rng.normal(size=(3, 2)), activation, b2=rng.normal(size=3)),
    ]
    for model in (*layers, Depth.piecewise(layers[2:], [0.0, 0.7])):
        again = build(json.loads(json.dumps(describe(model), allow_nan=False)))
        assert jax.tree.structure(again) == jax.tree.structure(model)
        for one, two in zip(jax.tree.leaves(again), jax.tree.leaves(model), strict=True):
            assert np.asarray(one).dtype == np.float64
            np.testing.assert_array_equal(one, two)


class Foreign(ReLU):
    """An activation of somebody else."""


def test_an_unknown_activation_is_named_and_not_rebuilt():
    description = json.loads(json.dumps(describe(FeedForward(1.0, activation=Foreign()))))
    assert description["kind"] == "unknown"
    assert "Foreign" in description["repr"]
    assert build(description) is None
