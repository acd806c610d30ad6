"""Singular starts: the invariant subspace they span, exactly, and what rounding leaves open."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af
from attnflow.asymptotics.carrier import carrier
from attnflow.asymptotics.system import System

INTEGERS = np.array([[-1.0, 0.0, 0.0], [-4.0, 1.0, 0.0], [11.0, -1.0, 2.0]])  # (1, 2, -3) is an eigenvector, value -1
SCORE = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 1.0], [1.0, 0.0, 1.0]])
LINE = np.array([[1.0], [2.0], [-3.0]])


def _system(A, V, B) -> System:
    d = len(A)
    return System(A, np.reshape(V, (1, d, d)), np.reshape(B, (1, d, d)), np.zeros(d), np.zeros((1, d)))


def _model(A, V, B) -> af.Transformer:
    return af.Transformer(attention=af.SoftmaxAttention(B=B, V=V), feedforward=af.Affine(A=A))


def _from(factor) -> af.Gaussian:
    return af.Gaussian.from_factor(np.zeros(len(factor)), factor)


def test_an_eigenvector_spans_a_line_and_a_general_vector_everything():
    found = carrier(_system(INTEGERS, 0.5 * np.eye(3), SCORE), LINE)
    assert found.basis.shape == (3, 1)
    assert not found.near
    np.testing.assert_array_equal(found.basis, LINE)
    assert carrier(_system(INTEGERS, 0.5 * np.eye(3), SCORE), np.ones((3, 1))).basis.shape == (3, 3)


def test_a_value_matrix_that_is_not_scalar_moves_the_range_too():
    V = np.diag([1.0, 2.0, 2.0])
    assert carrier(_system(INTEGERS, V, SCORE), LINE).basis.shape[1] > 1


def test_a_start_within_rounding_of_a_line_is_near_it():
    found = carrier(_system(INTEGERS, 0.5 * np.eye(3), SCORE), 0.1 * LINE)
    assert found.near


def test_a_stable_line_collapses_although_A_is_unstable_beside_it():
    verdict = af.classify(_model(INTEGERS, 0.5, 0.1 * SCORE), _from(0.5 * LINE))
    assert (verdict.covariance, verdict.basis) == (af.Regime.ZERO, "theorem")
    np.testing.assert_array_equal(verdict.covariance_limit, np.zeros((3, 3)))


def test_rounding_beside_an_unstable_direction_gives_no_verdict():
    verdict = af.classify(_model(INTEGERS, 0.5, 0.1 * SCORE), _from(0.1 * LINE))
    assert verdict.basis == "undetermined"
    assert "rounding" in verdict.reason


def test_an_exact_rotation_without_attention_force_grows_by_theorem_and_never_blows_up():
    verdict = af.classify(_model(2 * np.eye(2), -1.0, np.array([[0.0, -1.0], [1.0, 0.0]])), _from([[-0.25], [0.25]]))
    assert (verdict.covariance, verdict.basis) == (af.Regime.EXPONENTIAL, "theorem")
    assert verdict.rate == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("A", "V", "B"),
    [
        (np.array([[1.0, 0.3], [0.0, 0.05]]), np.diag([1.0, 2.0]), np.diag([0.0, 0.01])),  # blows up at 10 ln 3.5
        (np.diag([2.0, 0.1]), np.diag([1.0, 2.0]), np.diag([0.0, 1e-3])),  # blows up at 19.66
    ],
)
def test_growth_that_hides_a_later_blow_up_is_not_called_growth(A, V, B):
    verdict = af.classify(_model(A, V, B), af.Gaussian.from_moments(np.zeros(2), np.eye(2)))
    assert verdict.covariance in (af.Regime.UNDETERMINED, af.Regime.BLOW_UP)


def test_a_small_column_is_not_rounding():
    start = _from(np.diag([1.0, 1e-10]))
    verdict = af.classify(_model(np.diag([-1.0, 1.0]), np.diag([-1.0, -2.0]), np.eye(2)), start)
    np.testing.assert_allclose(verdict.covariance_limit, np.diag([0.0, 0.5]), atol=1e-12)


def test_a_blow_up_bound_that_holds_for_any_V_is_a_theorem():
    V = np.array([[1.0, 0.2], [0.1, 2.0]])
    start = af.Gaussian.from_moments(np.zeros(2), [[0.4, 0.2], [0.2, 0.2]])
    verdict = af.classify(_model(np.zeros((2, 2)), V, np.array([[1.0, 0.25], [0.25, 0.75]])), start)
    assert (verdict.covariance, verdict.basis) == (af.Regime.BLOW_UP, "theorem")
    assert verdict.blow_up.upper <= verdict.blow_up.bounds.upper


def test_equalities_inside_a_subspace_are_decided_for_the_given_floats_or_not_at_all():
    A = np.array([[1.0, -3.0], [2.0, -6.0]])  # A (3, 1) = 0, and S sees that line: the limit is zero, like 1 / t
    system = _system(A, -np.eye(2), np.eye(2))
    inside = carrier(system, np.array([[3.0], [1.0]])).within(system, np.array([[3.0], [1.0]]))
    assert inside.exact
    assert inside.system.A.item() == 0.0
    verdict = af.classify(_model(A, -1.0, np.eye(2)), _from([[3.0], [1.0]]))
    assert (verdict.covariance, verdict.basis) == (af.Regime.ZERO, "theorem")
    rounded = af.classify(_model(A, -1.0, 0.1 * np.eye(2)), _from([[3.0], [1.0]]))  # 0.1 times 10 is rounded
    assert rounded.basis in ("theorem", "undetermined")
    assert rounded.covariance in (af.Regime.ZERO, af.Regime.UNDETERMINED)
