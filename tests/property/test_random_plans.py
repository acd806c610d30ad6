"""Random pairs of Gaussians, d = 1 to 32, all ranks, ranges and axes, condition numbers to 1e8, replayed in SciPy.

ATTNFLOW_SYSTEMS sets how many pairs are drawn (default 40; 1000 takes some minutes); each pair is known by its index.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

import attnflow as af
from attnflow.measures.bures import bures_wasserstein_squared
from benchmarks.pairs import gaussian_of_rank, pair
from benchmarks.steering import CLOSE, CONDITION, EXACT, error_of

PAIRS = int(os.environ.get("ATTNFLOW_SYSTEMS", "40"))
METHODS = [af.Rotation(), af.ConstantControls(), af.McCann()]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_every_plan_reaches_its_target_by_the_independent_replay(method):
    for index in range(PAIRS):
        found = pair(index)
        plan = af.steer(found.start, found.target, method=method)
        replay = plan.replay(tokens=0)
        note = (index, found.kind, found.condition, plan.status, replay)
        assert plan.status == "reached", note
        assert replay.complete, note
        assert error_of(replay) <= (EXACT if found.condition < CONDITION else CLOSE), note
        assert replay.worst_direction <= (1e-9 if found.condition < CONDITION else 1e-6), note


def test_the_construction_of_the_paper_reaches_its_target_on_the_reference_path_of_every_pair():
    for index in range(PAIRS):
        found = pair(index)
        plan = af.steer(found.start, found.target, method=af.PaperConstruction())
        worst = max(plan.mean_error, plan.cov_error, plan.worst_direction, plan.leftover)
        assert worst <= plan.tolerance, (index, found.kind, plan.reason)
        assert (plan.status == "reached") == (plan.rounding <= plan.tolerance)


def test_every_cost_is_at_least_its_bound():
    for index in range(0, PAIRS, 4):
        found = pair(index, largest=8)
        for method in METHODS:
            plan = af.steer(found.start, found.target, method=method)
            least = float(bures_wasserstein_squared(found.start, found.target))
            assert plan.energy.control >= plan.reachability.price**2 * (1 - 1e-6), (index, found.kind)
            assert plan.energy.kinetic >= least * (1 - 1e-6), (index, found.kind)
            assert plan.energy.error < 1e-6, (index, found.kind, method)


def test_every_mismatch_of_ranks_is_refused():
    rng = np.random.default_rng(5)
    for index in range(PAIRS):
        d = int(rng.integers(1, 33))
        ranks = rng.choice(d + 1, 2, replace=False)
        one, two = (gaussian_of_rank(rng, d, int(r)) for r in ranks)
        with pytest.raises(af.BadInput, match=f"the start has rank {ranks[0]}, the target rank {ranks[1]}"):
            af.steer(one, two)
        assert not af.reachable(one, two), index
