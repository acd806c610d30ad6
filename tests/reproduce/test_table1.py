"""Table 1 on a few systems, its outcomes on trajectories made by hand, and what happens when a claim is wrong."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from attnflow.reproduce.alcalde2026 import table1, table1_systems
from attnflow.reproduce.alcalde2026.table1_flows import (
    WINDOW,
    Ends,
    Flow,
    MeanEnds,
    _ends,
    _mean_ends,
    blowing_flow,
    matrix_flows,
)
from attnflow.reproduce.registry import find, run

COUNTEREXAMPLES = {
    "eta < 0": "T1, T2: Remark 4.2, T3, T4, B = 0",
    "Re spec A > 0": "C1, C2",
    "Re spec A <= 0": "C4, C4b, C5",
    "A + A^T >= 0": "V, B not symmetric",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    return tmp_path_factory.mktemp("table1")


@pytest.fixture(scope="module")
def result(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table1_systems, "GENERIC", 3)
        patch.setattr(table1, "MEANS", 0)
        patch.setattr(table1, "REPLAYED", 1)
        return run(find("alcalde2026/table1"), folder)


def test_every_corrected_claim_holds_on_every_system(result):
    assert not [(check.name, check.value, check.reference) for check in result.checks if not check.ok]
    counted = [check for check in result.checks if "as corrected" in check.name]
    assert len(counted) == 6 + 5
    assert all(check.value == check.reference > 0 for check in counted)


def test_the_printed_claims_fail_on_the_known_counterexamples(result):
    found = {check.name: check.value for check in result.checks if "contradict the printed covariance" in check.name}
    assert len(found) == 6
    for place, names in COUNTEREXAMPLES.items():
        assert [value for name, value in found.items() if place in name and value != "none"] == [names]
    means = [c.value for c in result.checks if "contradict the printed mean" in c.name and c.value != "none"]
    assert means == [
        "B = 0",
        "A + eta I stable, mean and bias zero, Remark 4.9, a circle",
        "mean across the blow-up, mean and bias zero",
    ]


def test_the_files_hold_the_table_the_systems_and_the_checks(result, folder):
    text = (folder / "table1.md").read_text()
    assert text.count("| V ") == 6
    assert "- C2: bounded, no limit" in text
    with xr.open_dataset(folder / "table1.nc") as dataset:
        names = list(dataset.name.values)
        assert {"T1", "T5: singular start", "C1", "C3b", "C5", "generic 0"} <= set(names)
        problem = json.loads(dataset.problem.values[names.index("C4")].item())
        assert problem["A"] == [[1.0, -1.0], [3.0, -2.0]]
        np.testing.assert_allclose(
            json.loads(dataset.last_covariance.values[names.index("C4")].item()), [[0.4, 0.2], [0.2, 0.1]], atol=1e-9
        )
        assert (dataset.blow_up_time > 0).all()
    assert json.loads((folder / "table1.json").read_text())["target"] == "alcalde2026/table1"


def test_a_wrong_claim_is_noticed():
    case = table1_systems._stable_structured()[0]
    flow = Flow(Ends.SINGULAR, np.array([[0.4, 0.2], [0.2, 0.1]]), 0.5)
    wrong = dataclasses.replace(case, corrected=frozenset({Ends.ZERO}), limit=np.zeros((2, 2)), trace=0.4)
    row = table1.Row("row", "p", "c", (wrong,), (flow,), contradict="none")
    checks = [*table1._limits(row), *table1._bounds(row)]
    assert len(checks) == 2
    assert not any(check.ok for check in checks)
    late = dataclasses.replace(flow, ends=Ends.BLOW_UP, blow_up=10.0)
    equal = table1_systems.equal_row(1)[0]
    assert not table1._bounds(table1.Row("row", "p", "c", (equal,), (late,)))[0].ok
    counted = table1.row_checks(table1.Row("row", "p", "c", (wrong,), (late,)))
    assert [check.ok for check in counted[:2]] == [False, False]


def test_each_row_keeps_its_hypotheses():
    for case in table1_systems.drawn("x", 5, lambda rng: table1_systems.opposite_row(True, 1)[0]):
        one = case.problem
        assert np.linalg.eigvalsh(one.V)[-1] < 0 < np.linalg.eigvalsh(one.B)[0]
        assert np.linalg.eigvals(one.A).real.min() >= 0.2 - 1e-12
        assert np.linalg.eigvalsh(one.cov)[0] > 0
    for sign in (-1.0, 1.0):
        for case in table1_systems.scalar_row(sign, 3)[:3]:
            assert np.sign(case.problem.eta) == sign
            assert np.linalg.eigvalsh(case.problem.eta * (case.problem.B + case.problem.B.T))[-1] < 0
    for case in table1_systems.equal_row(4)[:4]:
        assert np.linalg.eigvalsh(case.problem.A + case.problem.A.T)[0] > -1e-12
    for case in table1_systems.mixed_row(6):
        assert np.linalg.eigvalsh(case.problem.A + case.problem.A.T)[0] < 0


T = 100.0 * WINDOW
TURN = np.array([[np.cos(1.3 * T), -np.sin(1.3 * T)], [np.sin(1.3 * T), np.cos(1.3 * T)]]).transpose(2, 0, 1)
SHAPE = np.array([[2.0, 0.5], [0.5, 0.75]])
U = np.array([0.6, -0.8])


@pytest.mark.parametrize(
    ("covs", "ends"),
    [
        (np.exp(-0.5 * T)[:, None, None] * SHAPE, Ends.ZERO),
        ((1 / (1 + 4 * T))[:, None, None] * SHAPE, Ends.ZERO),
        (np.outer(U, U) + np.exp(-0.5 * T)[:, None, None] * SHAPE, Ends.SINGULAR),
        (1e-9 * SHAPE + np.outer(U, U) + 0 * T[:, None, None], Ends.DEFINITE),
        (SHAPE + np.exp(-0.5 * T)[:, None, None] * np.eye(2), Ends.DEFINITE),
        (TURN @ SHAPE @ TURN.transpose(0, 2, 1), Ends.MOVES),
        ((1 + T)[:, None, None] * SHAPE, Ends.GROWS),
        (np.exp(0.1 * T)[:, None, None] * SHAPE, Ends.GROWS),
        (SHAPE + np.exp(-0.05 * T)[:, None, None] * np.eye(2), Ends.OPEN),
        (np.outer(U, U) + np.exp(-0.15 * T)[:, None, None] * SHAPE, Ends.OPEN),
    ],
)
def test_outcomes_of_trajectories_made_by_hand(covs, ends):
    assert _ends(np.asarray(covs), 2.75) is ends


@pytest.mark.parametrize(
    ("means", "ends"),
    [
        (3.0 + np.exp(-0.5 * T)[:, None] * U, MeanEnds.LIMIT),
        (np.exp(0.2 * T)[:, None] * U, MeanEnds.DIVERGES),
        (TURN @ U, MeanEnds.MOVES),
        (np.exp(-0.05 * T)[:, None] * U, MeanEnds.OPEN),
    ],
)
def test_outcomes_of_means_made_by_hand(means, ends):
    assert _mean_ends(np.asarray(means)) is ends


def test_a_blow_up_with_its_mean_by_hand():
    """d = 1: sigma' = 2 v b sigma^2 and mean' = (v + v b sigma) mean: both known."""
    one = table1_systems.problem([[0.0]], 0.5, 2.0, [[0.25]], mean=1.5)
    flow = blowing_flow(one)
    assert flow.ends is Ends.BLOW_UP
    assert flow.blow_up == pytest.approx(2.0, rel=1e-9)
    assert flow.mean_ends is MeanEnds.DIVERGES
    gone = blowing_flow(table1_systems.problem([[-1.0]], 0.5, 2.0, [[0.25]]))
    assert gone.ends is Ends.ZERO


def test_a_flow_is_followed_until_it_settles():
    """sigma' = 2 (a sigma - sigma^2) with a = 0.02 needs longer than its first horizon."""
    (flow,) = matrix_flows([table1_systems.problem([[0.02]], -1.0, 1.0, [[1e-3]], horizon=50.0)])
    assert flow.ends is Ends.DEFINITE
    assert flow.last[0, 0] == pytest.approx(0.02, rel=1e-5)
