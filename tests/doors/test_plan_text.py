"""A plan in words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import attnflow as af
from attnflow.doors.steering.text import facts, replay_facts


@pytest.fixture
def plan(rng):
    start, target = (af.Gaussian.from_factor(rng.normal(size=3), rng.normal(size=(3, 2))) for _ in range(2))
    return af.steer(start, target, time=2.0)


def test_a_plan_prints_status_energies_and_why(plan):
    lines = dict(line.split("  ", 1) for line in str(plan).splitlines())
    assert lines["status"].strip().startswith("reached: relative error")
    assert "Rotation (theorem), T = 2, d = 3" in lines["plan"]
    assert "rank 2 (Theorem 3.2)" in lines["reachable"]
    assert f"kinetic {plan.energy.kinetic:.6g}" in lines["energies"]


def test_notes_and_details_are_printed_when_they_are_short(plan):
    details = {"seconds": 1.25, "free_rank": 5, "grows": True, "sizes": np.arange(3.0), "many": np.zeros(50), "x": {}}
    rows = facts(dataclasses.replace(plan, notes=("one", "two"), details=details))
    assert (rows["seconds"], rows["free rank"], rows["grows"], rows["sizes"]) == ("1.25", "5", "yes", "0, 1, 2")
    assert (rows["note 1"], rows["note 2"]) == ("one", "two")
    assert not {"many", "x"} & set(rows)


def test_a_missed_target_says_by_how_much(plan):
    wrong = dataclasses.replace(plan, target=af.Gaussian(plan.target.mean, 1.1 * plan.target.factor))
    status = facts(wrong)["status"]
    assert status.startswith("missed: relative error")
    assert "1.7e-01 in the covariance" in status  # 1 - 1 / 1.21


def test_large_plans_print_no_energies_unless_they_are_known():
    rng = np.random.default_rng(0)
    start, target = (af.Gaussian.from_factor(np.zeros(150), rng.normal(size=(150, 1))) for _ in range(2))
    plan = af.steer(start, target)
    assert "energies" not in facts(plan)
    assert plan.energy.kinetic > 0
    assert "energies" in facts(plan)


def test_a_replay_prints_its_errors_and_what_sampling_alone_costs(plan):
    replay = plan.replay(tokens=100)
    rows = replay_facts(replay)
    assert f"{replay.cov_error:.1e} (covariance)" in rows["replay"]
    assert rows["tokens"].startswith("n = 100: ")
    assert "tokens" not in replay_facts(plan.replay(tokens=0))
    stopped = dataclasses.replace(replay, complete=False, time=0.5)
    assert replay_facts(stopped)["replay"].startswith("stopped at t = 0.5 ")
