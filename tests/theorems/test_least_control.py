"""The least control: int |G|_F dt is at least the root of the sum of squared angles and half log ratios of variances.

Measured on all constructions and on random controls with scores; attained at rank one and for commuting covariances.
Dropped: the pairing of the variances by size.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

import attnflow as af
from attnflow.reachability.motion import follow

METHODS = [af.Rotation(), af.ConstantControls(), af.McCann(), af.PaperConstruction()]


def generator_length(law, motion, time: float, nodes: int = 400) -> float:
    """int |A + V cov B|_F dt by Gauss-Legendre on pieces."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    total = 0.0
    for t, w in zip(0.5 * time * (points + 1.0), 0.5 * time * weights, strict=True):
        A, B, V, _ = law.controls(float(t))
        cov = motion.factor(t) @ motion.factor(t).T
        total += w * np.linalg.norm(A + V @ cov @ B)
    return total


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize(("d", "r"), [(3, 3), (5, 2)])
def test_no_construction_undercuts_it(method, d, r, rng):
    for _ in range(3):
        start, target = (af.Gaussian.from_factor(np.zeros(d), rng.normal(size=(d, r))) for _ in range(2))
        plan = af.steer(start, target, time=2.0, method=method)
        assert generator_length(plan.law, plan.motion, 2.0) >= plan.reachability.price * (1 - 1e-6)
        if not isinstance(method, af.PaperConstruction):
            assert plan.energy.control >= plan.reachability.price**2 / 2.0 * (1 - 1e-9)


def test_random_controls_with_scores_pay_at_least_the_price_of_where_they_lead(rng):
    from attnflow.reachability.law import Constant, Controls

    tight = 0.0
    for _ in range(20):
        A, B, V = (0.7 * rng.normal(size=(4, 4)) for _ in range(3))
        law = Constant(Controls(A, B, V, rng.normal(size=4)))
        start = af.Gaussian.from_factor(np.zeros(4), 0.6 * rng.normal(size=(4, 2)))
        motion = follow(law, np.zeros(4), np.asarray(start.factor), 0.5).motion
        if motion is None:
            continue
        price = af.reachable(start, af.Gaussian.from_factor(np.zeros(4), motion.factor(0.5))).price
        spent = generator_length(law, motion, 0.5, 60)
        assert spent >= price * (1 - 1e-6)
        tight = max(tight, price / spent)
    assert tight > 0.5


def test_it_is_attained_where_the_covariances_commute_and_at_rank_one():
    start = af.Gaussian.from_factor(np.zeros(3), np.diag([3.0, 2.0, 1.0]))
    target = af.Gaussian.from_factor(np.zeros(3), np.diag([5.0, 1.0, 0.2]))
    plan = af.steer(start, target)
    assert plan.energy.control == pytest.approx(plan.reachability.price**2, rel=1e-10)
    angle, ratio = 1.1, np.log(4.0)

    def rate(t, x):
        a = np.array([np.cos(angle * t), np.sin(angle * t)])
        w = np.array([-a[1], a[0]])
        return (angle * w + ratio * a) * (a @ x)

    end = solve_ivp(rate, (0, 1), [1.0, 0.0], "DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    line = [af.Gaussian.from_factor(np.zeros(2), x) for x in (np.array([1.0, 0.0]), end)]
    spent = quad(lambda t: np.hypot(angle, ratio), 0.0, 1.0)[0]
    assert af.reachable(*line).price == pytest.approx(spent, rel=1e-9)


def test_dropped_hypothesis_variances_that_are_paired_by_axis_are_no_bound():
    """Standard deviations (1e4, 1) to (1, 1e4): stretching each axis costs more than turning by a right angle."""
    big = 1e4
    start = af.Gaussian.from_factor(np.zeros(2), np.diag([big, 1.0]))
    target = af.Gaussian.from_factor(np.zeros(2), np.diag([1.0, big]))
    by_axis = np.sqrt(2.0) * np.log(big)
    plan = af.steer(start, target)
    assert np.sqrt(plan.energy.control) == pytest.approx(np.sqrt(2.0) * np.pi / 2)
    assert np.sqrt(plan.energy.control) < 0.2 * by_axis
    assert plan.reachability.price == 0.0
