"""A plan saved and loaded is the same plan, its controls to the last bit."""

from __future__ import annotations

import dataclasses
import json

import equinox as eqx
import numpy as np
import pytest
import xarray as xr
from scipy.integrate import solve_ivp
from typing_extensions import override

import attnflow as af
from attnflow.doors.steering.dataset import replay_dict
from attnflow.files.laws import PIECES
from attnflow.reachability.law import AbstractLaw, Controls, Steps
from attnflow.reachability.motion import AlongPath, follow

D, TIME = 3, 1.3
METHODS = (af.Rotation(), af.ConstantControls(), af.McCann(), af.PaperConstruction())
PLAIN = ("status", "reason", "method", "basis", "time", "tolerance", "leftover", "reachability", "notes", "details")


def pair(rank: int) -> list[af.Gaussian]:
    rng = np.random.default_rng(5 + rank)
    return [af.Gaussian.from_factor(rng.normal(size=D), rng.normal(size=(D, rank))) for _ in range(2)]


def optimised(law: AbstractLaw) -> af.Plan:
    """A plan as an optimisation leaves it: any law, with the motion that SciPy finds."""
    plan = af.steer(*pair(2), time=TIME)
    motion = follow(law, np.asarray(plan.start.mean), np.asarray(plan.start.factor), TIME).motion
    return dataclasses.replace(plan, law=law, motion=motion, method="AttentionOnly", basis=af.Basis.NUMERICAL)


def steps() -> Steps:
    rng = np.random.default_rng(3)
    A, B, V = 0.4 * rng.normal(size=(3, 5, D, D))
    return Steps(np.array([0.0, 0.2, 0.5, 0.9, 1.0, TIME]), Controls(A, B, V, rng.normal(size=(5, D))))


def saved(plan: af.Plan, folder) -> af.Plan:
    plan.save(folder / "plan.nc")
    return af.load(folder / "plan.nc")


def assert_same(one: af.Plan, two: af.Plan) -> None:
    for name in PLAIN:
        assert getattr(one, name) == getattr(two, name), name
    assert type(two.basis) is af.Basis
    for t in np.linspace(0.0, TIME, 8):
        for left, right in zip(one.controls(t), two.controls(t), strict=True):
            np.testing.assert_array_equal(left, right, strict=True)
        np.testing.assert_array_equal(one.at(t).mean, two.at(t).mean)
        np.testing.assert_array_equal(one.at(t).factor, two.at(t).factor)
    for name in ("start", "target"):
        np.testing.assert_array_equal(getattr(one, name).factor, getattr(two, name).factor, strict=True)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_every_construction_comes_back_to_the_last_bit(method, rank, tmp_path):
    plan = af.steer(*pair(rank), time=TIME, method=method)
    assert_same(plan, saved(plan, tmp_path))


def test_a_loaded_plan_replays_like_the_first_one(tmp_path):
    plan = af.steer(*pair(2), time=TIME)
    one, two = plan.replay(tokens=64), saved(plan, tmp_path).replay(tokens=64)
    assert one.tokens == two.tokens
    assert (one.mean_error, one.cov_error) == (two.mean_error, two.cov_error)
    assert two.cov_error < 1e-9


def test_controls_on_stretches_come_back_with_the_motion_that_follows_them(tmp_path):
    plan = dataclasses.replace(optimised(steps()), details={"iterations": 7, "values": np.arange(3.0), "worst": np.inf})
    again = saved(plan, tmp_path)
    assert again.law.jumps == plan.law.jumps
    assert again.details == {"iterations": 7, "values": [0.0, 1.0, 2.0], "worst": None}
    assert_same(dataclasses.replace(plan, details=again.details), again)
    assert again.status == "missed"


def test_the_stored_controls_lead_where_the_plan_says(tmp_path):
    """The file alone, without this package: SciPy on the equation of the paper with the stored A, B, V, b."""
    plan = af.steer(*pair(3), time=TIME, method=af.ConstantControls())
    plan.save(tmp_path / "plan.nc")
    with xr.open_dataset(tmp_path / "plan.nc") as data:
        A, B, V, b = (data[name][0].to_numpy() for name in ("A", "B", "V", "b"))
        mean, cov, depth = data["mean"].to_numpy(), data["cov"].to_numpy(), data["depth"].to_numpy()
        assert data["cov"].dims == ("depth", "coord", "coord_")

    def rate(t, y):
        m, S = y[:D], y[D:].reshape(D, D)
        G = A + V @ S @ B
        return np.concatenate([G @ m + V @ m + b, (G @ S + S @ G.T).ravel()])

    found = solve_ivp(
        rate, (0, TIME), np.concatenate([mean[0], cov[0].ravel()]), "DOP853", depth, rtol=1e-11, atol=1e-12
    )
    np.testing.assert_allclose(found.y[:D].T, mean, atol=1e-8)
    np.testing.assert_allclose(found.y[D:].T.reshape(-1, D, D), cov, atol=1e-8)
    np.testing.assert_allclose(cov[-1], plan.target.cov, atol=1e-12)


