"""`classify`: the right regime with the right basis on systems whose long run is known, and clear refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

import attnflow as af
from golden import load

J = np.array([[0.0, 1.0], [-1.0, 0.0]])
START = np.array([[0.4, 0.2], [0.2, 0.2]])


def _model(A, V, B, b=None) -> af.Transformer:
    value = V if np.isscalar(V) else np.asarray(V, dtype=float)
    attention = af.SoftmaxAttention(B=np.asarray(B, dtype=float), V=value)
    return af.Transformer(attention=attention, feedforward=af.Affine(A=np.asarray(A, dtype=float), b=b))


def _start(cov=START, mean=None) -> af.Gaussian:
    cov = np.asarray(cov, dtype=float)
    return af.Gaussian.from_moments(np.zeros(len(cov)) if mean is None else mean, cov)


CASES = {
    "C1": (_model([[1, 0], [-2, 1]], -np.diag([1, 3]), np.diag([1, 3])), np.eye(2), "rank", "numerical"),
    "C2": (_model([[2, -1], [3, 3]], -np.diag([1, 5]), [[1, -1], [-1, 4]]), np.eye(2), "cycle", "numerical"),
    "C3": (_model([[1, 1], [-1, 1]], -np.diag([1, 8]), [[1, 1], [1, 2]]), np.eye(2), "positive definite", "numerical"),
    "C4": (_model([[1, -1], [3, -2]], -np.diag([1, 8]), np.eye(2)), np.eye(2), "rank", "numerical"),
    "C4 small": (_model([[1, -1], [3, -2]], -np.diag([1, 8]), np.eye(2)), 0.01 * np.eye(2), "zero", None),
    "C4b": (
        _model([[1, -1], [3, -2]], -np.diag([1, 10]), [[6, -6], [-6, 7]]), np.eye(2), "positive definite", "numerical",
    ),
    "T1": (_model(np.eye(2), -1.0, np.diag([1, 0])), np.eye(2), "exponential", "theorem"),
    "T2": (_model(np.zeros((2, 2)), -1.0, np.diag([1, 0])), START, "continuum", "theorem"),
    "T3": (
        _model(np.block([[np.eye(1), np.zeros((1, 2))], [np.zeros((2, 1)), -J]]), -1.0, np.diag([1, 0, 0])),
        np.diag([1.0, 2.0, 1.0]), "rotation", "theorem",
    ),
    "T4": (_model([[0, 1], [0, 0]], -1.0, np.diag([0, 1])), np.eye(2), "polynomial", "theorem"),
    "T5": (_model([[1, -1], [1, 1]], -1.0, np.eye(2)), np.diag([1.0, 0.0]), "rotation", "theorem"),
    "blow-up, V = I": (_model([[1, 1], [0, 1]], 1.0, np.eye(2)), START, "blow-up", "theorem"),
    "blow-up, V > 0": (_model(J, [[1, 0.25], [0.25, 0.5]], [[1, -0.25], [-0.25, 2]]), START, "blow-up", "theorem"),
    "in the basin": (_model([[-1, 1], [0, -2]], 1.0, np.eye(2)), 0.1 * np.eye(2), "zero", "theorem"),
    "outside it": (_model([[-1, 1], [0, -2]], 1.0, np.eye(2)), 4.0 * np.eye(2), "blow-up", "theorem"),
    "A + A^T <= 0": (_model([[-1, 3], [-3, -0.5]], -np.diag([1, 3]), np.diag([2, 5])), START, "zero", "theorem"),
    "S of both signs": (_model([[-1, 1], [0, -2]], 1.0, np.diag([1, -1])), 0.1 * np.eye(2), "zero", "theorem"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_known_systems(name):
    model, cov, regime, basis = CASES[name]
    verdict = af.classify(model, _start(cov))
    assert regime in verdict.covariance.value
    assert basis is None or verdict.basis == basis


def test_the_limit_cycle_of_c2_comes_with_its_period():
    model, cov, *_ = CASES["C2"]
    verdict = af.classify(model, _start(cov, mean=[1.0, 0.0]))
    assert verdict.period == pytest.approx(5.63996025950015, rel=1e-9)
    assert verdict.covariance_limit is None
    assert verdict.mean in (af.MeanRegime.LIMIT, af.MeanRegime.DIVERGENCE)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in load("classification")])
def test_the_golden_table_of_classifications(case):
    for i, entry in enumerate(case["inputs"]["cases"]):
        verdict = af.classify(_model(entry["A"], entry["eta"], entry["B"]), dim=len(entry["A"]))
        value = verdict.covariance.value
        bounded = "growth" not in value and "blow-up" not in value
        converges = bounded and "rotation" not in value
        settled = converges and "continuum" not in value
        expected = tuple(case["expected"][key][i] for key in ("bounded", "converges", "thm41_form"))
        assert (bounded, converges, settled) == expected, entry["label"]
        assert verdict.basis == "theorem"


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in load("sigma_limit")])
def test_golden_limits_of_the_covariance(case):
    inputs, expected = case["inputs"], case["expected"]
    verdict = af.classify(_model(inputs["A"], inputs["eta"], inputs["B"]), _start(inputs["Sigma0"]))
    wanted = np.array(expected["Sigma_inf"])
    assert np.linalg.norm(verdict.covariance_limit - wanted) <= case["rtol"] * np.linalg.norm(wanted)
    assert (verdict.rank, verdict.basis) == (expected["rank"], "theorem")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in load("mean_limit")])
def test_golden_limits_of_the_mean(case):
    inputs = case["inputs"]
    model = _model(inputs["A"], inputs["eta"], inputs["B"], inputs["b"])
    verdict = af.classify(model, _start(inputs["Sigma0"], mean=inputs["mu0"]))
    assert (verdict.mean, verdict.mean_basis) == ("limit", "theorem")
    np.testing.assert_allclose(verdict.mean_limit, case["expected"]["mu_inf"], rtol=case["rtol"])


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in load("m_infinity")])
def test_golden_generators_at_the_limit(case):
    inputs = case["inputs"]
    verdict = af.classify(_model(inputs["A"], inputs["eta"], inputs["B"]), dim=len(inputs["A"]))
    generator = verdict.system.generator(verdict.covariance_limit)
    np.testing.assert_allclose(generator, np.reshape(case["expected"]["M_inf"], generator.shape), atol=1e-12)


def test_the_golden_blow_up_lies_in_the_bracket_and_within_the_bounds():
    for case in load("blowup_bounds"):
        inputs = case["inputs"]
        verdict = af.classify(_model(inputs["A"], inputs["V"], inputs["B"]), _start(inputs["Sigma0"]))
        time = case["expected"]["T_f"]
        assert verdict.blow_up.lower <= time <= verdict.blow_up.upper
        assert verdict.blow_up.bounds.lower <= time <= verdict.blow_up.bounds.upper


def test_without_a_start_it_speaks_of_all_positive_definite_ones():
    plain = af.classify(_model([[1, 2], [0, -1]], -1.0, [[1, 0.5], [0, 1]]))
    assert (plain.covariance, plain.basis) == (af.Regime.RANK_DEFICIENT, "theorem")
    basin = af.classify(_model([[-1, 1], [0, -2]], 1.0, np.eye(2)))
    assert (basin.covariance, basin.basis) == (af.Regime.ZERO_OR_BLOW_UP, "theorem")
    several = af.classify(_model([[1, 1], [-1, 1]], -np.diag([1, 8]), [[1, 1], [1, 2]]))
    assert (several.covariance, several.basis) == (af.Regime.SEVERAL, "numerical")


def test_a_start_that_is_an_equilibrium_exactly_stays_there():
    verdict = af.classify(_model([[1, 0], [0, 2]], -np.eye(2), np.diag([1, 2])), _start(np.eye(2)))
    assert "Start at rest" in verdict.statement
    np.testing.assert_array_equal(verdict.covariance_limit, np.eye(2))


def test_a_value_matrix_that_is_scalar_within_rounding_is_borderline_and_the_verdict_not_a_theorem():
    V = -np.diag([1.0, 1.0 + 2**-52])
    verdict = af.classify(_model([[1, 2], [0, -1]], V, [[1, 0.5], [0, 1]]), _start())
    assert verdict.basis == "numerical"
    assert "rank" in verdict.covariance.value
    assert any("V = eta I: borderline" in attempt.reason for attempt in verdict.tried)


def test_the_mean_diverges_at_the_stable_covariance_of_c3b():
    model = _model([[2, -1], [3, 3]], -np.diag([1, 5]), [[3, -2], [-2, 3]], [1.0, 2.0])
    verdict = af.classify(model, _start([[0.13, 0.2], [0.2, 0.47]], mean=[1.0, 0.0]))
    np.testing.assert_allclose(verdict.covariance_limit, [[2 / 15, 0.2], [0.2, 7 / 15]], rtol=1e-10)
    assert verdict.mean == "divergence"
    assert max(verdict.equilibrium.mean_spectrum.real) == pytest.approx(-3 + np.sqrt(88) / 3, rel=1e-9)


def test_a_mean_in_the_stable_part_of_an_unstable_equation_is_not_said_to_diverge():
    model = _model(np.diag([1.0, -3.0]), 0.5, -np.eye(2))
    verdict = af.classify(model, _start(np.diag([0.5, 1.0]), mean=[0.0, 1.0]))
    assert verdict.mean != "divergence"
    assert af.classify(model, _start(np.diag([0.5, 1.0]), mean=[1e-3, 1.0])).mean == "divergence"


def test_json_latex_and_words_say_the_same():
    verdict = af.classify(_model([[0.5, 0.25], [0.25, -0.5]], -1.0, [[1, 0.25], [0.25, 0.75]], [1, 2]), _start())
    data = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert data["covariance"]["regime"] == verdict.covariance.value == "rank-deficient limit"
    assert data["mean"]["limit"] == verdict.mean_limit.tolist()
    assert r"\item[covariance] rank-deficient limit (theorem)" in verdict.to_latex()
    assert "rank-deficient limit (theorem)" in str(verdict)
    assert {h["name"] for h in data["covariance"]["hypotheses"]} < set(verdict.margins)
    assert verdict.margins["stability of the limit"] == -data["covariance"]["equilibrium"]["abscissa"] > 0


@pytest.mark.parametrize(
    ("model", "start", "options", "message"),
    [
        (af.Depth.piecewise([_model(J, -1.0, J), _model(J, -1.0, J)], [0.0, 1.0]), None, {}, "constant parameters"),
        ("transformer", None, {}, "`model` must be a layer"),
        (_model(J, -1.0, J), np.eye(2), {}, "`start` must be a Gaussian"),
        (_model(J, -1.0, J), _start(np.eye(3)), {}, "all dimensions must agree"),
        (af.SoftmaxAttention(B=1.0, V=-1.0), None, {}, "`dim` is missing"),
        (_model(J, -1.0, J), None, {"budget": -1.0}, "`budget` must be positive"),
    ],
)
def test_bad_input_is_refused_with_a_remedy(model, start, options, message):
    with pytest.raises(af.BadInput, match=message):
        af.classify(model, start, **options)
