"""`Plan`: its controls, its path, its model and what it says of itself."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af


@pytest.fixture
def plan(rng):
    start = af.Gaussian.from_factor(rng.normal(size=3), rng.normal(size=(3, 2)))
    return af.steer(start, af.Gaussian.from_factor(rng.normal(size=3), rng.normal(size=(3, 2))), time=2.0)


def test_the_ends_of_its_path_are_start_and_target(plan):
    for t, end in ((0.0, plan.start), (2.0, plan.target)):
        np.testing.assert_allclose(plan.at(t).mean, end.mean, atol=1e-14)
        np.testing.assert_allclose(plan.at(t).cov, end.cov, atol=1e-13)
    assert plan.at(1.0).rank == 2


def test_its_path_obeys_the_equations_under_its_controls(plan):
    """cov' and mean' by differences of fourth order against equation (2.6)."""
    t, h = 0.8, 1e-3
    weights = {-2: 1 / 12, -1: -8 / 12, 1: 8 / 12, 2: -1 / 12}
    slope = {"mean": 0.0, "cov": 0.0}
    for k, w in weights.items():
        for name, value in slope.items():
            slope[name] = value + w / h * np.asarray(getattr(plan.at(t + k * h), name))
    A, B, V, b = plan.controls(t)
    mean, cov = np.asarray(plan.at(t).mean), np.asarray(plan.at(t).cov)
    half = (A + V @ cov @ B) @ cov
    np.testing.assert_allclose(slope["cov"], half + half.T, atol=1e-9)
    np.testing.assert_allclose(slope["mean"], V @ (mean + cov @ B @ mean) + A @ mean + b, atol=1e-9)


@pytest.mark.parametrize("t", [-0.1, 2.1, np.nan])
def test_depths_outside_are_refused(plan, t):
    with pytest.raises(af.BadInput, match=r"`t` must"):
        plan.at(t)
    with pytest.raises(af.BadInput, match=r"`t` must"):
        plan.controls(t)


def test_controls_are_copies(plan):
    plan.controls(0.5).b[:] = 7.0
    assert not np.any(plan.controls(0.5).b == 7.0)


def test_a_replay_needs_a_positive_tolerance_and_a_count_of_tokens(plan):
    with pytest.raises(af.BadInput, match=r"`rtol` must be positive"):
        plan.replay(rtol=0.0)
    for tokens in (-1, 2.5):
        with pytest.raises(af.BadInput, match=r"`tokens` must be a whole number"):
            plan.replay(tokens=tokens)


def test_it_shows_itself_in_one_line(plan):
    assert repr(plan).startswith("Plan(reached (theorem), Rotation, d = 3, rank 2, T = 2, error ")


def test_a_longer_time_makes_the_controls_smaller(plan):
    slow = af.steer(plan.start, plan.target, time=20.0)
    assert slow.largest_control == pytest.approx(0.1 * plan.largest_control, rel=1e-9)
    assert slow.energy.control == pytest.approx(0.1 * plan.energy.control, rel=1e-9)
    assert slow.conditioning == pytest.approx(plan.conditioning, rel=1e-9)
