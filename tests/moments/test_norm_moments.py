"""Moments of RMSNorm and LayerNorm against sums over the plane, closed forms, and what they must satisfy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import erf, ndtr

import attnflow as af
from attnflow.measures.mixture import Mixture
from golden import HERE

CASES = {case["name"]: case for case in json.loads((HERE / "activations.json").read_text())["cases"]}


def rms(x, gamma, beta, eps):
    return gamma * x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps) + beta


def layer(x, gamma, beta, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    return gamma * centred / np.sqrt(centred.var(axis=-1, keepdims=True) + eps) + beta


KINDS = {"rms": (af.moments.rms_norm, rms), "layer": (af.moments.layer_norm, layer)}


def summed(function, mean, factor, nodes: int = 1001):
    """Mean, covariance and Cov(y, x) by the trapezoidal rule in the two-dimensional range of the factor."""
    t = np.linspace(-9.0, 9.0, nodes)
    w = np.exp(-0.5 * t**2) / np.exp(-0.5 * t**2).sum()
    z, w = np.stack(np.meshgrid(t, t, indexing="ij"), -1).reshape(-1, 2), np.outer(w, w).ravel()
    x = mean + z @ factor.T
    y = function(x)
    center = w @ y
    y, x = y - center, x - w @ x
    return center, (y.T * w) @ y, (y.T * w) @ x


def assert_moments(found, wanted, tolerance):
    for name, value in zip(("mean", "cov", "cross"), wanted, strict=True):
        assert np.linalg.norm(getattr(found, name) - value) < tolerance * np.linalg.norm(value), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1e-8, 1.0, 1e6])
def test_the_moments_are_sums_over_the_layer(kind, size, rng):
    """Four dimensions, rank two, a mean outside of the range; the scale goes through when `eps` goes with it."""
    norm, function = KINDS[kind]
    gamma, beta = rng.standard_normal(4), rng.standard_normal(4)
    mean, factor = size * rng.standard_normal(4), size * rng.standard_normal((4, 2))
    options = {"gamma": gamma, "beta": beta, "eps": 0.05 * size**2}
    found = norm(af.Gaussian.from_factor(mean, factor), **options)
    assert_moments(found, summed(lambda x: function(x, **options), mean, factor), 1e-11)


@pytest.mark.parametrize("name", ["rmsnorm_d2_eps0.0", "rmsnorm_d2_eps0.1", "layernorm_d3"])
def test_the_golden_norms(name):
    i = dict(CASES[name]["inputs"])
    start = af.Gaussian.from_moments(i.pop("mu"), i.pop("Sigma"))
    found = (af.moments.layer_norm if "layer" in name else af.moments.rms_norm)(start=start, **i)
    wanted = np.ravel(CASES[name]["expected"])
    error = np.linalg.norm(np.concatenate([found.mean, found.cov.ravel()]) - wanted) / np.linalg.norm(wanted)
    assert error <= CASES[name]["rtol"]


def test_one_direction_without_eps_is_a_sign():
    """x = (m + s Z) u: y = sqrt(d) sign(m + s Z) u, so E y is an error function and E[y Z] a density."""
    u, m, s = np.array([0.6, 0.0, -0.8]), 0.7, 1.3
    found = af.moments.rms_norm(af.Gaussian.from_factor(m * u, s * u), eps=0.0)
    sign = erf(m / s / np.sqrt(2))
    np.testing.assert_allclose(found.mean, np.sqrt(3) * sign * u, rtol=1e-12)
    np.testing.assert_allclose(found.cov, 3 * (1 - sign**2) * np.outer(u, u), rtol=1e-12, atol=1e-15)
    slope = 2 * np.exp(-0.5 * (m / s) ** 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found.cross, np.sqrt(3) * slope * s * np.outer(u, u), rtol=1e-12, atol=1e-15)


def test_a_point_mass_is_normalised_as_a_point(rng):
    mean = rng.standard_normal(5)
    for kind, (norm, function) in KINDS.items():
        found = norm(af.Gaussian.from_factor(mean, np.zeros((5, 0))), eps=0.1)
        np.testing.assert_allclose(found.mean, function(mean, 1.0, 0.0, 0.1), rtol=1e-12, err_msg=kind)
        np.testing.assert_allclose(found.cov, 0.0, atol=1e-13)


@pytest.mark.parametrize("d", [3, 40, 384])
def test_without_eps_the_output_has_its_length_exactly(d, rng):
    """|y|^2 = d for every x, however uneven the covariance; and the layer form gives no component along (1, ..., 1)."""
    factor = rng.standard_normal((d, d)) * np.geomspace(1.0, 1e-7, d)
    start = af.Gaussian.from_factor(0.1 * rng.standard_normal(d), factor)
    for norm in (af.moments.rms_norm, af.moments.layer_norm):
        found = norm(start, eps=0.0)
        assert np.trace(found.cov) + found.mean @ found.mean == pytest.approx(d, rel=1e-12)
    assert np.abs(found.cov.sum(axis=0)).max() < 1e-10


def test_many_dimensions_agree_with_samples_within_their_noise(rng):
    d, n = 30, 100_000
    factor = rng.standard_normal((d, 8)) * np.arange(1, 9) ** -1.0
    start = af.Gaussian.from_factor(0.3 * rng.standard_normal(d), factor)
    gamma = 1 + rng.uniform(size=d)
    found = af.moments.layer_norm(start, gamma=gamma)
    x = np.asarray(start.mean) + rng.standard_normal((n, 8)) @ factor.T
    y = layer(x, gamma, 0.0, 1e-5)
    deviation = np.sqrt(np.diag(found.cov))
    assert np.abs((y.mean(axis=0) - found.mean) / deviation).max() < 4.5 / np.sqrt(n)
    assert np.abs((np.cov(y.T) - found.cov) / np.outer(deviation, deviation)).max() < 4.5 * np.sqrt(2 / n)
    cross = (y - y.mean(axis=0)).T @ (x - x.mean(axis=0)) / n
    spread = np.outer(deviation, np.sqrt(np.sum(factor**2, axis=1)))
    assert np.abs((cross - found.cross) / spread).max() < 4.5 * np.sqrt(2 / n)


def test_a_mixture_of_two_opposite_points_in_a_line():
    start = Mixture([0.5, 0.5], [af.Gaussian.from_factor([m, 0.0], [1.0, 0.0]) for m in (2.0, -2.0)])
    found = af.moments.rms_norm(start, eps=0.0)
    np.testing.assert_allclose(found.mean, 0.0, atol=1e-15)
    np.testing.assert_allclose(found.cov, [[2.0, 0.0], [0.0, 0.0]], rtol=1e-12, atol=1e-15)
    wanted = np.sqrt(2) * (2 * (2 * ndtr(2.0) - 1) + 2 * np.exp(-2.0) / np.sqrt(2 * np.pi))  # sqrt(2) E |2 + Z|
    assert found.cross[0, 0] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": np.ones(2)}, r"`gamma` must have shape \(3,\) to agree with `start`"),
        ({"beta": np.ones((3, 1))}, "`beta` must be a vector"),
        ({"eps": -1e-5}, "`eps` must be at least 0"),
        ({"start": 3}, "`start` must be a Gaussian or a Mixture"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_norms_are_named(kind, change, message):
    arguments = {"start": af.Gaussian.from_factor(np.zeros(3), np.eye(3))} | change
    with pytest.raises(af.BadInput, match=message):
        KINDS[kind][0](**arguments)


def test_a_layer_norm_of_equal_coordinates_needs_eps():
    start = af.Gaussian.from_factor(np.full(3, 2.0), np.ones(3))
    with pytest.raises(af.BadInput, match="`eps` must be positive where the input has length zero"):
        af.moments.layer_norm(start, eps=0.0)
    found = af.moments.layer_norm(start, beta=[1.0, 2.0, 3.0])
    np.testing.assert_allclose(found.mean, [1.0, 2.0, 3.0], rtol=1e-14)
