"""The oracles against each other and against the golden cases; the package under test is not involved."""

from __future__ import annotations

import numpy as np
import pytest

from golden import load
from oracles import highprec, quadrature, replay


def _head(inputs: dict):
    return np.array(inputs["B"]), np.array(inputs.get("V", inputs.get("eta"))), None, None


@pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in load("trajectory", files=("gaussian.json",))])
def test_the_taylor_series_reproduces_the_golden_trajectories(case):
    inputs, (B, V, _, _) = case["inputs"], _head(case["inputs"])
    values = (inputs[k] for k in ("b", "mu0", "Sigma0", "t"))
    mean, cov = highprec.moments_taylor(inputs["A"], B, V, *values, dps=40)
    assert highprec.relative_error(case["expected"]["mu"], mean) < 1e-15
    assert highprec.relative_error(case["expected"]["Sigma"], cov) < 1e-15


SMALL = [c for c in load("sigma_closed_form", files=("gaussian.json",)) if len(c["inputs"]["A"]) <= 6]


@pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in SMALL])
def test_the_block_exponential_reproduces_the_golden_closed_forms(case):
    inputs = case["inputs"]
    start = {"factor": inputs["L0"]} if "L0" in inputs else {"cov": inputs["Sigma0"]}
    cov = highprec.closed_form_cov(inputs["A"], inputs["B"], inputs["eta"], inputs["t"], **start)
    assert highprec.relative_error(case["expected"]["Sigma"], cov) < 1e-15


BLOW_UPS = [c for c in load("blowup_time", files=("gaussian.json",)) if c["expected"]["T_f"] != "inf"]


@pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in BLOW_UPS if "eta" in c["inputs"]])
def test_two_roads_lead_to_the_blow_up_time(case):
    inputs, T_f = case["inputs"], case["expected"]["T_f"]
    root = highprec.blow_up_time(inputs["A"], inputs["B"], inputs["eta"], inputs["L0"], dps=40)
    series = highprec.blow_up_time_general(inputs["A"], [_head(inputs)], highprec.gram(inputs["L0"]), dps=30)
    assert abs(float(root) - T_f) <= 1e-15 * T_f
    assert abs(root - series) <= 1e-18 * T_f


def test_the_replay_and_the_taylor_series_agree_with_heads_and_biases(rng):
    d, r = 3, 2
    head = lambda: tuple(rng.standard_normal(s) * 0.3 for s in ((d, d), (d, d), d, d))  # noqa: E731
    A, b, heads, mean = rng.standard_normal((d, d)) * 0.4, rng.standard_normal(d), [head(), head()], np.ones(d)
    factor = rng.standard_normal((d, r)) * 0.5
    means, covs = replay.replay_moments((A, b, heads), mean, factor, [0.25, 1.0])
    m, cov = highprec.flow_taylor(A, b, heads, mean, highprec.gram(factor), 1.0)
    assert highprec.relative_error(means[-1], m) < 1e-12
    assert highprec.relative_error(covs[-1], cov) < 1e-12


def test_the_replay_follows_parameters_that_jump():
    first, second = (np.array([[1.0]]), np.zeros(1), []), (np.array([[-2.0]]), np.zeros(1), [])
    at = lambda t: first if t < 0.5 else second  # noqa: E731
    means, _ = replay.replay_moments(at, [1.0], [[1.0]], [0.0, 0.5, 0.75], breaks=[0.5])
    np.testing.assert_allclose(means[:, 0], np.exp([0.0, 0.5, 0.0]), rtol=1e-12)


def test_the_rescaled_replay_finds_the_scalar_blow_up_time():
    parameters = (np.array([[0.5]]), np.zeros(1), [(np.eye(1), np.eye(1), None, None)])
    assert replay.blow_up_time(parameters, [[1.0]]) == pytest.approx(np.log(1.5), rel=1e-12)


def test_the_quadrature_agrees_with_a_sum_over_its_own_nodes(rng):
    """Tokens that repeat the nodes in proportion to their weights are the Gauss-Hermite measure."""
    B, V, mean, x = (rng.standard_normal(shape) for shape in ((2, 2), (2, 2), 2, 2))
    column, bias = np.array([[0.4], [-0.3]]), np.array([0.1, 0.2])
    points = mean + np.array([[-1.0], [1.0]]) @ column.T  # the two-node rule: -1 and 1, equal weights
    options = dict(query_bias=bias, value_bias=bias)
    value = quadrature.velocity_at_gaussian(B, V, mean, column, x, nodes=2, **options)
    np.testing.assert_allclose(value, quadrature.velocity_on_tokens(B, V, points, x, **options), rtol=1e-13)


def test_the_quadrature_has_converged(rng):
    B, V, factor, x = (rng.standard_normal(s) * 0.7 for s in ((3, 3), (3, 3), (3, 2), 3))
    values = [quadrature.velocity_at_gaussian(B, V, np.ones(3), factor, x, nodes=n) for n in (40, 80)]
    np.testing.assert_allclose(*values, rtol=1e-12)
