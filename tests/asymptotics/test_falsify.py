"""`falsify`: every false statement of the paper that it can express falls, and true ones stand."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import fsolve

import attnflow as af
from attnflow.asymptotics.falsify.conclusions import Conclusion
from attnflow.asymptotics.falsify.evidence import confirmed
from attnflow.asymptotics.falsify.example import NAMES, Example, fractions
from attnflow.asymptotics.falsify.language import parse
from attnflow.asymptotics.falsify.proofs import Case, Proof
from attnflow.asymptotics.falsify.prove import prove
from attnflow.asymptotics.falsify.script import numerical_script, run_script, script_of
from attnflow.asymptotics.falsify.simplify import simplified
from attnflow.doors.long_run.falsify import falsify
from oracles.replay import replay

OPPOSITE = "V < 0, B > 0, Re(spec(A)) > 0"
FALSE = [
    ("V = eta I, S <= 0", "limit of Theorem 4.1"),
    ("V = eta I, S < 0, cov >= 0", "limit of Theorem 4.1"),
    ("V = eta I, S <= 0, A = 0", "zero limit"),
    (OPPOSITE, "positive definite equilibrium"),
    (OPPOSITE, "positive definite limit"),
    (OPPOSITE, "unique positive definite equilibrium"),
    (OPPOSITE, "stable equilibrium"),
    (OPPOSITE, "mean stable"),
    (OPPOSITE, "mean limit"),
    ("V < 0, B > 0, Re(spec(A)) <= 0", "zero limit"),
    ("V < 0, B > 0, Re(spec(A)) < 0", "zero limit"),
    ("V > 0, B > 0, A + A^T >= 0", "mean diverges"),
    ("V = eta I, S <= 0, eta < 0", "mean limit"),
    ("V = eta I, S <= 0, eta > 0", "mean diverges"),
    ("sym(V) < 0, sym(B) > 0", "bounded"),
    ("sym(V) > 0, sym(B) > 0, A + A^T >= 0", "blow-up"),
    ("V = eta I, eta < 0, B + B^T > 0, cov >= 0", "mean limit"),
    ("V = eta I, eta > 0, B + B^T > 0, max(Re(spec(A))) > 0", "no blow-up"),
    ("V = eta I, S <= 0, b = 0", "mean zero or diverges"),
]
C2 = dict(A=[[2, -1], [3, 3]], V=[[-1, 0], [0, -5]], B=[[1, -1], [-1, 4]])
C3 = dict(A=[[1, 1], [-1, 1]], V=[[-1, 0], [0, -8]], B=[[1, 1], [1, 2]])
C3B = dict(A=[[2, -1], [3, 3]], V=[[-1, 0], [0, -5]], B=[[3, -2], [-2, 3]])


def example(A, V, B, cov=((1, 0), (0, 1)), b=(0, 0), mean=(0, 0)) -> Example:
    return Example(**{name: fractions(value) for name, value in zip(NAMES, (A, V, B, cov, b, mean), strict=True)})


def proof_of(claim: str, system: Example) -> Proof | None:
    stated = parse(claim)
    return prove(Case.of(system, stated.conclusion, singular=False), stated.conditions)


@pytest.mark.parametrize(("hypotheses", "conclusion"), FALSE, ids=[f"{h} => {c}" for h, c in FALSE])
def test_a_false_statement_falls(hypotheses: str, conclusion: str):
    found = falsify(hypotheses, conclusion, budget=12.0, seed=1)
    assert found.counterexample is not None, str(found)
    assert found.verified
    assert found.counterexample.basis == "theorem"
    assert np.abs(np.concatenate([getattr(found.counterexample, name).ravel() for name in NAMES])).max() < 100


@pytest.mark.parametrize(
    ("hypotheses", "conclusion"),
    [
        ("V < 0, B > 0, A + A^T <= 0", "zero limit"),
        ("V < 0, B > 0", "bounded"),
        ("V = eta I, S < 0", "positive definite equilibrium, not"),
        ("V > 0, B > 0, A + A^T >= 0", "blow-up"),
    ],
)
def test_a_true_statement_stands_and_its_tightest_case_is_told(hypotheses: str, conclusion: str):
    if conclusion.endswith("not"):
        hypotheses, conclusion = "V = eta I, S < 0, Re(spec(A)) > 0", "positive definite limit"
    found = falsify(hypotheses, conclusion, budget=4.0, seed=1)
    assert found.counterexample is None
    assert not found.verified
    assert found.tried > 100
    assert found.tightest is not None
    assert found.tightest.margin >= 0
    assert "not refuted" in str(found)
    assert "No counterexample" in found.to_latex()
    with pytest.raises(af.BadInput, match="must have a counterexample"):
        found.to_script()


def test_a_limit_cycle_refutes_convergence_exactly():
    proof = proof_of(f"{OPPOSITE} => convergent", example(**C2))
    assert proof is not None
    assert "every equilibrium" in proof.reason
    assert run_script(script_of(parse(f"{OPPOSITE} => convergent"), proof))
    # and the orbit indeed keeps moving
    _, factors = replay(_parameters(C2), np.zeros(2), np.eye(2), [100.0, 101.4, 102.8])
    covs = factors @ np.swapaxes(factors, 1, 2)
    assert np.abs(covs[1] - covs[0]).max() > 0.05


@pytest.mark.parametrize(
    ("claim", "system"),
    [
        (f"{OPPOSITE} => positive definite limit", C2),
        (f"{OPPOSITE} => stable equilibrium", C2),
        (f"{OPPOSITE} => unique positive definite equilibrium", C3),
        (f"{OPPOSITE} => mean stable", C3B),
        (f"{OPPOSITE} => mean limit", C3B),
    ],
)
def test_the_known_counterexamples_are_recognised(claim: str, system: dict):
    proof = proof_of(claim, example(**system))
    assert proof is not None
    assert run_script(script_of(parse(claim), proof))


def test_a_system_that_misses_a_hypothesis_is_no_counterexample():
    assert proof_of("V < 0, B > 0, Re(spec(A)) < 0 => unique positive definite equilibrium", example(**C3)) is None
    assert proof_of(f"{OPPOSITE}, V = eta I => mean limit", example(**C3B)) is None


def test_where_no_equilibrium_is_proved_newton_finds_none():
    """An oracle without our algebra: Newton's method from 400 starts on the two-dimensional equation."""
    found = falsify(OPPOSITE, "positive definite equilibrium", budget=4.0, seed=3).counterexample
    A, V, B = found.A, found.V, found.B

    def residual(x):
        X = np.array([[x[0], x[1]], [x[1], x[2]]])
        half = (A + V @ X @ B) @ X
        return (half + half.T)[np.triu_indices(2)]

    rng, roots = np.random.default_rng(5), 0
    for _ in range(400):
        L = rng.normal(size=(2, 2)) * rng.choice([0.1, 1.0, 3.0])
        x, _, flag, _ = fsolve(residual, (L @ L.T)[np.triu_indices(2)], full_output=True)
        values = np.linalg.eigvalsh([[x[0], x[1]], [x[1], x[2]]])
        roots += flag == 1 and np.abs(residual(x)).max() < 1e-12 and values[0] > 1e-6
    assert roots == 0


