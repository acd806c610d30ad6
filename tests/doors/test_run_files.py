"""A run saved and loaded is the same run."""

from __future__ import annotations

import functools
import json

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow import Affine, BadInput, Depth, Gaussian, LowRank, SoftmaxAttention, Transformer, simulate

D, TS = 3, (0.0, 1.0)  # time 0 costs no program


def layer(seed: int, **changes) -> Transformer:
    rng = np.random.default_rng(seed)
    A, B, V = 0.4 * rng.standard_normal((3, D, D))
    head = {"B": B, "V": V, "query_bias": rng.standard_normal(D)} | changes
    return Transformer(SoftmaxAttention(**head), Affine(A=A, b=rng.standard_normal(D)))


def start(rank=2) -> Gaussian:
    rng = np.random.default_rng(7)
    return Gaussian.from_factor(rng.standard_normal(D), 0.6 * rng.standard_normal((D, rank)))


def blowing(seed: int) -> Transformer:
    return layer(seed, B=np.eye(D) + 0.2 * np.random.default_rng(seed).standard_normal((D, D)), V=1.0)


def low_rank(seed: int) -> Transformer:
    rng = np.random.default_rng(seed)
    return layer(seed, B=LowRank(0.5 * rng.standard_normal((D, 1)), rng.standard_normal((1, D))))


RUNS = {
    "matrix V": lambda: simulate(layer(1), start(), TS, seed=3),
    "scalar V": lambda: simulate(layer(1, V=-0.7), start(), TS),
    "low-rank B": lambda: simulate(low_rank(1), start(), TS),
    "piecewise": lambda: simulate(Depth.piecewise([layer(1, V=-0.7), layer(2)], [0.0, 0.6]), start(), TS),
    "interpolated": lambda: simulate(Depth.interpolated([layer(1), layer(2)], [0.0, 1.0]), start(), TS),
    "blow-up": lambda: simulate(blowing(1), start(), (0.0, 0.01, 5.0)),
    "nothing reached": lambda: simulate(blowing(1), start(), (5.0, 6.0)),
    "a point": lambda: simulate(layer(1, V=-0.7), start(0), TS),
}
ARRAYS = ("ts", "mean", "cov", "factor", "requested", "reached", "numerical_rank")
PLAIN = ("status", "blow_up", "rank", "engine", "mean_engine", "exact", "statements", "notes", "stretches", "until")
MORE = ("accepted", "rejected", "seed", "options", "provenance", "description")


@functools.cache
def computed(kind: str) -> af.Run:
    return RUNS[kind]()


@pytest.fixture(params=list(RUNS))
def run(request) -> af.Run:
    return computed(request.param)


def test_every_field_comes_back_to_the_last_bit(run, tmp_path):
    run.save(tmp_path / "run.nc")
    again = af.load(tmp_path / "run.nc")
    assert isinstance(again, af.Run)
    for name in ARRAYS:
        one, two = getattr(run, name), getattr(again, name)
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two, strict=True)
    for name in PLAIN + MORE:
        assert getattr(again, name) == getattr(run, name), name
    assert type(again.status) is af.Status
    np.testing.assert_array_equal(again.start.factor, run.start.factor)


def test_a_loaded_run_answers_between_its_times_as_the_first_one_does(run, tmp_path):
    run.save(tmp_path / "run.nc")
    again = af.load(tmp_path / "run.nc")
    t = 0.7 * run.until
    one, two = run.at(t), again.at(t)
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.factor, two.factor)


def test_the_dictionary_is_json_with_the_fields_of_the_contract(run):
    data = run.to_dict()
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again["schema_version"] == 1
    assert again["status"] == run.status.value
    assert again["requested"] == run.requested.tolist()
    assert again["reached"] == run.reached.tolist()
    np.testing.assert_array_equal(np.asarray(again["cov"]).reshape(run.cov.shape), run.cov)
    np.testing.assert_array_equal(np.asarray(again["mean"]).reshape(run.mean.shape), run.mean)
    assert (again["blow_up"] is None) == (run.blow_up is None)
    if run.blow_up is not None:
        assert again["blow_up"]["basis"] == run.blow_up.basis.value
        assert again["blow_up"]["lower"] <= again["blow_up"]["estimate"] <= again["blow_up"]["upper"]


def test_the_dataset_is_labelled_and_holds_the_problem(run):
    data = run.to_dataset()
    assert data["mean"].dims == ("time", "coord")
    assert data["cov"].dims == ("time", "coord", "coord_")
    assert data["factor"].dims == ("time", "coord", "column")
    assert data["reached"].dims == ("request",)
    np.testing.assert_array_equal(data["time"], run.ts)
    np.testing.assert_array_equal(data["cov"], run.cov)
    assert json.loads(data.attrs["statements"]) == run.statements
    assert json.loads(data.attrs["model"])["kind"] in ("transformer", "piecewise", "interpolated")


def test_a_function_of_depth_is_named_but_does_not_come_back(tmp_path):
    run = simulate(Depth.function(lambda t: SoftmaxAttention(B=jnp.cos(t) * np.eye(D), V=-1.0)), start(), TS)
    run.save(tmp_path / "run.nc")
    again = af.load(tmp_path / "run.nc")
    assert again.model is None
    np.testing.assert_array_equal(again.at(1.0).mean, run.mean[1])
    with pytest.raises(BadInput, match=r"`t` = 0\.7 is not a stored time, and the model of this file is a function"):
        again.at(0.7)
    with pytest.raises(BadInput, match="cannot be replayed"):
        again.verify()


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    run = computed("scalar V")
    with pytest.raises(BadInput, match="nowhere"):
        run.save(tmp_path / "nowhere" / "run.nc")
    with pytest.raises(BadInput, match="there is no such file"):
        af.load(tmp_path / "absent.nc")
