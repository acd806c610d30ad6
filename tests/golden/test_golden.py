"""Every golden case through the public interface, at the tolerance that the case states.

Where V is a multiple of the identity the case is run twice, with the scalar and with the matrix. Where an ODE engine
answers, the tolerance is that of the case or ODE_FLOOR, whichever is larger: the run asks for rtol = 1e-12.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import attnflow as af
from golden import load

TIGHT, ODE_FLOOR = 1e-12, 1e-10
#: One case is ill-conditioned (1e6) by design; its note allows this much to an ODE.
ODE_TOLERANCE = {"scalar_near_blowup_1e-6": 1e-7}
EPS = np.finfo(float).eps


def cases(*kinds: str):
    return [pytest.param(case, id=case["name"]) for case in load(*kinds)]


def variants(*kinds: str):
    """The cases, and for V = eta I both ways to give V."""
    out = []
    for case in load(*kinds):
        forms = ("scalar", "matrix") if _eta(case["inputs"]) is not None else ("given",)
        out += [pytest.param(case, form, id=f"{case['name']}-V_{form}") for form in forms]
    return out


def _eta(inputs: dict) -> float | None:
    if "heads" in inputs:
        return None
    if "V" not in inputs:
        return inputs["eta"]
    V = np.array(inputs["V"])
    return float(V[0, 0]) if np.array_equal(V, V[0, 0] * np.eye(len(V))) else None


def model_of(inputs: dict, form: str = "given", b=None) -> af.Transformer:
    A, b = np.array(inputs["A"]), inputs.get("b", b)
    if "heads" in inputs:
        heads = [af.SoftmaxAttention(**{k: np.array(v) for k, v in head.items()}) for head in inputs["heads"]]
    else:
        eta = _eta(inputs)
        V = {"scalar": eta, "matrix": None if eta is None else eta * np.eye(len(A)), "given": inputs.get("V")}[form]
        heads = af.SoftmaxAttention(B=np.array(inputs["B"]), V=V)
    return af.Transformer(attention=heads, feedforward=af.Affine(A=A, b=None if b is None else np.array(b)))


def start_of(inputs: dict) -> af.Gaussian:
    mean = np.array(inputs.get("mu0", np.zeros(len(inputs["A"]))))
    if "L0" in inputs:
        return af.Gaussian.from_factor(mean, np.array(inputs["L0"]))
    return af.Gaussian.from_moments(mean, np.array(inputs["Sigma0"]))


def allowed(case: dict, engine: str, exact: str = "closed_form") -> float:
    floor = 0.0 if engine == exact else ODE_TOLERANCE.get(case["name"], ODE_FLOOR)
    return max(case["rtol"], floor)


def assert_close(value, expected, rtol: float, atol: float = 0.0) -> None:
    value, expected = np.asarray(value), np.asarray(expected, float).reshape(np.shape(value))
    error, size = np.linalg.norm(value - expected), np.linalg.norm(expected)
    assert error <= rtol * size + atol, f"relative error {error / (size or 1):.2e}, allowed {rtol:.1e}"


def final(run, t: float):
    assert run.status == "reached_end"
    assert run.blow_up is None or run.blow_up.upper > t
    assert run.ts[-1] == t
    return run.mean[-1], run.cov[-1]


@pytest.mark.parametrize("case", cases("attention_field"))
def test_attention_at_a_gaussian_is_the_affine_map_of_the_paper(case, x64):
    inputs = case["inputs"]
    head = af.SoftmaxAttention(B=np.array(inputs["B"]), V=np.array(inputs["V"]))
    map_ = head.at_gaussian(af.Gaussian.from_moments(inputs["mu"], inputs["Sigma"]))
    velocity = np.asarray(map_.linear()) @ np.array(inputs["x"]) + np.asarray(map_.offset)
    assert_close(velocity, case["expected"]["value"], case["rtol"])


@pytest.mark.parametrize("case", cases("rhs"))
def test_the_moment_equations_have_the_stated_right_hand_side(case, x64):
    inputs = case["inputs"]
    mean, cov = np.array(inputs["mu"]), np.array(inputs["Sigma"])
    map_ = model_of(inputs).at_gaussian(af.Gaussian.from_moments(mean, cov))
    G, c = np.asarray(map_.linear()), np.asarray(map_.offset)
    assert_close(G @ mean + c, case["expected"]["mudot"], case["rtol"])
    assert_close(G @ cov + cov @ G.T, case["expected"]["Sigmadot"], case["rtol"])


@pytest.mark.parametrize(("case", "form"), variants("sigma_closed_form"))
def test_the_covariance_agrees_with_the_closed_form(case, form):
    inputs, t = case["inputs"], case["inputs"]["t"]
    run = af.simulate(model_of(inputs, form), start_of(inputs), ts=[0.0, t], rtol=TIGHT)
    if form == "scalar":
        assert run.engine == "closed_form"
    _, cov = final(run, t)
    assert_close(cov, case["expected"]["Sigma"], allowed(case, run.engine), case["atol"])


@pytest.mark.parametrize(("case", "form"), variants("trajectory"))
def test_mean_and_covariance_follow_the_trajectory(case, form):
    inputs, t = case["inputs"], case["inputs"]["t"]
    run = af.simulate(model_of(inputs, form), start_of(inputs), ts=[0.0, t], rtol=TIGHT)
    mean, cov = final(run, t)
    assert_close(mean, case["expected"]["mu"], allowed(case, run.mean_engine), case["atol"])
    assert_close(cov, case["expected"]["Sigma"], allowed(case, run.engine), case["atol"])


@pytest.mark.parametrize(("case", "form"), variants("trajectory"))
def test_the_default_tolerance_is_enough_for_six_digits(case, form):
    inputs, t = case["inputs"], case["inputs"]["t"]
    mean, cov = final(af.simulate(model_of(inputs, form), start_of(inputs), ts=[0.0, t]), t)
    assert_close(mean, case["expected"]["mu"], 1e-6)
    # A covariance that has died out is absolute zero for an ODE: its tolerance is relative to the start.
    assert_close(cov, case["expected"]["Sigma"], 1e-6, 1e-12 * np.linalg.norm(start_of(inputs).cov))


def _blow_up(case: dict, form: str, rtol: float):
    inputs, T_f = case["inputs"], case["expected"]["T_f"]
    run = af.simulate(model_of(inputs, form), start_of(inputs), ts=[0.5 * T_f, 1.5 * T_f], rtol=rtol)
    assert run.status == "blow_up"
    assert run.reached.tolist() == [True, False]
    assert run.ts.tolist() == [0.5 * T_f]
    end = run.blow_up
    assert end.lower <= end.estimate <= end.upper
    assert end.lower <= T_f * (1 + 2 * EPS), f"{end.lower} is not below {T_f}"  # T_f itself is rounded
    assert end.upper >= T_f * (1 - 2 * EPS), f"{end.upper} is not above {T_f}"
    return run, abs(end.estimate - T_f) / T_f


def _finite(case) -> bool:
    return math.isfinite(float(case.values[0]["expected"]["T_f"]))


BLOW_UPS = variants("blowup_time", "blowup_bounds")


@pytest.mark.parametrize(("case", "form"), [c for c in BLOW_UPS if _finite(c)])
def test_the_blow_up_time_is_bracketed_and_accurate(case, form):
    run, error = _blow_up(case, form, TIGHT)
    assert error <= allowed(case, run.engine)


@pytest.mark.parametrize(("case", "form"), [c for c in BLOW_UPS if _finite(c)])
def test_the_blow_up_time_has_six_digits_at_the_default_tolerance(case, form):
    run, error = _blow_up(case, form, 1e-8)
    assert error <= (max(1e-10, case["rtol"]) if run.engine == "closed_form" else 1e-6)


@pytest.mark.parametrize(("case", "form"), [c for c in BLOW_UPS if not _finite(c)])
def test_no_blow_up_is_reported_where_there_is_none(case, form):
    run = af.simulate(model_of(case["inputs"], form), start_of(case["inputs"]), ts=[0.0, 200.0])
    assert run.status == "reached_end"
    assert run.blow_up is None


@pytest.mark.parametrize(("case", "form"), variants("figure1"))
def test_figure_1_reaches_its_targets(case, form):
    inputs, expected = case["inputs"], case["expected"]
    model = model_of(inputs, form, b=expected["b"])
    mean, cov = final(af.simulate(model, start_of(inputs), ts=[0.0, inputs["T"]], rtol=TIGHT), inputs["T"])
    assert_close(mean, expected["mu_T"], 0.0, 1e-9)
    assert_close(cov, expected["Sigma_T"], case["rtol"], case["atol"])
    assert_close(cov, expected["Sigma_inf"], case["rtol"], case["atol"])
    assert_close(mean, inputs["mu_target"], 0.0, 1e-6)


def _settled(inputs: dict) -> float:
    """A time after which exp(-2 gamma t), gamma the distance of A's spectrum to the imaginary axis, is below 1e-15."""
    return float(np.ceil(18.0 / np.abs(np.linalg.eigvals(np.array(inputs["A"])).real).min()))


@pytest.mark.parametrize(("case", "form"), variants("sigma_limit"))
def test_the_covariance_settles_at_the_limit_of_theorem_4_1(case, form):
    inputs, t = case["inputs"], _settled(case["inputs"])
    run = af.simulate(model_of(inputs, form), start_of(inputs), ts=[0.0, t], rtol=TIGHT)
    _, cov = final(run, t)
    assert_close(cov, case["expected"]["Sigma_inf"], allowed(case, run.engine), case["atol"])
    assert run.rank == len(inputs["A"])


@pytest.mark.parametrize(("case", "form"), variants("mean_limit"))
def test_the_mean_settles_at_its_limit(case, form):
    inputs, t = case["inputs"], 60.0
    run = af.simulate(model_of(inputs, form), start_of(inputs), ts=[0.0, t], rtol=TIGHT)
    mean, cov = final(run, t)
    assert_close(mean, case["expected"]["mu_inf"], allowed(case, run.mean_engine), case["atol"])
    assert_close(cov, np.atleast_2d(case["expected"]["Sigma_inf"]), 0.0, 1e-12)
