"""A running cost whose least value is known: the kinetic energy of McCann's plan, the least control energy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.doors.steering.constrained import constrained_plan
from attnflow.measures.distances import bures_wasserstein
from attnflow.measures.gaussian import Gaussian
from attnflow.reachability.constrained.constraints import LeastEnergy, RunningCost
from attnflow.reachability.obstruction import reachable

ONE = Gaussian(np.array([0.5, -1.0]), np.array([[1.0, 0.0], [0.4, 0.6]]))
TWO = Gaussian(np.array([1.5, 0.3]), np.array([[0.5, 0.2], [-0.3, 1.4]]))


def planned(constraint, **options):
    return constrained_plan(ONE, TWO, 2.0, constraint, reachable(ONE, TWO), tolerance=1e-6, **options)


def kinetic(t, controls, mean, cov):
    G = controls.A + controls.V @ cov @ controls.B
    moved = G @ mean + controls.V @ mean + controls.b
    return jnp.trace(G @ cov @ G.T) + moved @ moved


def test_the_least_kinetic_energy_is_the_squared_wasserstein_distance_over_time():
    plan = planned(RunningCost(kinetic))
    least = float(bures_wasserstein(ONE, TWO)) ** 2 / 2.0
    replay = plan.replay(tokens=0)
    assert max(replay.mean_error, replay.cov_error) < 1e-8
    assert least <= plan.details["cost"] <= 1.005 * least
    assert plan.details["cost"] < plan.details["cost_before"]
    assert plan.energy.kinetic == pytest.approx(plan.details["cost"], rel=1e-9)


def test_the_least_feedforward_energy_without_attention_is_the_least_control_energy():
    zero = np.zeros((2, 2))
    plan = planned(RunningCost(lambda t, controls, mean, cov: jnp.sum(controls.A**2), V=zero, B=zero))
    least = planned(LeastEnergy()).details["energy"]
    assert least * (1 - 1e-9) <= plan.details["cost"] <= 1.005 * least
    assert plan.details["cost"] == pytest.approx(plan.energy.feedforward, rel=1e-9)
    np.testing.assert_array_equal(plan.controls(1.3).V, zero)


@pytest.mark.parametrize(
    "cost",
    [
        lambda t, controls, mean, cov: mean,
        lambda t, controls, mean, cov: jnp.log(-jnp.trace(cov)),
        lambda t, controls, mean, cov: float(cov[0, 0]),
        lambda t: 0.0,
    ],
)
def test_a_cost_that_is_no_number_is_refused(cost):
    with pytest.raises(BadInput, match="`cost` must be"):
        planned(RunningCost(cost))


def test_a_cost_that_is_no_function_is_refused():
    with pytest.raises(BadInput, match="`cost` must be a function"):
        planned(RunningCost(3.0))
    with pytest.raises(BadInput, match="`stretches` must be"):
        planned(RunningCost(kinetic, stretches=0))