class Wobbling(AbstractLaw):
    """A law that no file knows."""

    A: np.ndarray
    shift: object = eqx.field(static=True)

    @override
    def controls(self, t):
        return Controls(self.A * np.cos(self.shift(t)), 0.1 * self.A, -0.2 * self.A.T, np.full(D, np.sin(t)))

    @override
    def model(self):
        raise NotImplementedError


def test_an_unknown_law_is_stored_by_pieces_and_says_so(tmp_path):
    plan = optimised(Wobbling(np.random.default_rng(1).normal(size=(D, D)), lambda t: 2 * t))
    again = saved(plan, tmp_path)
    assert isinstance(again.law, Steps)
    assert again.notes == (
        f"a law of the kind Wobbling cannot be stored: these are {PIECES} pieces of constant controls",
    )
    assert not isinstance(again.motion, AlongPath)
    middle = TIME * 40.5 / PIECES
    for one, two in zip(plan.controls(middle), again.controls(middle), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-13)
    np.testing.assert_allclose(again.end.cov, plan.end.cov, rtol=0, atol=1e-3)
    assert not np.array_equal(again.end.cov, plan.end.cov)


def test_the_dictionary_is_json_with_controls_and_energies():
    plan = af.steer(*pair(2), time=TIME)
    data = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    assert (data["schema_version"], data["kind"], data["status"], data["method"]) == (1, "plan", "reached", "Rotation")
    assert data["energy"]["kinetic"] == plan.energy.kinetic
    assert np.shape(data["V"]) == (65, D, D)
    np.testing.assert_array_equal(data["V"][32], plan.controls(TIME / 2).V)
    np.testing.assert_array_equal(data["cov"][-1], plan.at(TIME).cov)
    assert data["reachability"]["ranks"] == [2, 2]
    replay = json.loads(json.dumps(replay_dict(plan.replay(tokens=32)), allow_nan=False))
    assert replay["tokens"]["n"] == 32
    np.testing.assert_allclose(replay["end"]["cov"], plan.target.cov, atol=1e-9)


def test_large_plans_hold_fewer_depths():
    rng = np.random.default_rng(0)
    start, target = (af.Gaussian.from_factor(np.zeros(160), rng.normal(size=(160, 2))) for _ in range(2))
    assert af.steer(start, target).to_dataset().sizes["depth"] == 33


def test_a_file_with_controls_of_a_later_version_is_refused(tmp_path):
    plan = af.steer(*pair(1))
    data = plan.to_dataset()
    data.attrs["law"] = json.dumps({"kind": "Spline"})
    from attnflow.files.results import write_dataset

    write_dataset(data, tmp_path / "plan.nc")
    with pytest.raises(af.BadInput, match="Spline was found; upgrade attnflow"):
        af.load(tmp_path / "plan.nc")


def test_a_file_with_neither_run_nor_plan_says_what_it_holds(tmp_path):
    from attnflow.files.results import write_dataset

    write_dataset(xr.Dataset(attrs={"kind": json.dumps("comparison")}), tmp_path / "other.nc")
    with pytest.raises(af.BadInput, match="must hold a run, a plan or a diagnosis: a comparison was found"):
        af.load(tmp_path / "other.nc")


def test_controls_that_lead_nowhere_are_found_out_when_they_are_followed(tmp_path):
    growing = Controls(np.zeros((D, D)), np.eye(D), 40.0 * np.eye(D), np.ones(D))
    law = Steps(np.array([0.0, TIME]), Controls(*(part[None] for part in growing)))
    plan = af.steer(*pair(2), time=TIME)
    broken = dataclasses.replace(plan, law=law, motion=optimised(steps()).motion)
    again = saved(broken, tmp_path)
    with pytest.raises(af.BadInput, match="could be followed up to t = 0"):
        _ = again.status
