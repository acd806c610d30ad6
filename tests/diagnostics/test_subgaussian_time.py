"""The time of Lemma 2.2 against a direct search over the inequality (A.5) of its proof, and its hypotheses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar

from attnflow import Gaussian, SoftmaxAttention
from attnflow.diagnostics.field import Field, Head, growth_of, head_of
from attnflow.diagnostics.subgaussian_time import subgaussian_time
from attnflow.moments.by_quadrature import SiLU, Tanh, TanhGELU
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU


def log_moment(alpha: float, mean, cov) -> float:
    """log E exp(alpha |X|^2), by completing the square with dense matrices."""
    d = len(mean)
    rest = np.eye(d) - 2 * alpha * cov
    return float(alpha * mean @ np.linalg.solve(rest, mean) - 0.5 * np.linalg.slogdet(rest)[1])


def longest(K, mean, cov, low: float) -> float:
    """max over kappa and epsilon of the t for which (A.5) stays below 2 E_0; `K(kappa, level)` gives K_1 and K_2."""
    high = 0.5 / np.linalg.eigvalsh(cov)[-1]

    def time(kappa):
        level = math.log(2) + log_moment(kappa, mean, cov)
        K_1, K_2 = K(kappa, level)

        def excess(t):
            a, c = np.exp(2 * K_1 * t), K_2 / K_1 * np.expm1(K_1 * t)
            top = high / (kappa * a) - 1
            found = minimize_scalar(
                lambda e: kappa * (1 + 1 / e) * c**2 + log_moment(kappa * (1 + e) * a, mean, cov),
                bounds=(1e-6 * top, top * (1 - 1e-9)), method="bounded", options={"xatol": 1e-10 * top},
            )  # fmt: skip
            return found.fun - level

        last = np.log(high / kappa) / (2 * K_1) * (1 - 1e-6)
        return brentq(excess, 1e-9 * last, last, xtol=1e-12)

    grid = low + (high - low) * np.linspace(0, 0.95, 24)
    times = [time(kappa) for kappa in grid]
    i = int(np.argmax(times))
    inner = minimize_scalar(lambda k: -time(k), bounds=(grid[max(i - 1, 0)], grid[min(i + 1, 23)]), method="bounded",
                            options={"xatol": 1e-9})  # fmt: skip
    return max(times[i], -inner.fun)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_the_largest_time_that_the_inequality_of_the_proof_allows(seed):
    rng = np.random.default_rng(seed)
    root = 0.7 * rng.normal(size=(2, 2))
    mean, cov = rng.normal(size=2), root @ root.T
    score = 0.03 / np.linalg.eigvalsh(cov)[-1]
    field = Field(1.3, 0.4, (Head(0.7, score), Head(0.5, 0.5 * score, query_bias=0.2, value_bias=0.1)), growth=1.1)

    def K(kappa, level):
        K_1 = 1.1 * 1.3 + 0.7 * score / kappa + 0.5 * 0.5 * score / kappa
        K_2 = 1.1 * 0.4 + 0.7 * np.sqrt(level / kappa) + 0.5 * (0.2 / kappa + np.sqrt(level / kappa)) + 0.1
        return K_1, K_2

    found = subgaussian_time(field, Gaussian.from_moments(mean, cov))
    assert found.time == pytest.approx(longest(K, mean, cov, 4 * score), rel=1e-6)
    assert 4 * score <= found.kappa < 0.5 / np.linalg.eigvalsh(cov)[-1]


def test_the_gradient_of_the_cumulants_obeys_the_bound_of_the_constants():
    """|grad Lambda(xi)| <= |xi| / kappa + sqrt(log(E) / kappa) with E = E exp(kappa y^2), not only for Gaussians."""
    kappa = 0.3
    laws = {
        "two bumps": lambda y: np.exp(-((y - 2.5) ** 2) / 0.4) + 0.2 * np.exp(-((y + 1) ** 2) / 0.1),
        "skewed": lambda y: np.exp(-(y**2)) * (1 + np.tanh(3 * y)),
    }
    for density in laws.values():
        mass = quad(density, -12, 12, limit=200)[0]
        moment = quad(lambda y: np.exp(kappa * y**2) * density(y), -12, 12, limit=200)[0] / mass  # noqa: B023
        for xi in (-6.0, -1.0, 0.0, 0.5, 4.0):
            z = quad(lambda y: np.exp(xi * y) * density(y), -12, 12, limit=200)[0]  # noqa: B023
            slope = quad(lambda y: y * np.exp(xi * y) * density(y), -12, 12, limit=200)[0] / z  # noqa: B023
            assert abs(slope) <= abs(xi) / kappa + np.sqrt(np.log(moment) / kappa)


def test_a_start_too_wide_for_the_scores_is_refused_with_its_margin():
    start = Gaussian.from_moments([0.0, 0.0], [[2.0, 0.5], [0.5, 1.0]])
    found = subgaussian_time(Field(1.0, 0.0, (Head(1.0, 0.1),)), start)
    assert found.time is None
    assert found.kappa is None
    (hypothesis,) = found.hypotheses
    assert hypothesis.held == "fails"
    assert hypothesis.margin == pytest.approx(1 - 0.8 * (1.5 + np.sqrt(0.5)))


def test_equality_within_rounding_is_borderline_and_not_enough():
    found = subgaussian_time(Field(1.0, 0.0, (Head(1.0, 0.125),)), Gaussian.from_moments([1.0], [[1.0]]))
    assert found.hypotheses[0].held == "borderline"
    assert found.time is None


def test_without_scores_the_lemma_is_not_needed():
    start = Gaussian.from_moments([1.0], [[100.0]])
    assert subgaussian_time(Field(1.0, 2.0, ()), start).time == math.inf
    assert subgaussian_time(Field(1.0, 2.0, (Head(0.0, 5.0),)), start).time == math.inf


def test_a_dirac_mass_and_a_line_have_a_time():
    for factor in (np.zeros((2, 0)), np.array([[0.5], [0.1]])):
        found = subgaussian_time(Field(0.0, 0.0, (Head(1.0, 0.1),)), Gaussian.from_factor([0.5, 1.0], factor))
        assert 0 < found.time < math.inf


def test_the_time_shrinks_with_every_size():
    start = Gaussian.from_moments([0.5, 0.1], [[1.0, 0.2], [0.2, 0.5]])
    base = {"slope": 1.0, "offset": 0.3, "value": 1.0, "score": 0.05, "growth": 1.0}

    def time(**sizes):
        s = base | sizes
        return subgaussian_time(
            Field(s["slope"], s["offset"], (Head(s["value"], s["score"]),), s["growth"]), start
        ).time

    reference = time()
    assert all(time(**{name: 1.5 * value}) < reference for name, value in base.items())


def test_sizes_of_heads_are_spectral_norms(rng):
    B, V = rng.normal(size=(2, 3, 3))
    head = head_of(SoftmaxAttention(B=B, V=V, query_bias=[3.0, 0.0, 4.0]), 3)
    assert head.value == pytest.approx(np.sqrt(np.linalg.eigvalsh(V.T @ V)[-1]), rel=1e-12)
    assert head.score == pytest.approx(np.sqrt(np.linalg.eigvalsh(B.T @ B)[-1]), rel=1e-12)
    assert (head.query_bias, head.value_bias) == (5.0, 0.0)


@pytest.mark.parametrize("kind", [ReLU, GELU, TanhGELU, SiLU, Tanh, Erf], ids=lambda kind: kind.__name__)
def test_activations_grow_no_faster_than_stated(kind):
    z = np.concatenate([-np.geomspace(1e-8, 100, 4001), np.geomspace(1e-8, 100, 4001)])
    assert np.all(np.abs(np.asarray(kind()(z))) <= growth_of(kind()) * np.abs(z) * (1 + 1e-14))
