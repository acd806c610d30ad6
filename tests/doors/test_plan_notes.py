"""A plan says what can go wrong with it: rounding, stiffness, attention that tokens cannot follow, its rank rule."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.reachability.law import Controls, Steps

TURN = np.array([[0.6, 0.8], [-0.8, 0.6]])
COV = np.array([[1.0, 0.3], [0.3, 0.5]])


@pytest.fixture
def start():
    return af.Gaussian.from_moments([1.0, 2.0], COV)


def shrunk(scale: float) -> af.Gaussian:
    return af.Gaussian.from_moments([-1.0, 3.0], scale * TURN @ COV @ TURN.T)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-9])
def test_the_status_of_the_papers_plan_covers_what_its_replay_loses(start, scale):
    plan = af.steer(start, shrunk(scale), method=af.PaperConstruction())
    lost = plan.replay(tokens=0).cov_error
    assert lost <= 100 * max(plan.rounding, 1e-13)
    assert plan.status == ("reached" if scale > 1e-6 else "missed")
    if plan.status == "missed":
        assert "double precision" in plan.reason


def test_attention_that_tokens_cannot_follow_is_noted(start):
    assert "logits" in af.steer(start, shrunk(1.0), method=af.PaperConstruction()).notes[-1]
    assert not af.steer(start, shrunk(1.0)).notes


def test_controls_beyond_any_integrator_are_noted(start):
    assert "integrator" in " ".join(af.steer(start, shrunk(1e-16), method=af.McCann()).notes)


def test_a_replay_counts_directions_by_the_rule_of_the_plan():
    line = af.Gaussian.from_factor([0.0, 0.0], [1.0, 0.0])
    plan = af.steer(line, af.Gaussian.from_moments([0.0, 0.0], np.diag([1.0, 1e-8])), rtol=1e-4)
    assert plan.status == "reached"
    assert plan.replay(tokens=0).worst_direction < 1e-9


@pytest.mark.parametrize("seed", [-1, 0.5, True])
def test_a_seed_is_a_whole_number(start, seed):
    with pytest.raises(af.BadInput, match="`seed` must be a whole number"):
        af.steer(start, shrunk(1.0)).replay(seed=seed)


def test_a_stored_plan_of_least_energy_is_the_same_plan(start, tmp_path):
    plan = af.steer(start, shrunk(0.1), constrain=af.LeastEnergy())
    plan.save(tmp_path / "least.nc")
    again = af.load(tmp_path / "least.nc")
    assert again.status == plan.status == "reached"
    np.testing.assert_array_equal(again.controls(0.3).V, plan.controls(0.3).V)
    assert again.notes == plan.notes


def test_a_mean_that_only_comes_close_to_zero_is_within_tolerance(start):
    target = af.Gaussian.from_moments([0.0, 0.0], np.eye(2))
    plan = af.steer(af.Gaussian.from_moments([1.0, 2.0], np.eye(2)), target, constrain=af.AttentionOnly(A=0 * COV))
    assert not plan.details["obstructions"]
    assert plan.status == "reached"


def test_a_thin_target_is_met_in_its_thin_direction_too():
    thin = af.Gaussian.from_moments([-1.0, 2.0], np.diag([1.0, 1e-6]))
    begin = af.Gaussian.from_moments([1.0, 1.0], [[1.0, 0.3], [0.3, 2.0]])
    plan = af.steer(begin, thin, constrain=af.AttentionOnly(A=np.zeros((2, 2))))
    assert (plan.details["ending"] == "reached") == (plan.status == "reached")


def test_given_matrices_that_cannot_do_it_are_no_blow_up():
    begin = af.Gaussian.from_moments([1.0, 1.0], [[1.0, 0.3], [0.3, 2.0]])
    held = af.TimeInvariant(A=np.zeros((2, 2)), V=np.diag([1.0, 0.0]), b=[0.0, 0.0])
    plan = af.steer(begin, af.Gaussian.from_moments([1.0, 2.0], 3 * np.eye(2)), constrain=held)
    assert plan.status == "missed"
    assert "V does not reach all directions" in " ".join(plan.details["obstructions"])


def test_steps_answer_at_a_traced_time(x64):
    law = Steps(np.array([0.0, 0.5, 1.0]), Controls(*np.arange(24.0).reshape(3, 2, 2, 2), np.arange(4.0).reshape(2, 2)))
    compiled = eqx.filter_jit(law.controls)
    for t in (0.2, 0.5, 0.9):
        for traced, plain in zip(compiled(jnp.asarray(t)), law.controls(t), strict=True):
            np.testing.assert_array_equal(traced, plain)
