"""Tokens beside a run: their distances against other formulas, their floors against many samples."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import norm

import attnflow as af
from attnflow.doors.beside import bures_floor, tokens_beside

START = af.Gaussian.from_moments([0.3, -0.2, 0.5], [[0.9, 0.2, 0.0], [0.2, 0.5, -0.1], [0.0, -0.1, 0.2]])
MODEL = af.Affine(A=[[0.2, -0.6, 0.0], [0.5, -0.1, 0.3], [0.0, 0.2, -0.4]], b=[0.1, 0.0, -0.2])


@pytest.fixture(scope="module")
def run():
    return af.simulate(MODEL, START, [0.0, 0.5, 1.0])


def bures_by_roots(m1, C1, m2, C2):
    root = sqrtm(C2)
    square = np.sum((m1 - m2) ** 2) + np.trace(C1 + C2 - 2 * np.real(sqrtm(root @ C1 @ root)))
    return float(np.sqrt(max(square, 0.0)))


def hermite_cube(count):
    x, w = np.polynomial.hermite_e.hermegauss(count)
    nodes = np.stack(np.meshgrid(x, x, x, indexing="ij"), axis=-1).reshape(-1, 3)
    return nodes, np.einsum("i,j,k->ijk", w, w, w).ravel() / w.sum() ** 3


def test_the_distances_are_those_of_the_tokens_that_were_moved(run):
    found = tokens_beside(run, 300, ts=[0.5, 1.0], seed=3)
    for i, t in enumerate(found.ts):
        x, g = found.points[i], run.at(t)
        spread = np.sqrt(np.trace(g.cov))
        bures = bures_by_roots(x.mean(axis=0), np.cov(x.T, bias=True), np.asarray(g.mean), np.asarray(g.cov))
        assert found.distances["bures"][i] == pytest.approx(bures / spread, rel=1e-6)
        kernel = lambda z, spread=spread: np.exp(-np.sum(np.square(z), axis=-1) / (2 * spread**2))  # noqa: E731
        nodes, weights = hermite_cube(24)
        drawn = nodes @ np.asarray(g.factor).T
        cross = np.mean([weights @ kernel(drawn + np.asarray(g.mean) - y) for y in x])
        square = np.mean(kernel(x[:, None] - x)) - 2 * cross + weights @ kernel(np.sqrt(2) * drawn)
        assert found.distances["mmd"][i] ** 2 == pytest.approx(square, rel=1e-6)


def test_on_the_line_the_sliced_distance_is_the_quantile_distance():
    line = af.simulate(af.Affine(A=[[0.4]]), af.Gaussian.from_moments([1.0], [[0.5]]), [0.0, 1.0])
    found = tokens_beside(line, 500)
    fine = (np.arange(500_000) + 0.5) / 500_000
    at = line.at(found.ts[-1])
    normal = at.mean[0] + np.linalg.norm(at.factor) * norm.ppf(fine)
    exact = np.sqrt(np.mean((np.repeat(np.sort(found.points[-1][:, 0]), 1000) - normal) ** 2))
    assert found.distances["sliced"][-1] == pytest.approx(exact / np.linalg.norm(at.factor), rel=1e-3)


def test_the_floors_are_what_independent_tokens_show(run):
    """Under an affine flow tokens stay independent: their root mean square distance is the floor, at every time."""
    samples = [tokens_beside(run, 200, ts=[0.0, 1.0], seed=seed) for seed in range(60)]
    for name in ("bures", "sliced", "mmd"):
        seen = np.sqrt(np.mean([np.square(found.distances[name]) for found in samples], axis=0))
        assert seen == pytest.approx(samples[0].floors[name], rel=0.12)


def test_the_bures_floor_agrees_with_simulation():
    rng = np.random.default_rng(2)
    squares = []
    for _ in range(300):
        x = np.asarray(START.mean) + rng.standard_normal((500, 3)) @ np.asarray(START.factor).T
        moments = x.mean(axis=0), np.cov(x.T, bias=True)
        squares.append(bures_by_roots(*moments, np.asarray(START.mean), np.asarray(START.cov)) ** 2)
    assert bures_floor(START, 500) == pytest.approx(np.sqrt(np.mean(squares)), rel=0.05)


def test_times_end_before_a_blow_up_and_layers_stay_layers(run):
    assert tokens_beside(run, 20).ts.tolist() == np.linspace(0, 1, 21).tolist()
    start = af.Gaussian.from_moments([0.0], [[0.5]])
    blows = tokens_beside(af.simulate(af.SoftmaxAttention(B=2.0, V=1.0), start, t1=3.0), 30)
    assert blows.ts[-1] == pytest.approx(0.995 * 0.5, rel=1e-6)
    layered = tokens_beside(af.simulate(MODEL, START, layers=4, step=0.25), 30, seed=5)
    x = layered.points[0]
    for i in range(1, 5):
        x = x + 0.25 * (x @ np.asarray(MODEL.A).T + np.asarray(MODEL.b))
        assert layered.points[i] == pytest.approx(x, rel=1e-12)
    assert json.loads(json.dumps(layered.to_dict(), allow_nan=False))["n"] == 30
    assert "Beside(n = 30" in repr(layered)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"n": 1}, "`n` must be a whole number"), ({"n": 3.5}, "`n` must be"), ({"ts": [2.0]}, "`t` = 2 was not reached")],
)
def test_bad_input_is_named(run, change, words):
    with pytest.raises(af.BadInput, match=words):
        tokens_beside(run, **({"n": 10} | change))


def test_a_start_without_spread_is_refused():
    point = af.simulate(MODEL, af.Gaussian.from_factor(np.zeros(3), np.zeros((3, 0))), [0.0, 1.0])
    with pytest.raises(af.BadInput, match="must start with spread"):
        tokens_beside(point, 10)
