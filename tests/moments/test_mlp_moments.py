"""Moments of two-layer networks at a Gaussian and at a mixture, against sums over the plane of the network itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

import attnflow as af
from attnflow.measures.mixture import Mixture
from attnflow.moments import activated
from attnflow.moments.activated import Activated
from attnflow.moments.by_quadrature import SiLU, Tanh, TanhGELU
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU
from golden import HERE

CASES = {case["name"]: case for case in json.loads((HERE / "activations.json").read_text())["cases"]}
SMOOTH = [GELU, TanhGELU, Tanh, SiLU, Erf]
D, HIDDEN = 3, 8


def plane(nodes: int = 901) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) and weights (n,) of a trapezoidal rule for two independent standard normal numbers."""
    x = np.linspace(-9.0, 9.0, nodes)
    w = np.exp(-0.5 * x**2) / np.exp(-0.5 * x**2).sum()
    return np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2), np.outer(w, w).ravel()


def summed(function, mean, factor, rule):
    """Mean, covariance and Cov(y, x) of y = function(x) by the rule in the two-dimensional range of the factor."""
    z, w = rule
    x = mean + z @ factor.T
    y = function(x)
    center = w @ y
    y, x = y - center, x - w @ x
    return center, (y.T * w) @ y, (y.T * w) @ x


def network(rng, activation, *, scale: float = 1.0) -> dict:
    draw = rng.standard_normal
    W1 = scale * draw((HIDDEN, D))
    W1[1], W1[2], W1[3] = 0.998 * W1[0], -W1[0], 0.0  # nearly collinear, opposite and dead neurons
    return {"W1": W1, "b1": draw(HIDDEN), "W2": draw((D, HIDDEN)), "b2": draw(D), "activation": activation()}


def forward(p: dict, x: np.ndarray, *, residual: bool = False) -> np.ndarray:
    y = p["activation"](x @ p["W1"].T + p["b1"]) @ p["W2"].T + p["b2"]
    return x + y if residual else y


def assert_moments(found, wanted, tolerance: float) -> None:
    for name, value in zip(("mean", "cov", "cross"), wanted, strict=True):
        error = np.linalg.norm(getattr(found, name) - value) / np.linalg.norm(value)
        assert error < tolerance, f"{name}: relative error {error:.1e}"
        assert getattr(found, name).dtype == np.float64


