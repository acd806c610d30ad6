"""What the door of constrained steering refuses, and what it says when a target is missed."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.doors.steering.constrained import constrained_plan
from attnflow.measures.gaussian import Gaussian
from attnflow.reachability.constrained.constraints import AttentionOnly, TimeInvariant
from attnflow.reachability.obstruction import reachable

A = np.array([[0.2, -0.4], [0.1, 0.3]])
B = np.array([[0.5, 0.2], [-0.3, 0.7]])
ONE = Gaussian(np.array([0.5, -1.0]), np.array([[1.0, 0.0], [0.4, 0.6]]))
TWO = Gaussian(np.array([1.5, 0.3]), np.array([[0.5, 0.2], [-0.3, 1.4]]))


def planned(constraint, one=ONE, two=TWO, horizon=1.0, **options):
    return constrained_plan(one, two, horizon, constraint, reachable(one, two), tolerance=1e-6, **options)


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (TimeInvariant(A=A, B=B, V=A, b=np.zeros(2)), "`constrain` must leave something to choose: A, B, V and b"),
        (TimeInvariant(A=A, V=np.zeros((2, 2)), b=np.zeros(2)), "V = 0, so that B has no effect"),
        (AttentionOnly(A=np.eye(3)), r"`A` must have shape \(2, 2\)"),
        (AttentionOnly(A=A, b=np.zeros(3)), r"`b` must have shape \(2,\)"),
        (AttentionOnly(A=None), "`A` must be given"),
        (TimeInvariant(B=[[np.nan, 0], [0, 1]]), "`B` must be finite"),
        ("attention only", "`constrain` must be AttentionOnly"),
    ],
)
def test_it_refuses_before_any_work(constraint, message):
    begun = time.monotonic()
    with pytest.raises(BadInput, match=message):
        planned(constraint)
    assert time.monotonic() - begun < 2.0


@pytest.mark.parametrize(("option", "value"), [("budget", 0.0), ("budget", np.inf), ("seed", -1), ("seed", 0.5)])
def test_it_refuses_options_that_make_no_sense(option, value):
    with pytest.raises(BadInput, match=f"`{option}` must be"):
        planned(AttentionOnly(A=A), **{option: value})


def test_given_parameters_that_blow_up_are_refused():
    with pytest.raises(BadInput, match="blows up"):
        planned(TimeInvariant(A=A, B=np.eye(2), V=np.eye(2)), horizon=50.0)


def test_a_miss_says_how_far_and_why():
    one = Gaussian(np.zeros(2), ONE.factor)
    plan = planned(AttentionOnly(A=A, B=B), one=one, budget=20.0)
    assert plan.status == "missed"
    assert "missed" in plan.reason
    assert plan.details["ending"] == "exhausted"
    assert plan.details["obstructions"] == ["with b = 0 a mean that is 0 stays 0"]
    assert plan.details["gramian"]["explains"]
    assert plan.details["distance"] > 0.1
    assert any("proved" in note for note in plan.notes)
    assert np.all(np.isfinite(plan.end.cov))
    json.dumps(plan.details)


def test_a_small_budget_keeps_the_best_plan():
    plan = planned(AttentionOnly(A=A, B=B), budget=1e-6)
    assert plan.status == "missed"
    assert plan.details["ending"] == "budget"
    assert plan.replay(tokens=0).complete


def test_an_interrupt_keeps_the_best_plan():
    calls = []

    def progress(seconds):
        calls.append(seconds)
        if len(calls) == 12:
            raise KeyboardInterrupt

    plan = planned(AttentionOnly(A=A, B=B), progress=progress)
    assert plan.details["ending"] == "interrupted"
    assert plan.replay(tokens=0).complete
    assert any("interrupted" in note for note in plan.notes)


def test_one_seed_gives_one_plan():
    plans = [planned(AttentionOnly(A=A, B=B), seed=3) for _ in range(2)]
    np.testing.assert_array_equal(plans[0].controls(0.4).V, plans[1].controls(0.4).V)
