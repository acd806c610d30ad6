"""The closed form of the covariance for V = eta I, and its exact blow-up time.

    cov(t) = e^{At} L0 (I - L0^T N(t) L0)^{-1} L0^T e^{A^T t},
    N(t) = int_0^t e^{A^T s} S e^{As} ds,  S = eta (B + B^T),

valid until the first time at which lambda_max(L0^T N(t) L0) = 1. Here the formula is evaluated naively, with N by
Gauss-Legendre quadrature of matrix exponentials, and compared with both the closed-form and the ODE engine.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm, solve_continuous_lyapunov

import attnflow as af


def _weights(A, S, t, nodes: int = 60) -> np.ndarray:
    s, w = np.polynomial.legendre.leggauss(nodes)
    flows = [expm(A * 0.5 * t * (1 + x)) for x in s]
    return sum(0.5 * t * k * E.T @ S @ E for k, E in zip(w, flows, strict=True))


def _formula(A, B, eta, factor, t) -> np.ndarray:
    N = _weights(A, eta * (B + B.T), t)
    EL = expm(A * t) @ factor
    return EL @ np.linalg.solve(np.eye(factor.shape[1]) - factor.T @ N @ factor, EL.T)


def _model(A, B, V) -> af.Transformer:
    return af.Transformer(attention=af.SoftmaxAttention(B=B, V=V), feedforward=af.Affine(A=A))


def _run(A, B, V, factor, ts, **options) -> af.Run:
    return af.simulate(_model(A, B, V), af.Gaussian.from_factor(np.zeros(len(A)), factor), ts=ts, **options)


def _draw(seed: int, d: int, r: int):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((d, d)) / 2, rng.standard_normal((d, d)) / 2, 0.5 * rng.standard_normal((d, r))


@pytest.mark.parametrize("engine", ["closed_form", "factor_ode"])
@pytest.mark.parametrize("eta", [-1.5, 0.25])
@pytest.mark.parametrize(("d", "r"), [(3, 3), (3, 1), (5, 2)])
def test_the_covariance_is_the_formula(d, r, eta, engine):
    A, B, factor = _draw(10 * d + r, d, r)
    run = _run(A, B, eta, factor, [0.5, 1.0], rtol=1e-11, engine=engine)
    for t, cov in zip(run.ts, run.cov, strict=True):
        expected = _formula(A, B, eta, factor, t)
        assert np.linalg.norm(cov - expected) <= 1e-9 * np.linalg.norm(expected)


def test_the_closed_form_is_the_default_for_a_scalar_value_and_rests_on_the_theorem():
    A, B, factor = _draw(3, 3, 2)
    run = _run(A, B, -1.0, factor, [0.5, 1.0])
    assert run.engine == "closed_form"
    assert run.exact


def test_no_term_depends_on_the_skew_part_of_the_scores():
    """Only B + B^T enters the covariance; the mean sees B itself."""
    A, B, factor = _draw(4, 3, 3)
    one, two = (_run(A, X, -1.0, factor, [0.5, 1.0]).cov for X in (B, 0.5 * (B + B.T)))
    np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("engine", ["closed_form", "factor_ode"])
def test_a_crossing_of_even_multiplicity_is_a_blow_up(engine):
    """Two equal eigenvalues reach 1 together: det(I - L0^T N L0) touches 0 without changing its sign."""
    a, beta = 0.25, 0.5
    end = np.log(1 + 2 * a / (2 * beta)) / (2 * a)  # scalar formula with sigma0 = 1
    run = _run(a * np.eye(2), beta * np.eye(2), 1.0, np.eye(2), [0.5 * end, 2 * end], engine=engine)
    assert run.status == "blow_up"
    assert run.blow_up.lower <= end * (1 + 1e-15)
    assert run.blow_up.upper >= end * (1 - 1e-15)
    assert abs(run.blow_up.estimate - end) <= (1e-12 if engine == "closed_form" else 1e-6) * end


@pytest.mark.parametrize("engine", ["closed_form", "factor_ode"])
def test_a_formula_that_recovers_after_the_crossing_is_not_used(engine):
    """S = diag(s, -s) in a rotation: L0^T N L0 = s sin(2 w t) / (2 w) exceeds 1 on an interval and returns below 1.

    At t = pi / w the formula gives a fine positive semidefinite matrix, but the flow ended long before.
    """
    w, s = 1.5, 4.0
    A, B, factor = w * np.array([[0.0, -1.0], [1.0, 0.0]]), 0.5 * np.diag([s, -s]), np.array([[1.0], [0.0]])
    end, late = np.arcsin(2 * w / s) / (2 * w), np.pi / w
    assert np.linalg.eigvalsh(_formula(A, B, 1.0, factor, late)).min() > -1e-12
    run = _run(A, B, 1.0, factor, [0.5 * end, late], engine=engine)
    assert run.status == "blow_up"
    assert run.reached.tolist() == [True, False]
    assert run.blow_up.lower <= end * (1 + 1e-15)
    assert run.blow_up.upper >= end * (1 - 1e-15)


def test_a_crossing_that_is_never_made_is_not_a_blow_up():
    """The same rotation with s / (2 w) = 0.99 < 1: the covariance grows a hundredfold and comes back, for ever."""
    w = 1.5
    A, s, factor = w * np.array([[0.0, -1.0], [1.0, 0.0]]), 0.99 * 2 * w, np.array([[1.0], [0.0]])
    ts = np.pi / w * np.array([0.25, 1.0, 40.25])
    run = _run(A, 0.5 * np.diag([s, -s]), 1.0, factor, ts)
    assert run.status == "reached_end"
    np.testing.assert_allclose(np.trace(run.cov, axis1=1, axis2=2), [100.0, 1.0, 100.0], rtol=1e-8)


@pytest.mark.parametrize("fraction", [0.999, 1.001])
def test_the_basin_of_zero_is_exact_for_a_hurwitz_matrix(fraction):
    """S >= 0, A Hurwitz: no blow-up iff lambda_max(L0^T N_inf L0) < 1 with A^T N + N A = -S; then cov -> 0."""
    A, B, factor = np.array([[-1.0, 3.0], [0.0, -0.5]]), np.array([[1.0, 0.5], [0.0, 0.75]]), np.array([[1.0], [0.5]])
    N = solve_continuous_lyapunov(A.T, -(B + B.T))
    factor = factor * np.sqrt(fraction / (factor.T @ N @ factor).item())
    run = _run(A, B, 1.0, factor, [1.0, 60.0])
    if fraction < 1:
        assert run.status == "reached_end"
        assert run.blow_up is None
        assert np.linalg.norm(run.cov[-1]) < 1e-20
    else:
        assert run.status == "blow_up"


def test_long_times_neither_overflow_nor_lose_the_limit():
    """Unstable A with V = -I: at t = 1000 the limit of Theorem 4.1, the inverse of a Lyapunov solution."""
    A, B = np.array([[0.5, 1.0], [-0.75, 0.25]]), np.array([[1.0, 0.5], [0.0, 0.75]])
    limit = np.linalg.inv(solve_continuous_lyapunov(A.T, B + B.T))
    run = _run(A, B, -1.0, np.array([[1.0, 0.0], [0.5, 0.5]]), [500.0, 1000.0])
    assert run.engine == "closed_form"
    np.testing.assert_allclose(run.cov[-1], limit, rtol=1e-11)


def _integrated(A, B, V, factor, t) -> np.ndarray:
    r = factor.shape

    def rhs(_, y):
        L = y.reshape(r)
        return ((A + V @ L @ L.T @ B) @ L).ravel()

    L = solve_ivp(rhs, (0, t), factor.ravel(), "DOP853", rtol=1e-12, atol=1e-14).y[:, -1].reshape(r)
    return L @ L.T


def test_dropped_hypothesis_a_value_matrix_that_is_no_multiple_of_the_identity():
    A, B, factor = _draw(9, 3, 3)
    V = np.diag([-1.5, -1.0, -0.5])
    run = _run(A, B, V, factor, [0.5, 1.0], rtol=1e-10)
    truth, formula = _integrated(A, B, V, factor, 1.0), _formula(A, B, np.trace(V) / 3, factor, 1.0)
    assert run.engine != "closed_form"
    np.testing.assert_allclose(run.cov[-1], truth, rtol=1e-7, atol=1e-9)
    assert np.linalg.norm(formula - truth) > 1e-2 * np.linalg.norm(truth)


def test_dropped_hypothesis_the_closed_form_cannot_be_forced_on_a_general_value_matrix():
    A, B, factor = _draw(9, 3, 3)
    with pytest.raises(ValueError, match="closed"):
        _run(A, B, np.diag([-1.5, -1.0, -0.5]), factor, [0.5, 1.0], engine="closed_form")
