"""Verdicts of `classify` about systems of many families against a long integration that shares no code with it.

ATTNFLOW_SYSTEMS sets how many systems are drawn (default 120; 10000 takes hours). The study itself, with its tables, is
`python -m benchmarks.long_run_study`; a failing system is shown by its option --only FAMILY:INDEX.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

import attnflow as af
from benchmarks import long_run_study
from benchmarks.long_run import closed_form, families, rules
from benchmarks.long_run.cases import Case, one_head
from benchmarks.long_run.referee import follow

SYSTEMS = int(os.environ.get("ATTNFLOW_SYSTEMS", "120"))
SEED = 1


@pytest.mark.parametrize("family", families.NAMES)
def test_no_verdict_contradicts_the_long_integration(family):
    for index in range(max(1, SYSTEMS // len(families.NAMES))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(long_run_study, "BUDGET", 0.5)
            row = long_run_study.row_of(families.case(family, index, SEED))
        assert row["cov_says"] != "contradicts", row
        assert row["mean_says"] != "contradicts", row


def _case(A, V, B, factor) -> Case:
    d = len(A)
    matrices = one_head(np.array(A, dtype=float), V, np.array(B, dtype=float))
    zero = np.zeros(d)
    return Case("by hand", 1, matrices, zero, np.zeros((1, d)), zero, np.array(factor, dtype=float), False)


def test_the_referee_finds_a_blow_up_time_known_by_hand():
    path = follow(_case([[1.0]], 1.0, [[1.0]], [[1.0]]), 10.0, mean=False)
    assert path.blow_up == pytest.approx(np.log(2.0) / 2, rel=1e-8)


def test_the_referee_and_the_closed_form_agree_about_a_turning_covariance():
    case = _case([[0.5, -2.0], [1.0, 0.25]], -1.0, [[1.0, 0.5], [-0.25, 0.75]], [[0.3, 0.0], [-0.2, 0.7]])
    path = follow(case, 7.0, mean=False)
    np.testing.assert_allclose(path.covs[-1], closed_form.at(case, 7.0), rtol=1e-7)


@pytest.mark.parametrize("claimed", [np.diag([2.0, 1.5]), np.zeros((2, 2))])
def test_a_false_limit_is_told_from_the_true_one(claimed):
    case = _case([[1.0, 0.0], [0.0, 0.5]], -1.0, [[0.5, 0.0], [0.0, 0.5]], [[0.3, 0.1], [-0.2, 0.7]])
    verdict = long_run_study.verdict_of(case)
    path = follow(case, rules.horizon(case, verdict), mean=False)
    assert rules.covariance(case, verdict, path).says == "agrees"
    wrong = dataclasses.replace(verdict, covariance_limit=claimed, rank=int(np.linalg.matrix_rank(claimed)))
    assert rules.covariance(case, wrong, path).says == "contradicts"


def test_modes_that_only_rounding_makes_visible_do_not_decide():
    case = families.case("low_rank_scores", 7, 0)  # exactly definite by 1e-17: the flow shows a limit of rank 2
    verdict = long_run_study.verdict_of(case)
    assert verdict.basis != "theorem"
    assert (verdict.covariance, verdict.rank) == ("continuum of limits", 2)


def test_a_trace_that_grows_like_its_square_and_turns_round_is_no_blow_up():
    case = families.case("free_small", 12, 0)
    path = follow(case, 8.0, mean=False, evaluations=12_000)
    assert path.blow_up is None
    assert path.logs.max() - path.logs[0] > np.log(1e10)
    assert path.logs[-1] < path.logs.max()
    assert long_run_study.verdict_of(case).covariance != "finite-time blow-up"


def test_an_eigenvalue_that_falls_for_long_and_then_rests_is_not_left_out_of_the_rank():
    case = families.case("low_rank_scores", 5, 0)  # A = 0 and B of rank 2 in d = 5: the limit has rank 3
    assert np.linalg.matrix_rank(case.matrices.B[0]) == 2
    assert long_run_study.verdict_of(case).rank in (3, None)  # the limit repels: that it is one stays undetermined


def test_a_multiple_eigenvalue_that_rounding_splits_is_not_a_rotation():
    # one Jordan block of size 4 at 1/2 in integer coordinates; computed, its eigenvalues are two complex pairs
    A = np.array([[0.5, 1.0, 0.0, 0.0], [1.0, 0.5, 1.0, 1.0], [1.0, 0.0, 0.5, 1.0], [0.0, -1.0, 0.0, 0.5]])
    nilpotent = A - 0.5 * np.eye(4)
    assert not np.linalg.matrix_power(nilpotent, 4).any()
    assert np.linalg.matrix_rank(nilpotent) == 3
    model = af.Transformer(attention=af.SoftmaxAttention(B=0.5 * np.eye(4), V=-1.0), feedforward=af.Affine(A=A))
    start = af.Gaussian.from_factor(np.zeros(4), np.arange(1.0, 5.0)[:, None])
    verdict = af.classify(model, start, budget=0.5)
    assert verdict.covariance != "rotation", verdict.reason


def test_a_start_that_only_rounds_to_a_repelling_equilibrium_is_not_at_rest():
    root = np.sqrt(11.0)  # cov' = -22 cov + 2 cov^2 rests at 11; root^2 rounds to 11 and is not 11
    assert root**2 == 11.0
    model = af.Transformer(attention=af.SoftmaxAttention(B=np.eye(1), V=1.0), feedforward=af.Affine(A=-11 * np.eye(1)))
    verdict = af.classify(model, af.Gaussian.from_factor(np.zeros(1), np.array([[root]])), budget=0.5)
    assert "at rest" not in verdict.never
    assert verdict.basis == "undetermined"


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_beside_a_separatrix_the_theorem_decides_and_within_rounding_nothing_does(side):
    model = af.Transformer(attention=af.SoftmaxAttention(B=np.eye(1), V=1.0), feedforward=af.Affine(A=-11 * np.eye(1)))

    def verdict(distance: float) -> af.Verdict:
        factor = np.array([[np.sqrt(11.0 * (1.0 + side * distance))]])
        return af.classify(model, af.Gaussian.from_factor(np.zeros(1), factor), budget=0.5)

    assert verdict(1e-9).covariance == ("finite-time blow-up" if side > 0 else "collapse to zero")
    assert verdict(1e-9).basis == "theorem"
    assert verdict(1e-15).basis == "undetermined"
