"""Theorem 4.6 and eq. (4.9), sharpened as Theorem E (docs/theory/definite.md): V > 0, B > 0, both symmetric.

Blow-up before T(alpha, beta, y) = log(1 + alpha / (beta y)) / alpha, with the trace or with the largest eigenvalue
weighted by B, and after the matching lower bounds. Dropped: symmetry of V and B; definiteness of V; a start above the
threshold when alpha < 0.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh
from section4 import flow, system

from golden import load

J = np.array([[0.0, -1.0], [1.0, 0.0]])
E1 = np.array([[1.0, 0.5], [0.5, 1.0]])


def _time(a: float, b: float, y: float) -> float:
    """T(a, b, y): the blow-up time of y' = a y + b y^2."""
    if b <= 0 or 1 + a / (b * y) <= 0:
        return np.inf
    return 1 / (b * y) if abs(a) < 1e-14 else np.log1p(a / (b * y)) / a


def _bounds(one, cov) -> dict[str, float]:
    A, B, V = one.A, one.B, one.value
    d, r = len(A), np.linalg.matrix_rank(cov)
    alpha, smallest = np.linalg.eigvalsh(A + A.T), np.linalg.eigvalsh(V).min() * np.linalg.eigvalsh(B).min()
    a, v = eigh(B @ A + A.T @ B, B, eigvals_only=True), eigh(B @ V + V @ B, B, eigvals_only=True)
    root = np.linalg.cholesky(B)
    top, y = np.linalg.eigvalsh(root.T @ cov @ root).max(), np.trace(cov)
    return {
        "paper": _time(alpha.min(), 2 * smallest / d, y),
        "rank": _time(alpha.min(), 2 * smallest / r, y),
        "trace": _time(alpha.min(), 2 / np.trace(np.linalg.inv(V) @ np.linalg.inv(B)), y),
        "weighted_upper": _time(a.min(), v.min(), top),
        "weighted_lower": _time(a.max(), v.max(), top),
        "norm_lower": _time(
            alpha.max(), 2 * np.linalg.norm(V, 2) * np.linalg.norm(B, 2), np.linalg.eigvalsh(cov).max()
        ),
    }


def _blow_up(one, cov) -> float:
    run = flow(one, cov, [1e-3, 2e-3, 1e2, 2e2])
    assert run.status == "blow_up"
    assert run.blow_up.upper - run.blow_up.lower <= 1e-6 * run.blow_up.upper
    return run.blow_up.estimate


def _definite(rng) -> np.ndarray:
    L = rng.standard_normal((2, 2))
    return L @ L.T + 0.25 * np.eye(2)


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c["name"]) for c in load("blowup_bounds", files=("gaussian.json",))]
)
def test_the_bounds_are_the_golden_ones_and_hold_the_blow_up_between_them(case):
    inputs, expected = case["inputs"], case["expected"]
    one = system(inputs["A"], inputs["B"], inputs["V"])
    cov = np.array(inputs["Sigma0"])
    end, bounds = _blow_up(one, cov), _bounds(one, cov)
    assert end == pytest.approx(expected["T_f"], rel=1e-7)
    names = {"paper": "paper_upper", "trace": "trace_upper_2_over_tr_VinvBinv", "weighted_upper": "Bweighted_upper",
             "weighted_lower": "Bweighted_lower", "norm_lower": "opnorm_lower"}  # fmt: skip
    for ours, theirs in names.items():
        assert bounds[ours] == pytest.approx(expected[theirs], rel=1e-9), ours


@pytest.mark.parametrize("rank", [2, 1])
def test_no_bound_is_violated_by_random_systems_of_any_sign_of_alpha(rank):
    rng = np.random.default_rng(46)
    finite = 0
    for _ in range(25):
        one = system(0.75 * rng.standard_normal((2, 2)), _definite(rng), _definite(rng))
        L = rng.standard_normal((2, rank))
        cov = L @ L.T
        bounds = _bounds(one, cov)
        upper = min(bounds[k] for k in ("paper", "rank", "trace", "weighted_upper"))
        if not np.isfinite(upper):
            continue
        finite += 1
        end = _blow_up(one, cov)
        assert max(bounds["weighted_lower"], bounds["norm_lower"]) <= end * (1 + 1e-6)
        assert end <= upper * (1 + 1e-6)
        assert bounds["rank"] <= bounds["paper"]
    assert finite >= 8


@pytest.mark.parametrize("a", [-0.5, 0.0, 0.75])
def test_the_weighted_bounds_are_equal_to_the_blow_up_time_for_scalar_V_and_A(a):
    one = system(a * np.eye(2), [[2.0, 0.5], [0.5, 1.0]], 0.5)
    end, bounds = _blow_up(one, E1), _bounds(one, E1)
    assert bounds["weighted_lower"] == pytest.approx(end, rel=1e-10)
    assert bounds["weighted_upper"] == pytest.approx(end, rel=1e-10)
    assert bounds["paper"] > 1.05 * end


def test_item_2_with_negative_alpha_the_bound_still_holds_above_the_threshold_and_zero_is_reached_below():
    one = system([[-1.0, 0.5], [-0.5, -1.5]], E1, np.diag([1.0, 2.0]))
    alpha, beta = -3.0, 2 * 1.0 * 0.5 / 2
    assert np.linalg.eigvalsh(one.A + one.A.T).min() == pytest.approx(alpha)
    big = 4.0 * np.eye(2)
    assert np.trace(big) > -alpha / beta
    assert _blow_up(one, big) <= np.log(1 + alpha / (beta * np.trace(big))) / alpha
    run = flow(one, 0.1 * np.eye(2), [5.0, 10.0, 15.0, 20.0])
    assert run.status == "reached_end"
    assert np.trace(run.cov[-1]) < 1e-12


def test_the_sign_pair_does_not_matter_for_the_covariance():
    one, cov = system(0.5 * J, E1, np.diag([1.0, 2.0])), np.diag([1.0, 0.25])
    assert _blow_up(system(one.A, -one.B, -one.V), cov) == pytest.approx(_blow_up(one, cov), rel=1e-8)


def test_dropped_hypothesis_without_symmetry_positive_parts_do_not_suffice():
    """V = B = e I + J: V + V^T > 0, B + B^T > 0, A = 0, and s' = -2 (1 - e^2) s^2 tends to zero."""
    e = 0.5
    one = system(np.zeros((2, 2)), e * np.eye(2) + J, e * np.eye(2) + J)
    run = flow(one, np.eye(2), [1.0, 10.0, 50.0, 100.0])
    assert run.status == "reached_end"
    np.testing.assert_allclose(run.cov[:, 0, 0], 1 / (1 + 2 * (1 - e**2) * run.ts), rtol=1e-6)


def test_dropped_hypothesis_a_semidefinite_V_need_not_blow_up():
    """V = diag(1, 0) from cov = e2 e2^T, which V never sees: the paper's beta is 0 and the bound says nothing."""
    one = system(np.zeros((2, 2)), np.eye(2), np.diag([1.0, 0.0]))
    run = flow(one, np.diag([0.0, 1.0]), [1.0, 10.0, 50.0, 100.0])
    assert run.status == "reached_end"
    np.testing.assert_allclose(run.cov[-1], np.diag([0.0, 1.0]), atol=1e-12)
