"""Exact decisions: against SymPy's own roots, against constructions whose answer is known, and next to rounding."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from attnflow.asymptotics.rational import (
    Counts,
    axis_chains,
    axis_counts,
    inertia,
    rational,
    restricted,
    to_float,
    unobservable,
    zero_is_the_only_axis_eigenvalue,
)

J = np.array([[0.0, 1.0], [-1.0, 0.0]])


def _sides(roots: list) -> Counts:
    """Which side of the axis roots with 60 digits lie on."""
    right = on = left = 0
    for root, multiplicity in roots:
        real = sympy.re(root)
        if abs(real) < sympy.Float("1e-40"):
            on += multiplicity
        elif real > 0:
            right += multiplicity
        else:
            left += multiplicity
    return Counts(right, on, left)


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_counts_beside_the_axis_are_those_of_the_exact_roots(dim, seed):
    matrix = np.random.default_rng(seed).integers(-2, 3, (dim, dim))
    x = sympy.Symbol("x")
    polynomial = sympy.Matrix(matrix.tolist()).charpoly(x).as_expr()
    factors = sympy.Poly(polynomial, x).sqf_list()[1]
    roots = [(root, power) for factor, power in factors for root in factor.nroots(n=60, maxsteps=200)]
    assert axis_counts(rational(matrix.astype(float))) == _sides(roots)


@pytest.mark.parametrize("seed", range(8))
def test_eigenvalues_on_the_axis_are_found_behind_a_change_of_basis(seed):
    rng = np.random.default_rng(seed)
    blocks = np.zeros((6, 6))
    blocks[:2, :2], blocks[2, 2], blocks[3, 3] = 3 * J, 2.0, -1.0
    blocks[4:, 4:] = [[0.0, 1.0], [0.0, 0.0]]
    basis = np.eye(6) + np.triu(rng.integers(-2, 3, (6, 6)), 1)
    inverse = np.round(np.linalg.inv(basis))
    assert axis_counts(rational(basis @ blocks @ inverse)) == Counts(1, 4, 1)


def test_the_last_bit_of_a_matrix_decides():
    eps = float(np.finfo(float).eps)
    assert inertia(rational(np.array([[1.0, 1.0], [1.0, 1.0]]))) == Counts(1, 1, 0)
    assert inertia(rational(np.array([[1.0, 1.0], [1.0, 1.0 + eps]]))) == Counts(2, 0, 0)
    assert inertia(rational(np.array([[1.0, 1.0], [1.0, 1.0 - eps / 2]]))) == Counts(1, 0, 1)
    assert axis_counts(rational(3 * J + np.diag([eps, 0.0]))) == Counts(2, 0, 0)
    assert axis_counts(rational(3 * J - np.diag([eps, 0.0]))) == Counts(0, 0, 2)


def test_roots_that_mirror_each_other_off_the_axis_are_not_counted_on_it():
    matrix = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 5.0], [0.0, 0.0, 3.0]])
    assert axis_counts(rational(matrix)) == Counts(2, 0, 1)
    fourth_root_of_two = np.array([[0, 0, 0, 2.0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    assert axis_counts(rational(fourth_root_of_two)) == Counts(1, 2, 1)


def test_the_unobservable_subspace_is_the_constructed_one():
    basis = np.array([[1.0, 2.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 1.0]])
    inverse = np.linalg.inv(basis)
    hidden_last = np.zeros((4, 4))
    hidden_last[:2, :2] = [[1.0, 1.0], [0.0, 2.0]]
    hidden_last[2:, 2:] = 2 * J
    seen = np.array([[1.0, 0.0, 0.0, 0.0]]) @ inverse
    A, S = basis @ hidden_last @ inverse, -seen.T @ seen
    found = unobservable(rational(A), rational(S))
    assert found.shape == (4, 2)
    np.testing.assert_allclose(seen @ to_float(found), 0.0, atol=1e-14)
    assert axis_counts(restricted(rational(A), found)) == Counts(0, 2, 0)
    assert not axis_chains(rational(A), found)
    assert not zero_is_the_only_axis_eigenvalue(restricted(rational(A), found))


@pytest.mark.parametrize(
    ("A", "S", "chained"),
    [
        pytest.param(
            np.array([[0.0, 1.0], [0.0, 0.0]]), np.diag([0.0, -2.0]), True, id="the_chain_leaves_the_subspace"
        ),
        pytest.param(np.array([[0.0, 1.0], [0.0, 0.0]]), np.diag([-2.0, 0.0]), False, id="the_chain_is_seen"),
        pytest.param(np.block([[J, np.eye(2)], [np.zeros((2, 2)), J]]), np.zeros((4, 4)), True, id="a_double_pair"),
        pytest.param(
            np.block([[J, np.zeros((2, 2))], [np.zeros((2, 2)), J]]), np.zeros((4, 4)), False, id="semisimple"
        ),
    ],
)
def test_chains_on_the_axis(A, S, chained):
    assert axis_chains(rational(A), unobservable(rational(A), rational(S))) is chained
