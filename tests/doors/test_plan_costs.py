"""The cost table against closed forms that hold when the covariances commute, and the choice in words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import sqrtm

import attnflow as af
from attnflow.doors.steering.costs import WORDS, comparison, explanation

TIME = 1.7
ONE, TWO = np.array([0.6, 1.5, 2.2]), np.array([1.9, 0.4, 2.9])


@pytest.fixture
def commuting(rng):
    """Two Gaussians with the same principal axes and the standard deviations ONE and TWO."""
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    means = rng.normal(size=(2, 3))
    pair = [af.Gaussian.from_factor(m, (axes * s) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]) for m, s in
            zip(means, (ONE, TWO), strict=True)]  # fmt: skip
    return *pair, float(np.sum((means[1] - means[0]) ** 2))


def by_name(plan):
    return {cost.method: cost for cost in comparison(plan)}


def test_costs_are_the_closed_forms_of_commuting_covariances(commuting):
    start, target, way = commuting
    costs = by_name(af.steer(start, target, time=TIME))
    ratio, rates = TWO / ONE, np.log(TWO / ONE)

    def speed(s: float) -> float:
        return float(np.sum(((ratio - 1) / (1 + s * (ratio - 1))) ** 2))

    mccann, rotation, paper = costs["McCann"], costs["Rotation"], costs["PaperConstruction"]
    assert mccann.kinetic == pytest.approx((way + np.sum((TWO - ONE) ** 2)) / TIME, rel=1e-9)
    assert mccann.control == pytest.approx(quad(speed, 0, 1)[0] / TIME, rel=1e-9)
    assert mccann.largest_control == pytest.approx(np.sqrt(max(speed(0.0), speed(1.0))) / TIME, rel=1e-9)
    assert rotation.control == rotation.feedforward == pytest.approx(np.sum(rates**2) / TIME, rel=1e-9)
    assert rotation.kinetic == pytest.approx((way + np.sum(rates * (TWO**2 - ONE**2)) / 2) / TIME, rel=1e-9)
    assert rotation.conditioning == mccann.conditioning == pytest.approx(ratio.max() / ratio.min(), rel=1e-9)
    # with B the inverse of the covariance, V cov B = V and A = 2 G
    assert paper.feedforward == pytest.approx(4 * paper.control, rel=1e-9)
    assert all(cost.error < (1e-11 if cost.method == "PaperConstruction" else 1e-13) for cost in costs.values())


def test_the_least_kinetic_energy_is_the_squared_distance_over_time(rng):
    start, target = (af.Gaussian.from_factor(rng.normal(size=4), rng.normal(size=(4, 4))) for _ in range(2))
    costs = by_name(af.steer(start, target, time=TIME))
    one, two = np.asarray(start.cov), np.asarray(target.cov)
    root = sqrtm(one)
    squared = np.trace(one + two - 2 * np.real(sqrtm(root @ two @ root))) + np.sum((start.mean - target.mean) ** 2)
    assert costs["McCann"].kinetic == pytest.approx(squared / TIME, rel=1e-8)
    assert "kinetic" in costs["McCann"].best
    assert all(cost.kinetic >= costs["McCann"].kinetic for cost in costs.values())


def test_the_plan_comes_first_and_every_cost_has_a_best(commuting):
    start, target, _ = commuting
    costs = comparison(af.steer(start, target, method=af.McCann()))
    assert [cost.method for cost in costs] == ["McCann", "Rotation", "ConstantControls", "PaperConstruction"]
    assert [cost.chosen for cost in costs] == [True, False, False, False]
    for name in WORDS:
        lowest = min(getattr(cost, name) for cost in costs)
        assert {cost.method for cost in costs if name in cost.best} == {
            cost.method for cost in costs if getattr(cost, name) <= lowest * (1 + 1e-6)
        }


def test_the_choice_is_explained_by_what_is_best_at_what(commuting):
    start, target, _ = commuting
    text = explanation(comparison(af.steer(start, target)))
    assert text.startswith("Rotation: the default")
    assert "here least control energy" in text
    assert "McCann has the least kinetic energy" in text


def test_a_plan_of_another_kind_is_compared_with_all_four(commuting):
    import dataclasses

    start, target, _ = commuting
    other = dataclasses.replace(af.steer(start, target), method="AttentionOnly")
    costs = comparison(other)
    assert len(costs) == 5
    assert (costs[0].method, costs[0].chosen, costs[0].remark) == ("AttentionOnly", True, "")
    assert explanation(costs).startswith("AttentionOnly; ")
