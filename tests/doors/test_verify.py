"""The replay agrees with good runs and finds spoilt ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import attnflow as af
from attnflow import Affine, Depth, Gaussian, SoftmaxAttention, Transformer, simulate

D, TS = 3, (0.0, 1.0)


def layer(seed: int, V=None) -> Transformer:
    rng = np.random.default_rng(seed)
    A, B, matrix = 0.4 * rng.standard_normal((3, D, D))
    return Transformer(SoftmaxAttention(B=B, V=matrix if V is None else V), Affine(A=A, b=rng.standard_normal(D)))


def start() -> Gaussian:
    rng = np.random.default_rng(7)
    return Gaussian.from_factor(rng.standard_normal(D), 0.6 * rng.standard_normal((D, 2)))


MODELS = {
    "matrix V": lambda: layer(1),
    "scalar V": lambda: layer(1, V=-0.7),
    "piecewise": lambda: Depth.piecewise([layer(1, V=-0.7), layer(2)], [0.0, 0.6]),
}


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_good_run_passes(kind):
    found = simulate(MODELS[kind](), start(), TS, rtol=1e-10).verify()
    assert found.complete
    assert found.cov_error < 1e-8
    assert found.mean_error < 1e-8
    np.testing.assert_array_equal(found.ts, TS)


def test_a_short_run_verifies_what_it_has():
    B = np.eye(D) + 0.2 * np.random.default_rng(3).standard_normal((D, D))
    blown = simulate(Transformer(SoftmaxAttention(B=B, V=1.0)), start(), (0.0, 0.01, 50.0))
    assert blown.status == "blow_up"
    found = blown.verify()
    assert found.complete
    assert found.ts.tolist() == [0.0, 0.01]
    assert found.cov_error < 1e-8


@pytest.fixture(scope="module")
def run() -> af.Run:
    return simulate(MODELS["matrix V"](), start(), [0.0, 0.4, 1.0], rtol=1e-10)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_spoilt_mean_is_found_and_the_covariance_is_not_blamed(run, size, place):
    mean = run.mean.copy()
    mean[place, 1] += size
    found = dataclasses.replace(run, mean=mean).verify()
    assert found.mean_error == pytest.approx(size / np.linalg.norm(run.mean, axis=1).max(), rel=1e-2)
    assert found.cov_error < 1e-8


@pytest.mark.parametrize("size", [1e-6, 1e-3])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_spoilt_covariance_is_found_and_the_mean_is_not_blamed(run, size, place):
    factor = run.factor.copy()
    factor[place] *= 1 + size
    found = dataclasses.replace(run, factor=factor).verify()
    assert found.cov_error == pytest.approx(2 * size, rel=1e-2)
    assert found.mean_error < 1e-8


def test_another_model_or_another_start_is_found(run):
    assert dataclasses.replace(run, model=layer(2)).verify().cov_error > 1e-2
    other = Gaussian.from_factor(run.start.mean, 1.1 * np.asarray(run.start.factor))
    assert dataclasses.replace(run, start=other).verify().cov_error > 1e-2


def test_times_that_are_shifted_are_found(run):
    assert dataclasses.replace(run, ts=run.ts + np.array([0.0, 0.01, 0.0])).verify().cov_error > 1e-4


def test_numbers_that_are_not_finite_are_found(run):
    mean = run.mean.copy()
    mean[1, 0] = np.nan
    assert not dataclasses.replace(run, mean=mean).verify().mean_error < 1e-6
