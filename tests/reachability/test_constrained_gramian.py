"""The controllability Gramian where it is known, and where it is known to be deficient."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.integrate import quad_vec
from scipy.linalg import expm

from attnflow.reachability.constrained.constraints import AttentionOnly, RunningCost, choice_of
from attnflow.reachability.constrained.gramian import gramian
from attnflow.reachability.constrained.problem import problem_of
from attnflow.reachability.constrained.shooting import Clock, Shooting


def of(constraint, start, target, x=None):
    with jax.enable_x64(True):
        problem = problem_of(choice_of(constraint, len(start)), start, target, 1.0)
        values = np.zeros(problem.unknowns) if x is None else x
        return gramian(Shooting(problem, Clock(60, lambda done: None)), values)


def test_for_a_point_mass_and_a_free_bias_it_is_the_textbook_gramian(rng):
    A, zero = rng.normal(size=(2, 2)), np.zeros((2, 2))
    start, target = rng.normal(size=(2, 1)), np.array([[3.0], [4.0]])
    found = of(RunningCost(lambda t, c, m, S: 0.0, A=A, B=zero, V=zero), start, target)
    textbook, _ = quad_vec(lambda s: expm(A * s) @ expm(A * s).T, 0, 1)
    sizes = np.sqrt(np.linalg.eigvalsh(textbook))[::-1]
    np.testing.assert_allclose(found.singular_values, sizes, rtol=1e-3)  # the target has length 1 in its own units
    assert found.rank == found.dimension == 2
    assert not found.explains


def test_a_mean_at_zero_without_a_bias_lacks_all_directions_of_the_mean(rng):
    start, target = rng.normal(size=(2, 2, 3))
    start[:, 0] = 0.0
    A, B = 0.3 * rng.normal(size=(2, 2, 2))
    found = of(AttentionOnly(A=A, B=B), start, target, 0.1 * rng.normal(size=32))
    assert (found.rank, found.dimension, found.lacking) == (3, 5, 2)
    assert 0.0 < found.held <= 1.0
    assert "cannot move the end state in 2 of 5 directions" in found.text


@pytest.mark.parametrize("r", [1, 2])
def test_the_dimension_is_that_of_the_gaussians_of_the_rank(r, rng):
    start, target = rng.normal(size=(2, 2, r + 1))
    A, B = 0.3 * rng.normal(size=(2, 2, 2))
    found = of(AttentionOnly(A=A, B=B), start, target, 0.1 * rng.normal(size=32))
    assert found.dimension == {1: 4, 2: 5}[r]
    assert len(found.singular_values) == found.dimension
    assert found.rank == found.dimension
    assert "does not explain" in found.text
