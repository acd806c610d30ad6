"""`mean_matching_bias`: the bias that was asked for, checked by a long flow, or the reason why there is none."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af
from golden import load

START = af.Gaussian.from_moments([-1.0, -1.0], [[0.4, 0.2], [0.2, 0.2]])


def _model(A, V, B, b=None, **biases) -> af.Transformer:
    value = V if np.isscalar(V) else np.asarray(V, dtype=float)
    attention = af.SoftmaxAttention(B=np.asarray(B, dtype=float), V=value, **biases)
    return af.Transformer(attention=attention, feedforward=af.Affine(A=np.asarray(A, dtype=float), b=b))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in load("figure1")])
def test_the_bias_of_figure_1(case):
    inputs = case["inputs"]
    model = _model(inputs["A"], -1.0, inputs["B"])
    np.testing.assert_allclose(af.mean_matching_bias(model, inputs["mu_target"]), case["expected"]["b"], rtol=1e-12)


@pytest.mark.parametrize(
    ("A", "V", "B", "biases"),
    [
        pytest.param([[1.0, 0.5], [0.0, 2.0]], -0.5, [[1.0, 0.5], [0.0, 0.75]], {}, id="scalar"),
        pytest.param([[1.0, 1.0], [-1.0, 0.5]], [[-1.0, -0.25], [-0.25, -2.0]], np.diag([1.0, 2.0]), {}, id="general"),
        pytest.param(
            [[1.0, 0.5], [0.0, 2.0]], -0.5, [[1.0, 0.5], [0.0, 0.75]],
            {"query_bias": [0.5, -1.0], "value_bias": [1.0, 0.25]}, id="with_other_biases",
        ),
    ],
)  # fmt: skip
def test_a_long_flow_ends_at_the_target(A, V, B, biases):
    target = np.array([2.0, -3.0])
    bias = af.mean_matching_bias(_model(A, V, B, [7.0, 8.0], **biases), target, START)
    run = af.simulate(_model(A, V, B, bias, **biases), START, ts=[60.0], rtol=1e-10)
    np.testing.assert_allclose(run.mean[-1], target, rtol=1e-6)


@pytest.mark.parametrize(
    ("A", "V", "B", "reason"),
    [
        pytest.param([[1.0, 0.5], [0.0, 2.0]], 0.5, [[-1.0, 0.0], [0.0, -0.75]], "real part 0.5", id="eta_positive"),
        pytest.param([[0.0, 1.0], [-1.0, 0.0]], 1.0, np.eye(2), "no known limit", id="blow_up"),
        pytest.param(np.zeros((2, 2)), -1.0, np.diag([1.0, 0.0]), "`start` is missing", id="continuum"),
    ],
)
def test_it_says_why_no_bias_can(A, V, B, reason):
    with pytest.raises(af.BadInput, match=reason):
        af.mean_matching_bias(_model(A, V, B), [1.0, 2.0])


def test_a_continuum_of_limits_has_a_bias_once_the_start_is_given():
    model = _model(np.zeros((2, 2)), -1.0, np.diag([1.0, 0.0]))
    bias = af.mean_matching_bias(model, [1.0, 2.0], START)
    limit = np.diag([0.0, 0.2 - 0.2**2 / 0.4])
    np.testing.assert_allclose(bias, -(-np.eye(2) - limit @ np.diag([1.0, 0.0])) @ [1.0, 2.0], rtol=1e-12)


def test_a_target_of_another_dimension_is_refused():
    with pytest.raises(af.BadInput, match="`target` must have shape"):
        af.mean_matching_bias(_model(np.eye(2), -1.0, np.eye(2)), [1.0, 2.0, 3.0])