def test_the_start_of_an_attractor_tends_to_a_singular_limit():
    found = falsify("V < 0, B > 0, Re(spec(A)) < 0", "zero limit", budget=5.0, seed=0).counterexample
    system = {name: getattr(found, name) for name in ("A", "V", "B")}
    time = 200.0 / np.abs(np.linalg.eigvals(found.A).real).min()
    _, factors = replay(_parameters(system), np.zeros(2), np.linalg.cholesky(found.cov), [time / 2, time])
    covs = factors @ np.swapaxes(factors, 1, 2)
    assert np.trace(covs[1]) > 0.01
    assert np.abs(covs[1] - covs[0]).max() < 1e-6 * np.trace(covs[1])


def test_the_script_runs_without_this_package(tmp_path):
    found = falsify("sym(V) < 0, sym(B) > 0 => bounded", budget=3.0)
    path = tmp_path / "proof.py"
    path.write_text(found.to_script())
    code = f"import runpy, sys; runpy.run_path({str(path)!r}); assert 'attnflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refuted: sym(V) < 0")


def test_a_script_with_other_numbers_fails():
    found = falsify(OPPOSITE, "positive definite equilibrium", budget=4.0, seed=0)
    script = found.to_script()
    assert run_script(script)
    lines = [line if not line.startswith("V = ") else "V = -sp.eye(2)" for line in script.splitlines()]
    assert not run_script("\n".join(lines))


