"""`relu_defect`: what it covers, what it refuses, and how it says so."""

from __future__ import annotations

import json
import math

import jax
import numpy as np
import pytest

import attnflow as af
from attnflow.doors.relu_defect import relu_defect
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU
from attnflow.transformer.feedforward import FeedForward
from attnflow.transformer.mlp import MLP

A = np.array([[0.4, -1.1], [0.7, 0.3]])
B = np.array([[0.02, 0.05], [-0.01, 0.03]])
V = np.array([[-0.5, 0.2], [0.6, 0.9]])


@pytest.fixture
def start() -> af.Gaussian:
    return af.Gaussian.from_moments([0.3, -0.8], [[1.2, 0.4], [0.4, 0.7]])


def model(activation, attention=None) -> af.Transformer:
    head = af.SoftmaxAttention(B=B, V=V) if attention is None else attention
    return af.Transformer(attention=head, feedforward=FeedForward(A, [0.1, -0.2], activation=activation))


def test_it_gives_the_constant_the_slope_and_a_time_that_are_proved(start):
    found = relu_defect(model(ReLU()), start)
    z = start.cov, A @ start.mean + [0.1, -0.2]
    drawn = np.random.default_rng(0).multivariate_normal(z[1], A @ start.cov @ A.T, 400_000)
    squared = np.sum(np.square(np.maximum(-drawn, 0)), axis=1)
    assert float(found) == found.bound == pytest.approx(np.sqrt(squared.mean()), rel=0.01)
    assert 0 < found.slope < found.bound
    assert 0 < found.time < math.inf
    assert 4 * np.linalg.norm(B, 2) <= found.kappa < 0.5 / np.linalg.eigvalsh(start.cov)[-1]
    assert found.basis == "theorem"
    assert "2.3" in found.statement.name
    assert found.margins["8 |B| lambda_max(cov) < 1"] > 0
    assert "T_f" in found.statement.corrected


def test_another_activation_rests_on_the_remark(start):
    found = relu_defect(model(GELU()), start)
    assert found.statement.name.startswith("Remark")
    assert found.time == pytest.approx(relu_defect(model(ReLU()), start).time)
    assert relu_defect(model(Erf()), start).time < found.time  # it grows faster, by 2 / sqrt(pi)


def test_where_the_hypotheses_fail_the_number_stays_and_the_proof_goes():
    wide = af.Gaussian.from_moments([0.0, 0.0], [[9.0, 1.0], [1.0, 4.0]])
    found = relu_defect(model(ReLU()), wide)
    assert found.bound > 0
    assert found.time is None
    assert found.basis == "undetermined"
    assert found.margins["8 |B| lambda_max(cov) < 1"] < 0
    assert "no time is proved" in str(found)


def test_other_attention_is_not_covered(start):
    found = relu_defect(model(ReLU(), af.L2Attention(Q=B, K=B, V=V)), start)
    assert found.hypotheses[0].held == "fails"
    assert found.time is None
    assert found.bound == pytest.approx(relu_defect(model(ReLU()), start).bound, rel=1e-14)


def test_several_heads_shorten_the_time_and_leave_the_constant(start):
    two = model(ReLU(), [af.SoftmaxAttention(B=B, V=V), af.SoftmaxAttention(B=0.5 * B, V=V.T)])
    one, both = relu_defect(model(ReLU()), start), relu_defect(two, start)
    assert both.bound == one.bound
    assert both.time < one.time


def test_without_attention_there_is_no_limit_of_time(start):
    found = relu_defect(FeedForward(A, activation=ReLU()), start)
    assert found.time == math.inf
    assert found.basis == "theorem"
    json.dumps(found.to_dict())


def test_an_affine_layer_does_not_depart(start):
    found = relu_defect(af.Affine(A), start)
    assert (found.bound, found.slope, found.basis) == (0.0, 0.0, "theorem")


def test_the_sharp_slope_can_be_left_out_and_everything_is_printable(start):
    found = relu_defect(model(ReLU()), start, sharp=False)
    assert found.slope is None
    assert json.loads(json.dumps(found.to_dict()))["bound"] == found.bound
    assert "theorem" in str(found)


def test_scalars_and_jax_arrays_are_taken(start):
    scalar = af.Transformer(feedforward=FeedForward(0.7, activation=ReLU()))
    dense = af.Transformer(feedforward=FeedForward(0.7 * np.eye(2), activation=ReLU()))
    assert relu_defect(scalar, start).slope == pytest.approx(relu_defect(dense, start).slope, rel=1e-12)
    with jax.enable_x64(True):
        layer = FeedForward(jax.numpy.asarray(A), jax.numpy.array([0.1, -0.2]), activation=ReLU())
    assert relu_defect(layer, start).bound == pytest.approx(relu_defect(model(ReLU()), start).bound, rel=1e-14)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (af.SoftmaxAttention(B=B, V=V), "exactly one feed-forward"),
        (MLP(W1=A, b1=[0.0, 0.1], W2=A, b2=[0.0, 0.0], activation=ReLU()), "of the form s"),
        ("relu", "must be a layer"),
        (af.Depth.piecewise([FeedForward(A, activation=ReLU())], [0.0]), "constant parameters"),
        (FeedForward(np.eye(3), activation=ReLU()), "dimensions must agree"),
    ],
)
def test_bad_models_are_named(bad, message, start):
    with pytest.raises(af.BadInput, match=message):
        relu_defect(bad, start)


def test_bad_starts_are_named():
    with pytest.raises(af.BadInput, match="`start` must be a Gaussian"):
        relu_defect(model(ReLU()), af.Tokens(np.zeros((3, 2))))
