"""Hypotheses: floats decide where the margin is clear, rational arithmetic where it is not, and nobody above 24."""

import numpy as np
import pytest

from attnflow.asymptotics.hypotheses import ExactSystem, Sign, axis, definite, scalar_value, symmetric
from attnflow.asymptotics.rational import Counts, rational
from attnflow.asymptotics.regime import Held
from attnflow.asymptotics.system import System

EPS = float(np.finfo(float).eps)


def _system(A, V, B) -> System:
    d = len(A)
    V, B = np.reshape(V, (-1, d, d)), np.reshape(B, (-1, d, d))
    return System(np.asarray(A, dtype=float), V, B, np.zeros(d), np.zeros((len(V), d)))


@pytest.mark.parametrize(
    ("matrix", "sign", "held", "exact"),
    [
        (np.array([[2.0, 1.0], [1.0, 3.0]]), Sign.POSITIVE, Held.HOLDS, False),
        (np.array([[2.0, 1.0], [1.0, 3.0]]), Sign.NONPOSITIVE, Held.FAILS, False),
        (np.array([[-4.0, 2.0], [2.0, -1.0]]), Sign.NONPOSITIVE, Held.HOLDS, True),
        (np.array([[-4.0, 2.0], [2.0, -1.0]]), Sign.NEGATIVE, Held.FAILS, True),
        (np.array([[1.0, 1.0], [1.0, 1.0 - EPS / 2]]), Sign.NONNEGATIVE, Held.FAILS, True),
    ],
)
def test_signs_of_matrices(matrix, sign, held, exact):
    found = definite("X", matrix, sign, lambda: rational(matrix))
    assert (found.held, found.exact) == (held, exact)
    assert found.name == f"X {sign.value}"


def test_a_singular_matrix_too_large_for_exact_arithmetic_is_borderline():
    column = np.arange(1.0, 31.0)[:, None]
    found = definite("X", column @ column.T, Sign.NONNEGATIVE, lambda: pytest.fail("no exact arithmetic here"))
    assert found.held is Held.BORDERLINE


def test_symmetry_within_rounding_is_borderline_and_beyond_it_fails():
    matrix = np.array([[1.0, 0.3], [0.3, 2.0]])
    assert symmetric("B", matrix).held is Held.HOLDS
    assert symmetric("B", matrix + np.array([[0.0, EPS], [0.0, 0.0]])).held is Held.BORDERLINE
    assert symmetric("B", matrix + np.array([[0.0, 1e-9], [0.0, 0.0]])).held is Held.FAILS


def test_a_value_matrix_is_a_multiple_of_the_identity_to_the_last_bit_or_not():
    B = np.array([[1.0, 0.5], [0.0, 2.0]])
    assert scalar_value(_system(B, -3.0 * np.eye(2), B)).held is Held.HOLDS
    assert scalar_value(_system(B, -3.0 * np.diag([1.0, 1.0 + EPS]), B)).held is Held.BORDERLINE
    assert scalar_value(_system(B, -3.0 * np.diag([1.0, 1.1]), B)).held is Held.FAILS


def test_a_defective_matrix_is_counted_although_its_computed_eigenvalues_scatter():
    matrix = np.eye(6) * 1e-3 + np.diag(np.ones(5), 1)
    scattered = matrix + 1e-17 * np.eye(6)[::-1]
    found = axis(scattered, lambda: rational(matrix))
    assert found.counts == Counts(6, 0, 0)
    assert axis(np.eye(3) * 0.5 + np.diag(np.ones(2), 1)).counts == Counts(3, 0, 0)


def test_an_eigenvalue_that_rounds_to_the_axis_is_not_taken_to_lie_on_it():
    turning = np.array([[0.0, 2.0], [-2.0, 0.0]])
    assert axis(turning).counts == Counts(0, 2, 0)
    assert axis(turning + np.diag([EPS, 0.0])).counts == Counts(2, 0, 0)
    assert axis(turning).all_left("spec A").held is Held.FAILS
    assert axis(turning).none_right("spec A").held is Held.HOLDS


def test_rest_is_exact():
    A, B = np.array([[1.0, 0.0], [0.0, 2.0]]), np.diag([2.0, 4.0])
    exact = ExactSystem(_system(A, -np.eye(2), B))
    assert exact.is_at_rest(np.diag([0.5, 0.5]))
    assert not exact.is_at_rest(np.diag([0.5, 0.5 + EPS]))
