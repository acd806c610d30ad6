"""The golden cases of the attention kinds through the public interface, at the tolerance that each case states."""

from __future__ import annotations

import json

import numpy as np
import pytest

import attnflow as af
from golden import HERE

CASES = {case["name"]: case for case in json.loads((HERE / "kinds.json").read_text())["cases"]}
ODE = 1e-10  # what an integration at rtol 1e-12 may be away


def inputs(name: str) -> dict:
    return {key: np.array(value) for key, value in CASES[name]["inputs"].items()}


def assert_golden(name: str, found, *, floor: float = 0.0) -> None:
    expected = np.array(CASES[name]["expected"])
    error = np.linalg.norm(np.ravel(found) - np.ravel(expected)) / np.linalg.norm(expected)
    assert error <= max(CASES[name]["rtol"], floor), f"relative error {error:.2e}"


def gaussian(i: dict) -> af.Gaussian:
    return af.Gaussian.from_moments(i.get("alpha", np.zeros(i["Sigma"].shape[0])), i["Sigma"])


FIELDS = {
    "softmax_field": lambda i: af.SoftmaxAttention(i["B"], i["V"]),
    "multihead_field": lambda i: af.MultiHeadAttention(
        [af.SoftmaxAttention(B, V) for B, V in zip(i["B"], i["V"], strict=True)]
    ),
    "l2_field_tau1.000": lambda i: af.L2Attention(i["Q"], i["K"], i["V"], i["tau"]),
    "l2_field_rect_k1": lambda i: af.L2Attention(i["Q"], i["K"], i["V"], i["tau"]),
    "linear_attention_field": lambda i: af.LinearAttention(i["B"], i["V"]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_the_velocity_at_a_gaussian(name, x64):
    i = inputs(name)
    affine = FIELDS[name](i).at_gaussian(gaussian(i))
    assert affine.exact
    assert_golden(name, affine.linear() @ i["x"] + affine.offset)


def test_the_sigmoid_velocity_where_all_queries_are_one(x64):
    """The field is not affine, but its mean over one query is it: (x, y) in four dimensions, x fixed, y Gaussian."""
    i = inputs("sigmoid_field")
    factor = np.vstack([np.zeros((2, 2)), np.linalg.cholesky(i["Sigma"])])
    B, V = np.zeros((4, 4)), np.zeros((4, 4))
    B[2:, :2], V[:2, 2:] = i["B"], i["V"]  # the logit is y^T B x, the value V y, both of the halves
    measure = af.Gaussian.from_factor(np.concatenate([i["x"], i["alpha"]]), factor)
    affine = af.SigmoidAttention(B, V).at_gaussian(measure)
    assert not affine.exact
    assert_golden("sigmoid_field", (affine.linear() @ measure.mean + affine.offset)[:2])


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("sinkhorn_M")])
def test_the_gain_of_sinkhorn(name, x64):
    i = inputs(name)
    affine = af.SinkhornAttention(i["B"], 1.0, i["eps"]).at_gaussian(gaussian(i))
    assert_golden(name, affine.linear())


def test_the_linear_part_of_sinkhorn_with_values_as_its_form(x64):
    i = inputs("sinkhorn_gradient_V=B")
    affine = af.SinkhornAttention(i["B"], i["B"], i["eps"]).at_gaussian(gaussian(i))
    assert_golden("sinkhorn_gradient_V=B", affine.linear())


def test_the_published_l2_rate_scales_the_queries_alone(x64):
    i = inputs("published_l2_covariance_rate")
    affine = af.L2Attention(i["Q"] / np.sqrt(i["d"]), i["K"], i["V"]).at_gaussian(gaussian(i))
    rate = np.asarray(affine.linear()) @ i["Sigma"]
    assert_golden("published_l2_covariance_rate", rate + rate.T)


def test_the_flow_of_softmax_with_a_feed_forward():
    i = inputs("ode_softmax_affineFF_t0.7")
    model = af.Transformer(af.SoftmaxAttention(i["B"], i["V"]), af.Affine(i["A"], i["b"]))
    run = af.simulate(model, gaussian(i), [float(i["t"])], rtol=1e-12)
    assert_golden("ode_softmax_affineFF_t0.7", np.concatenate([run.mean[0], run.cov[0].ravel()]), floor=ODE)


def test_the_closed_form_of_softmax_with_a_feed_forward():
    i = inputs("closed_V=etaI_with_A_t0.8")
    model = af.Transformer(af.SoftmaxAttention(i["B"], i["eta"]), af.Affine(i["A"]))
    run = af.simulate(model, gaussian(i), [float(i["t"])])
    assert run.engine == "closed_form"
    assert_golden("closed_V=etaI_with_A_t0.8", run.cov)


def test_the_closed_form_of_the_mean():
    i = inputs("closed_mean_V=etaI_Bsym")
    run = af.simulate(af.SoftmaxAttention(i["B"], i["eta"]), gaussian(i), [float(i["t"])])
    assert_golden("closed_mean_V=etaI_Bsym", run.mean)


def test_the_blow_up_time_of_softmax():
    i = inputs("blowup_time_softmax_V=etaI")
    run = af.simulate(af.SoftmaxAttention(i["B"], i["eta"]), gaussian(i), [3.0])
    assert run.status == "blow_up"
    assert_golden("blowup_time_softmax_V=etaI", run.blow_up.estimate)
    assert run.blow_up.lower <= CASES["blowup_time_softmax_V=etaI"]["expected"] <= run.blow_up.upper


def test_the_flow_of_sinkhorn_in_one_dimension():
    i = inputs("sinkhorn_scalar_implicit")
    layer = af.SinkhornAttention(i["beta"].reshape(1, 1), i["v"].reshape(1, 1), i["eps"])
    run = af.simulate(layer, af.Gaussian.from_moments([0.0], i["sigma0"].reshape(1, 1)), [float(i["t"])], rtol=1e-12)
    assert_golden("sinkhorn_scalar_implicit", run.cov, floor=ODE)


def test_the_second_moment_of_linear_attention():
    i = inputs("linear_attention_second_moment")
    layer = af.LinearAttention(i["B"], float(i["V"][0, 0]))
    run = af.simulate(layer, gaussian(i), [float(i["t"])], rtol=1e-12)
    assert run.exact
    assert_golden("linear_attention_second_moment", run.cov[0] + np.outer(run.mean[0], run.mean[0]), floor=ODE)


def test_the_limit_of_softmax_where_keys_oppose_queries():
    """cov(t) = limit + c / t + O(1 / t^2): two times remove the second term, at t = 1e5 the third is below 1e-9."""
    i = inputs("limit_V=I_K=-Q_rank")
    run = af.simulate(af.SoftmaxAttention.from_qk(i["Q"], i["K"], 1.0), gaussian(i), [1e5, 2e5])
    assert_golden("limit_V=I_K=-Q_rank", 2 * run.cov[1] - run.cov[0], floor=1e-9)
    assert run.numerical_rank.tolist() == [3, 3]