@pytest.fixture(scope="module")
def rule():
    return plane()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("scale", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("activation", [*SMOOTH, ReLU])
def test_the_moments_are_sums_over_the_network(activation, scale, residual, rng, rule):
    """The factor has two columns in three dimensions: a singular start; neurons with correlations 0.998 and -1."""
    p = network(rng, activation, scale=scale)
    mean, factor = rng.standard_normal(D), rng.standard_normal((D, 2))
    found = af.moments.mlp(af.Gaussian.from_factor(mean, factor), residual=residual, **p)
    wanted = summed(lambda x: forward(p, x, residual=residual), mean, factor, rule)
    assert_moments(found, wanted, 1e-10 if activation is not ReLU else 2e-5)


@pytest.mark.parametrize("activation", [ReLU, GELU])
def test_one_direction_is_a_sum_over_a_line(activation, rng):
    """All correlations are 1 or -1. The kinks of ReLU are nodes of the rule, so that it converges for ReLU too."""
    p = network(rng, activation)
    mean, factor = rng.standard_normal(D), rng.standard_normal((D, 1))
    slopes, starts = (p["W1"] @ factor)[:, 0], p["W1"] @ mean + p["b1"]
    moving = slopes != 0
    edges = np.sort(np.concatenate([np.clip(-starts[moving] / slopes[moving], -9, 9), np.linspace(-9, 9, 40)]))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = 0.5 * np.diff(edges)[:, None]
    z = (edges[:-1, None] + half * (nodes + 1)).ravel()
    w = (half * weights).ravel() * np.exp(-0.5 * z**2)
    found = af.moments.mlp(af.Gaussian.from_factor(mean, factor), **p)
    assert_moments(found, summed(lambda x: forward(p, x), mean, factor, (z[:, None], w / w.sum())), 1e-10)


def test_the_golden_network():
    case = CASES["mlp_gelu_residual_moments"]
    i = case["inputs"]
    start = af.Gaussian.from_moments(i["mu"], i["Sigma"])
    p = {key: i[key] for key in ("W1", "b1", "W2", "b2")}
    found = af.moments.mlp(start=start, activation=GELU(), residual=True, **p)
    values = np.concatenate([found.mean, found.cov.ravel()])
    wanted = np.ravel(case["expected"])
    assert np.linalg.norm(values - wanted) <= case["rtol"] * np.linalg.norm(wanted)


@pytest.mark.parametrize("activation", [ReLU, GELU, Tanh])
def test_series_and_closed_form_agree_on_every_pair(activation, rng, monkeypatch):
    """Many neurons over several tiles, correlations of all sizes: the series where it is cheap, or never."""
    mean = rng.standard_normal(150)
    factor = 1.5 * rng.standard_normal((150, 5)) * np.array([1.0, 0.5, 0.2, 0.1, 0.1])
    monkeypatch.setattr(activated, "TILE", (40, 70))
    mixed = Activated(activation(), mean, factor).cov()
    monkeypatch.setattr(type(activation()), "pair_cost", 0.0)
    closed = Activated(activation(), mean[:40], factor[:40]).cov()
    scale = np.sqrt(np.diag(mixed))
    assert np.abs(mixed[:40, :40] - closed).max() < 3e-9 * scale[:40].max() ** 2
    assert np.abs((mixed - mixed.T) / np.outer(scale, scale)).max() < 1e-12
    assert np.linalg.eigvalsh(mixed).min() > -1e-9 * np.linalg.eigvalsh(mixed).max()


def test_a_wide_network_agrees_with_its_samples_within_their_noise(rng):
    d, m = 40, 200
    p = {
        "W1": rng.standard_normal((m, d)) / np.sqrt(d),
        "b1": rng.standard_normal(m),
        "W2": rng.standard_normal((5, m)),
    }
    start = af.Gaussian.from_factor(rng.standard_normal(d), rng.standard_normal((d, d)) / 4)
    found = af.moments.mlp(start, activation=SiLU(), **p)
    x = np.asarray(start.mean) + rng.standard_normal((60_000, d)) @ np.asarray(start.factor).T
    y = SiLU()(x @ p["W1"].T + p["b1"]) @ p["W2"].T
    deviation = np.sqrt(np.diag(found.cov))
    assert np.abs((y.mean(axis=0) - found.mean) / deviation).max() < 4.5 / np.sqrt(60_000)
    error = (np.cov(y.T) - found.cov) / np.outer(deviation, deviation)
    assert np.abs(error).max() < 4.5 * np.sqrt(2 / 60_000)


@pytest.mark.parametrize("activation", [GELU, ReLU])
def test_a_mixture_is_the_sum_over_its_components(activation, rng, rule):
    p = network(rng, activation)
    weights = np.array([0.2, 0.5, 0.3])
    parts = [(3 * rng.standard_normal(D), rng.standard_normal((D, 2)) / (i + 1)) for i in range(3)]
    start = Mixture(weights, [af.Gaussian.from_factor(*part) for part in parts])
    found = af.moments.mlp(start, **p)
    z, w = rule
    points = np.concatenate([mean + z @ factor.T for mean, factor in parts])
    wanted = summed(lambda x: forward(p, x), np.zeros(D), np.eye(D), (points, np.outer(weights, w).ravel()))
    assert_moments(found, wanted, 1e-10 if activation is GELU else 2e-5)


def test_the_moments_of_a_mixture_itself(rng):
    points = rng.standard_normal((4, D))
    start = Mixture([0.1, 0.2, 0.3, 0.4], [af.Gaussian.from_factor(point, np.zeros((D, 0))) for point in points])
    wanted = np.cov(points.T, aweights=[0.1, 0.2, 0.3, 0.4], ddof=0)
    np.testing.assert_allclose(start.cov, wanted, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(start.gaussian().cov), wanted, rtol=1e-9, atol=1e-12)


def test_a_point_mass_has_no_covariance(rng):
    p, mean = network(rng, TanhGELU), rng.standard_normal(D)
    found = af.moments.mlp(af.Gaussian.from_factor(mean, np.zeros((D, 0))), residual=True, **p)
    np.testing.assert_allclose(found.mean, forward(p, mean[None], residual=True)[0], rtol=1e-13)
    assert not found.cov.any()
    assert not found.cross.any()


def test_the_output_can_go_on_as_a_gaussian(rng):
    found = af.moments.mlp(af.Gaussian.from_factor(np.ones(D), np.eye(D)[:, :1]), **network(rng, GELU))
    after = found.gaussian()
    np.testing.assert_allclose(np.asarray(after.cov), found.cov, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W1": np.ones((4, 2))}, r"`W1` must have shape \(4, 3\) to agree with `start`"),
        ({"W2": np.ones((3, 5))}, r"`W2` must have shape \(3, 8\) to agree with `W1`"),
        ({"W2": np.ones((2, 8)), "b2": None, "residual": True}, r"`W2` must have shape \(3, 8\) to add its output"),
        ({"b1": np.ones(3)}, r"`b1` must have shape \(8,\) to agree with `W1`"),
        ({"activation": np.tanh}, "`activation` must be an activation with a known Gaussian form: tanh"),
        ({"start": np.ones(3)}, "`start` must be a Gaussian or a Mixture of them: ndarray was found"),
        ({"W1": np.full((8, 3), np.nan)}, "`W1` must be finite"),
    ],
)
def test_bad_networks_are_named(change, message, rng):
    arguments = {"start": af.Gaussian.from_factor(np.zeros(3), np.eye(3)), **network(rng, GELU)} | change
    with pytest.raises(af.BadInput, match=message):
        af.moments.mlp(**arguments)


@pytest.mark.parametrize(
    ("weights", "dims", "message"),
    [
        ([0.5, 0.6], (2, 2), "`weights` must be positive with the sum 1"),
        ([1.2, -0.2], (2, 2), "`weights` must be positive with the sum 1: the smallest is -0.2"),
        ([1.0], (2, 2), "`weights` must hold one number for each component"),
        ([0.5, 0.5], (2, 3), r"all `components` must share one dimension d: \[2, 3\]"),
        ([0.5, 0.5], (2, 0), r"`components\[1\]` must be a Gaussian"),
    ],
)
def test_bad_mixtures_are_named(weights, dims, message):
    parts = [af.Gaussian.from_factor(np.zeros(d), np.eye(d)) if d else "no" for d in dims]
    with pytest.raises(af.BadInput, match=message):
        Mixture(weights, parts)
