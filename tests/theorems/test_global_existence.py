"""Global existence: V = V^T >= 0 with B + B^T <= 0, or the mirrored pairs; for V = eta I iff S <= 0.

d/dt tr cov = 2 tr(A cov) + 2 tr(V cov B cov), and the last term is never positive: the trace stays below
e^{lambda_max(A + A^T) t} tr cov(0). Dropped: the symmetry; the sign in one direction; one head of two.
"""

from __future__ import annotations

import numpy as np
import pytest
from section4 import flow, system

import attnflow as af

J = np.array([[0.0, -1.0], [1.0, 0.0]])
A = np.array([[0.25, 1.0], [-0.5, 0.125]])
SEMI = np.array([[1.0, 2.0], [2.0, 4.0]])  # rank 1
SKEWED = SEMI + np.array([[1.0, 0.0], [0.0, 0.0]]) + 3 * J
TS = [1.0, 5.0, 10.0, 20.0]


@pytest.mark.parametrize(("V", "B"), [(SEMI, -SKEWED), (-SEMI, SKEWED), (SKEWED, -SEMI), (-SKEWED, SEMI)])
def test_the_trace_stays_below_the_linear_bound_whatever_the_size_of_the_start(V, B):
    one, top = system(A, B, V), np.linalg.eigvalsh(A + A.T).max()
    for scale in (1.0, 1e4):
        run = flow(one, scale * np.array([[1.0, 0.5], [0.5, 1.0]]), TS)
        assert run.status == "reached_end"
        assert np.all(np.trace(run.cov, axis1=1, axis2=2) <= 2 * scale * np.exp(top * run.ts) * (1 + 1e-6))


def _two_heads(B):
    heads = [af.SoftmaxAttention(B=-SKEWED, V=SEMI), af.SoftmaxAttention(B=B, V=np.diag([1.0, 0.0]))]
    return af.Transformer(attention=heads, feedforward=af.Affine(A=A))


def test_heads_that_qualify_may_be_added():
    start = af.Gaussian.from_moments(np.zeros(2), 100 * np.eye(2))
    run = af.simulate(_two_heads(-np.eye(2) + 2 * J), start, ts=TS, engine="factor_ode")
    assert run.status == "reached_end"
    assert np.trace(run.cov[-1]) <= 200 * np.exp(20 * np.linalg.eigvalsh(A + A.T).max())


def test_dropped_hypothesis_one_head_of_the_wrong_sign_blows_up():
    start = af.Gaussian.from_moments(np.zeros(2), 100 * np.diag([1.0, 1e-4]))
    run = af.simulate(_two_heads(4 * np.eye(2)), start, ts=TS, engine="factor_ode")
    assert run.status == "blow_up"


def test_dropped_hypothesis_symmetric_parts_of_both_signs_do_not_suffice():
    e = 0.5
    run = flow(system(np.zeros((2, 2)), e * np.eye(2) - J, -e * np.eye(2) + J), np.eye(2), TS)
    assert run.status == "blow_up"
    assert run.blow_up.estimate == pytest.approx(1 / (2 * (1 - e**2)), rel=1e-8)


def test_dropped_hypothesis_for_scalar_V_one_positive_direction_of_S_is_enough():
    """S = diag(-2, 2), v = e2: from c v v^T the flow blows up as soon as c > -a / 1 with a = A_22 < 0."""
    one = system(np.diag([1.0, -0.5]), np.diag([-1.0, 1.0]), 1.0)
    assert flow(one, np.diag([0.0, 0.55]), TS).status == "blow_up"
    run = flow(one, np.diag([0.0, 0.45]), TS)
    assert run.status == "reached_end"
    assert run.cov[-1, 1, 1] < 1e-6
