"""Proposition 2.3 compares up to T*, a time of the ReLU flow alone; the Gaussian flow may have ended before.

Quadrature: the ReLU flow with softmax attention on a weighted Gauss-Hermite grid. E_t stays far below 2 E_0 (so T* of
Lemma 2.2 lies beyond), while the Gaussian flow blows up at log(1 + 1e5) / 200. The statement needs t < min(T*, T_f).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from section4 import flow, system

A, SCORE = np.array([[0.0, -100.0], [-100.0, 0.0]]), 1e-3
END = np.log1p(1e5) / 200


def _moments_of_the_relu_flow(ts) -> np.ndarray:
    """E_t = mean of exp(kappa |x|^2), kappa = 4 |B|, at the times ts."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    points = np.array([[x, y] for x in nodes for y in nodes])
    mass = np.outer(weights, weights).ravel() / (2 * np.pi)

    def rhs(_, y):
        x = y.reshape(points.shape)
        kernel = np.exp(SCORE * x @ x.T) * mass
        return (np.maximum(x @ A.T, 0.0) + kernel @ x / kernel.sum(axis=1, keepdims=True)).ravel()

    sol = solve_ivp(rhs, (0.0, ts[-1]), points.ravel(), "RK45", t_eval=ts, rtol=1e-6, atol=1e-8)
    squares = np.sum(sol.y.T.reshape(len(ts), *points.shape) ** 2, axis=2)
    return np.exp(4 * SCORE * squares) @ mass


def test_the_gaussian_flow_ends_while_the_relu_flow_is_still_sub_gaussian():
    one = system(A, SCORE * np.eye(2), 1.0)
    run = flow(one, np.eye(2), [0.05, 0.06])
    assert run.status == "blow_up"
    assert run.blow_up.estimate == pytest.approx(END, rel=1e-9)
    moments = _moments_of_the_relu_flow(np.linspace(0.0, END, 6))
    assert moments[0] == pytest.approx(1 / (1 - 8 * SCORE), rel=1e-9)
    assert moments.max() == pytest.approx(1.1585, abs=0.01)
    assert moments.max() < 2 * moments[0]
    assert 1 / (8 * SCORE) > 1.0  # lambda_max(cov(0)) < 1 / (8 |B|): the hypothesis holds