def test_what_is_found_depends_on_the_seed_only():
    first, second = (falsify(*FALSE[2], budget=20.0, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.counterexample.B, second.counterexample.B)


def test_hypotheses_that_exclude_each_other_are_told():
    found = falsify("A > 0, A < 0", "bounded", budget=1.0)
    assert found.tried == 0
    assert found.drawn > 100
    assert "they may exclude each other" in str(found)


def test_an_interrupt_reports_what_was_tried():
    def stop(seconds: float) -> None:
        if seconds > 0.5:
            raise KeyboardInterrupt

    found = falsify("V < 0, B > 0", "bounded", budget=30.0, progress=stop)
    assert found.interrupted
    assert found.tried > 0
    assert found.seconds < 10.0
    assert "interrupted" in str(found)


def test_a_blow_up_in_three_dimensions_rests_on_two_integrations():
    """V and B with definite symmetric parts, the skew parts about one axis, and a third coordinate that decays."""
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 0]])
    system = example(np.zeros((3, 3)), -np.eye(3) / 2 + turn, np.eye(3) / 2 - turn, np.eye(3), np.zeros(3), np.zeros(3))
    words = confirmed(system, Conclusion.BOUNDED)
    # cov = s I on the plane with s' = 2 (1 - 1/4) s^2: infinite at 2/3
    assert words.startswith("the covariance becomes infinite at about t (0.6666")
    claim = parse("sym(V) < 0, sym(B) > 0 => bounded")
    script = numerical_script(claim, Proof(system, words, ()))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "hypotheses checked exactly" in done.stdout
    assert "t = 0.6666" in done.stdout
    assert confirmed(system.replace(V=-np.eye(3), B=np.eye(3)), Conclusion.BOUNDED) is None


def test_simplification_keeps_what_it_is_told_to_keep():
    start = example([[3, 0], [0, 5]], [[-7, 0], [0, -2]], [[4, 1], [1, 9]], [[2, 1], [1, 3]], (1, 2), (3, 4))

    def keeps(system: Example) -> Proof | None:
        return Proof(system, "", ()) if system.A[1, 1] >= 4 and np.any(system.b) else None

    found = simplified(Proof(start, "", ()), keeps, float("inf")).example
    assert found.A.astype(float).tolist() == [[0, 0], [0, 4]]
    assert sorted(map(abs, found.b.astype(float))) == [0, 1]
    assert found.weight < start.weight


def test_the_result_as_json_latex_and_model():
    found = falsify(*FALSE[15], budget=3.0)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["counterexample"]["basis"] == "theorem"
    assert data["conclusion"] == "blow-up"
    assert sp.Matrix(data["counterexample"]["exact"]["V"]).tolist() == sp.Matrix(
        found.counterexample.V
    ).applyfunc(sp.nsimplify).tolist()  # fmt: skip
    assert "\\begin{pmatrix}" in found.to_latex()
    assert "\\operatorname{sym}(V) \\succ 0" in found.to_latex()
    run = af.simulate(found.counterexample.model, found.counterexample.start, t1=5.0)
    assert run.status == "reached_end"


@pytest.mark.parametrize(("name", "value"), [("d", 0), ("d", 7), ("d", 1.5), ("budget", -1.0), ("seed", -3)])
def test_an_option_out_of_range_is_refused(name: str, value: float):
    with pytest.raises(af.BadInput, match=f"`{name}` must be"):
        falsify("V < 0", "bounded", **{name: value})


@pytest.mark.skipif("ATTNFLOW_SYSTEMS" not in os.environ, reason="long: set ATTNFLOW_SYSTEMS")
@pytest.mark.parametrize("seed", range(3))
def test_convergence_falls_by_the_search_alone(seed: int):
    assert falsify(OPPOSITE, "convergent", budget=60.0, seed=seed).verified


def _parameters(system: dict):
    A, V, B = (np.asarray(system[name], dtype=float) for name in ("A", "V", "B"))
    return A, np.zeros(len(A)), [(B, V, None, None)]
