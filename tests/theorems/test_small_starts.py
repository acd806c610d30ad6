"""Small starts (item 3 of Theorem 4.5, made explicit and for all V and B): a Hurwitz A contracts a ball to zero.

With P > 0, A^T P + P A = -Q, q = lambda_min(P^{-1/2} Q P^{-1/2}) and
kappa = sum_h |P^{1/2} V_h P^{-1/2}| |P^{-1/2} B_h P^{-1/2}|, s(t) = lambda_max(P^{1/2} cov P^{1/2}) obeys
s' <= -q s + 2 kappa s^2, so s(0) < q / (2 kappa) tends to zero. Dropped: the size; a Hurwitz A.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov, sqrtm
from section4 import C4, flow, system

import attnflow as af


def _ball(A, heads):
    """P, q, kappa for Q = I, as in the docstring."""
    P = solve_continuous_lyapunov(A.T, -np.eye(len(A)))
    root = np.real(sqrtm(P))
    back = np.linalg.inv(root)
    kappa = sum(np.linalg.norm(root @ V @ back, 2) * np.linalg.norm(back @ B @ back, 2) for V, B in heads)
    return root, np.linalg.eigvalsh(np.linalg.inv(P)).min(), kappa


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_start_in_the_ball_tends_to_zero_below_the_logistic_curve(seed):
    """Two heads without any sign, A far from normal; starts at 99 % of the radius in random directions."""
    rng = np.random.default_rng(seed)
    A = np.array([[-0.5, 4.0, 0.0], [0.0, -0.75, 2.0], [0.03125, 0.0, -1.0]])
    assert np.linalg.eigvals(A).real.max() < 0 < np.linalg.eigvalsh(A + A.T).max()
    heads = [(rng.standard_normal((3, 3)), rng.standard_normal((3, 3))) for _ in range(2)]
    root, q, kappa = _ball(A, heads)
    L = np.linalg.solve(root, rng.standard_normal((3, 3)))
    cov = L @ L.T
    s0 = 0.99 * q / (2 * kappa)
    cov *= s0 / np.linalg.eigvalsh(root @ cov @ root).max()
    model = af.Transformer(attention=[af.SoftmaxAttention(B=B, V=V) for V, B in heads], feedforward=af.Affine(A=A))
    run = af.simulate(
        model, af.Gaussian.from_moments(np.zeros(3), cov), ts=[1.0, 10.0, 100.0, 200.0], engine="factor_ode"
    )
    size = np.array([np.linalg.eigvalsh(root @ c @ root).max() for c in run.cov])
    decay = np.exp(-q * run.ts)
    assert np.all(size <= s0 * decay / (1 - 0.99 * (1 - decay)) * (1 + 1e-6))
    assert size[-1] < 1e-3 * s0


def test_in_one_dimension_the_radius_is_the_exact_threshold():
    """a = -1/2, v = 2, beta = 3: s' = -s + 12 s^2 has its threshold at 1/12 = q / (2 kappa)."""
    one = system([[-0.5]], [[3.0]], 2.0)
    root, q, kappa = _ball(one.A, [(np.array([[2.0]]), one.B)])
    radius = q / (2 * kappa) / root[0, 0] ** 2
    assert radius == pytest.approx(1 / 12, rel=1e-12)
    assert flow(one, [[0.999 * radius]], [100.0]).cov[-1, 0, 0] < 1e-30
    assert flow(one, [[1.001 * radius]], [100.0]).status == "blow_up"


def test_dropped_hypothesis_a_larger_start_goes_elsewhere():
    """C4: inside the ball zero is the limit; the identity, outside, tends to [[0.4, 0.2], [0.2, 0.1]]."""
    root, q, kappa = _ball(C4.A, [(C4.V, C4.B)])
    radius = q / (2 * kappa)
    inside = 0.99 * radius * np.linalg.inv(root @ root)
    ts = [20.0, 40.0, 60.0, 80.0]
    assert np.trace(flow(C4, inside, ts).cov[-1]) < 1e-20
    assert np.linalg.eigvalsh(root @ root).max() > radius
    assert np.trace(flow(C4, np.eye(2), ts).cov[-1]) == pytest.approx(0.5, rel=1e-6)


def test_dropped_hypothesis_without_a_hurwitz_matrix_there_is_no_ball():
    one = system([[0.125]], [[1.0]], -1.0)
    assert flow(one, [[1e-9]], [300.0]).cov[-1, 0, 0] == pytest.approx(0.125, rel=1e-8)
