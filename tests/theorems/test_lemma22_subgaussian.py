"""Lemma 2.2 with explicit constants: E exp(kappa |X_t|^2) stays below twice its start up to the stated time.

Oracle: the mean-field ReLU flow on a trapezoidal grid of the start, integrated by SciPy; nothing is shared with the
package.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import attnflow as af
from attnflow.doors.relu_defect import relu_defect
from attnflow.moments.relu import ReLU
from attnflow.transformer.feedforward import FeedForward

SHARE = np.linspace(0.0, 1.0, 5)


def grid(dim: int, reach: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) and masses of N(0, I); the trapezoidal rule of a Gaussian converges exponentially."""
    axis = np.linspace(-reach, reach, count)
    points = np.array(list(itertools.product(axis, repeat=dim)))
    mass = np.exp(-0.5 * np.sum(points**2, axis=1))
    return points, mass / mass.sum()


def moments_along(A, b, B, V, mean, factor, kappa, last, *, reach, count, relu=True) -> np.ndarray:
    """E_t / E_0 at the shares of `last`."""
    noise, mass = grid(len(mean), reach, count)
    start = mean + noise @ factor.T

    def rate(_, flat):
        x = flat.reshape(start.shape)
        kernel = np.exp(x @ (x @ B.T).T).T * mass  # row: the query x_i, column: the key x_j, weight exp(x_j^T B x_i)
        z = x @ A.T + b
        return ((np.maximum(z, 0) if relu else z) + (kernel @ x / kernel.sum(axis=1, keepdims=True)) @ V.T).ravel()

    ts = last * SHARE
    solved = solve_ivp(rate, (0, last), start.ravel(), "RK45", t_eval=ts, rtol=1e-6, atol=1e-8)
    places = solved.y.T.reshape(len(ts), *start.shape)
    found = np.exp(kappa * np.sum(places**2, axis=2)) @ mass
    return found / found[0]


def random_system(seed: int, dim: int):
    rng = np.random.default_rng(seed)
    A, V, root = (rng.normal(size=(dim, dim)) for _ in range(3))
    cov = root @ root.T / dim + 0.2 * np.eye(dim)
    B = rng.normal(size=(dim, dim))
    B *= 0.04 / (np.linalg.norm(B, 2) * np.linalg.eigvalsh(cov)[-1])
    return A, rng.normal(size=dim), B, V, 0.5 * rng.normal(size=dim), np.linalg.cholesky(cov)


def stated(A, b, B, V, mean, factor):
    model = af.Transformer(attention=af.SoftmaxAttention(B=B, V=V), feedforward=FeedForward(A, b, activation=ReLU()))
    return relu_defect(model, af.Gaussian.from_factor(mean, factor), sharp=False)


@pytest.mark.parametrize(("seed", "dim"), [(0, 1), (1, 1), (2, 2), (3, 2)])
def test_the_moment_stays_below_twice_its_start_for_both_flows(seed, dim):
    problem = random_system(seed, dim)
    found = stated(*problem)
    size = {"reach": 14.0, "count": 401} if dim == 1 else {"reach": 9.0, "count": 31}
    for relu in (True, False):
        ratios = moments_along(*problem, found.kappa, found.time, relu=relu, **size)
        assert ratios[0] == 1.0
        assert np.all(ratios <= 2.0)


@pytest.mark.parametrize("seed", range(6))
def test_the_gaussian_flow_does_not_blow_up_before_the_stated_time(seed):
    A, b, B, V, mean, factor = random_system(10 + seed, 2)
    found = stated(A, b, B, V, mean, factor)
    model = af.Transformer(attention=af.SoftmaxAttention(B=B, V=V), feedforward=af.Affine(A, b))
    run = af.simulate(model, af.Gaussian.from_factor(mean, factor), [found.time])
    assert run.status == "reached_end"


def test_the_stated_time_lies_before_the_blow_up_that_the_printed_proposition_overlooks():
    """The system of the erratum: the Gaussian flow ends at log(1 + 1e5) / 200 while T* is longer."""
    A, B = np.array([[0.0, -100.0], [-100.0, 0.0]]), 1e-3 * np.eye(2)
    found = stated(A, np.zeros(2), B, np.eye(2), np.zeros(2), np.eye(2))
    assert found.basis == "theorem"
    assert 0 < found.time < np.log1p(1e5) / 200


def test_dropped_hypothesis_a_wider_start_has_no_such_moment():
    """kappa >= 4 |B| with 8 |B| lambda_max > 1: E_0 itself is infinite, it grows without end with the box."""
    kappa, cov = 4 * 0.2, 1.0
    boxes = []
    for reach in (5.0, 10.0, 20.0):
        z = np.linspace(-reach, reach, 20_001)
        boxes.append(np.sum(np.exp(kappa * cov * z**2 - 0.5 * z**2)) * (z[1] - z[0]))
    assert boxes[1] > 100 * boxes[0]
    assert boxes[2] > 100 * boxes[1]
    one = stated([[1.0]], [0.0], [[0.2]], [[1.0]], np.array([0.0]), np.array([[1.0]]))
    assert one.time is None
    assert one.basis == "undetermined"
