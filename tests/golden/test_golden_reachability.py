"""Golden plans: the optimal map and its logarithm, a pair of orthogonal ranges, a pair of different ranks."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af
from attnflow.reachability.displacement import transported
from golden import load

METHODS = [af.Rotation(), af.ConstantControls(), af.McCann(), af.PaperConstruction()]


def ends(case) -> tuple[af.Gaussian, af.Gaussian]:
    given = {name: np.array(value, float) for name, value in case["inputs"].items()}
    return tuple(af.Gaussian.from_moments(given[f"mu{i}"], given[f"Sigma{i}"]) for i in (0, 1))


def cases(kind: str):
    return [pytest.param(case, id=case["name"]) for case in load(kind)]


@pytest.mark.parametrize("case", cases("reachability"))
def test_the_optimal_map_its_logarithm_and_the_constant_controls(case):
    start, target = ends(case)
    expected, T = case["expected"], case["inputs"]["T"]
    found = transported(np.asarray(start.factor), np.asarray(target.factor))
    for ours, name in ((found.matrix, "M"), (found.stretch, "log_M")):
        theirs = np.array(expected[name])
        assert np.linalg.norm(ours - theirs) <= case["rtol"] * np.linalg.norm(theirs)
    plan = af.steer(start, target, time=T, method=af.ConstantControls())
    A, B, V, b = plan.controls(0.3)
    np.testing.assert_allclose(A, np.array(expected["log_M"]) / T, rtol=case["rtol"])
    np.testing.assert_array_equal(V, -A)
    np.testing.assert_array_equal(B, 0.0 * A)
    np.testing.assert_allclose(b, np.subtract(case["inputs"]["mu1"], case["inputs"]["mu0"]) / T)
    straight = af.steer(start, target, time=T, method=af.McCann())
    assert straight.energy.kinetic * T == pytest.approx(expected["W2"] ** 2, rel=1e-10)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("case", cases("reachability_property"))
def test_orthogonal_ranges_are_reached_by_a_well_conditioned_map(case, method):
    start, target = ends(case)
    expected = case["expected"]
    plan = af.steer(start, target, time=case["inputs"]["T"], method=method)
    M = plan.law.path.between(0.0, 1.0) if hasattr(plan.law, "path") else None
    if M is not None and not isinstance(method, af.McCann):
        assert np.linalg.det(M) > 0
        assert np.linalg.cond(M) <= expected["max_cond"]
        np.testing.assert_allclose(M @ start.cov @ M.T, target.cov, atol=1e-13)
    replay = plan.replay()
    assert max(replay.mean_error, replay.cov_error) <= expected["end_state_rtol"]


@pytest.mark.parametrize("case", cases("reachability_error"))
def test_different_ranks_are_refused(case):
    start, target = ends(case)
    assert bool(af.reachable(start, target)) == case["expected"]["reachable"]
    with pytest.raises(af.BadInput, match=r"Lemma 3.1"):
        af.steer(start, target, time=case["inputs"]["T"])
