"""`steer`: what it takes, what it refuses, and that no plan misses its target without saying so."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

import attnflow as af
from attnflow.doors.steering.steer import exact_plan, leftover

METHODS = [af.Rotation(), af.ConstantControls(), af.McCann(), af.PaperConstruction()]
NAMES = [type(m).__name__ for m in METHODS]


def pair(rng, d: int = 3, r: int = 2):
    return [af.Gaussian.from_factor(rng.normal(size=d), rng.normal(size=(d, r))) for _ in range(2)]


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_each_method_names_its_plan_and_reaches_the_target(method, rng):
    start, target = pair(rng)
    plan = af.steer(start, target, time=0.5, method=method)
    assert (plan.method, plan.status, plan.basis, plan.time) == (type(method).__name__, "reached", "theorem", 0.5)
    assert max(plan.mean_error, plan.cov_error, plan.worst_direction) < 1e-12
    assert plan.reason.startswith("the target is reached: relative error")


def test_the_default_is_the_rotation_over_the_time_one(rng):
    plan = af.steer(*pair(rng))
    assert (plan.method, plan.time) == ("Rotation", 1.0)


def test_a_start_that_is_its_target_needs_no_control(rng):
    start, _ = pair(rng)
    for method in METHODS:
        plan = af.steer(start, start, method=method)
        assert plan.energy.control < 1e-24
        assert plan.replay(tokens=0).cov_error < 1e-13


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(time=0.0), r"`time` must be positive"),
        (dict(time=-1.0), r"`time` must be positive"),
        (dict(time=np.inf), r"`time` must be"),
        (dict(method="mccann"), r"`method` must be Rotation\(\), ConstantControls\(\), McCann\(\)"),
        (dict(method=af.McCann), r"`method` must be"),
        (dict(tolerance=0.0), r"`tolerance` must be positive"),
        (dict(rtol=2.0), r"`rtol` must be at least 0 and below 1"),
    ],
)
def test_bad_options_are_refused(change, message, rng):
    with pytest.raises(af.BadInput, match=message):
        af.steer(*pair(rng), **change)


def test_bad_ends_are_refused_with_the_reason(rng):
    start, target = pair(rng)
    with pytest.raises(af.BadInput, match=r"share one dimension d: 3 and 4"):
        af.steer(start, pair(rng, 4)[0])
    with pytest.raises(af.BadInput, match=r"rank 2, the target rank 1.*give a target of rank 2"):
        af.steer(start, pair(rng, 3, 1)[0])
    with pytest.raises(af.BadInput, match=r"`start` must be a Gaussian"):
        af.steer(np.eye(3), target)


def test_a_plan_between_covariances_of_condition_1e8_to_1e14_reaches_or_says_missed(rng):
    """The oracle is the replay in SciPy: whatever it finds beyond the tolerance, the status must not call reached."""
    seen = set()
    for exponent in (8, 10, 12, 14):
        for _ in range(6):
            sizes = 10.0 ** -np.linspace(0.0, exponent / 2, 3)
            ends = []
            for _ in range(2):
                factor = np.linalg.qr(rng.normal(size=(3, 3)))[0] * sizes
                cov = factor @ factor.T
                ends.append(af.Gaussian.from_moments(rng.normal(size=3), 0.5 * (cov + cov.T)))
            if not af.reachable(*ends):
                continue
            for method in METHODS[:3]:
                plan = af.steer(*ends, method=method)
                seen.add(str(plan.status))
                if plan.status == "reached":
                    found = plan.replay(tokens=0)
                    assert max(found.mean_error, found.cov_error) < 1e-9
                else:
                    assert "the target is missed" in plan.reason
    assert "reached" in seen


def test_a_direction_that_is_lost_makes_the_status_missed(rng):
    """A plan to another target: the largest variance agrees to 1e-9, the smallest not at all."""
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    start = af.Gaussian.from_factor(np.zeros(3), np.eye(3))
    thin = af.Gaussian.from_factor(np.zeros(3), basis * [1.0, 0.5, 1e-5])
    wrong = af.steer(start, af.Gaussian.from_factor(np.zeros(3), basis * [1.0, 0.5, 2e-5]))
    plan = dataclasses.replace(wrong, target=thin)
    assert plan.cov_error < 1e-9
    assert (plan.status, plan.worst_direction) == ("missed", pytest.approx(3.0, rel=1e-6))
    assert "3.0e+00 in the worst direction" in plan.reason


def test_variances_of_the_start_that_count_as_zero_but_outgrow_the_target_make_it_missed(rng):
    """The second direction, 1/20 of the first, was told not to count; the target is 1e6 times smaller."""
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    start = af.Gaussian.from_factor(np.zeros(3), basis[:, :2] * [1.0, 0.05])
    plan = af.steer(start, af.Gaussian.from_factor(np.zeros(3), 1e-6 * basis[:, 2:]), rtol=0.01)
    assert plan.status == "missed"
    assert "from directions of the start that count as zero" in plan.reason
    assert plan.replay(tokens=0).cov_error == pytest.approx(plan.leftover, rel=1e-6)
    tiny = af.Gaussian.from_factor(np.zeros(3), basis[:, :2] * [1.0, 1e-9])
    large = af.steer(tiny, af.Gaussian.from_factor(np.zeros(3), basis[:, 2:]))
    assert (large.status, large.leftover < 1e-15) == ("reached", True)


def test_what_is_left_over_is_the_flow_map_on_the_hidden_columns(rng):
    start = af.Gaussian.from_factor(np.zeros(3), np.diag([1.0, 1e-3, 0.0])[:, :2])
    target = af.Gaussian.from_factor(np.zeros(3), rng.normal(size=(3, 1)))
    plan = af.steer(start, target, rtol=1e-3)
    assert plan.reachability.ranks == (1, 1)
    M = plan.law.path.between(0.0, 1.0)
    expected = 1e-6 * np.linalg.norm(M[:, 1]) ** 2 / np.linalg.norm(np.asarray(target.cov))
    assert plan.leftover == pytest.approx(expected, rel=1e-9)
    assert leftover(plan.law.path, target, np.asarray(target.factor), target) == 0.0
    again = exact_plan(start, target, 1.0, af.McCann(), plan.reachability, tolerance=1e-6)
    assert again.method == "McCann"


def test_it_computes_in_double_precision_where_jax_does_not():
    """A process with x64 off and float32 inputs of JAX: the plan, its replay and `simulate` keep their digits."""
    code = """
import jax, jax.numpy as jnp, numpy as np, attnflow as af
start = af.Gaussian.from_factor(jnp.array([1.0, 2.0]), jnp.array([[1.0, 0.0], [0.5, 2.0]]))
target = af.Gaussian.from_moments([0.0, 0.0], [[2.0, 0.3], [0.3, 1.0]])
plan = af.steer(start, target)
assert plan.controls(0.5).V.dtype == np.float64
assert plan.replay(tokens=0).cov_error < 1e-12, plan.replay(tokens=0)
run = af.simulate(plan.model, start, ts=[1.0], rtol=1e-10)
assert np.abs(run.cov[-1] - target.cov).max() < 1e-8
assert not jax.config.jax_enable_x64
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
