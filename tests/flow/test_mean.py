from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow.flow.mean import ScalarHead, closed_mean, growth

D, TS = 3, np.array([0.0, 0.4, 1.0, 1.6])
ZERO, NO_COLUMNS = np.zeros(D), np.zeros((D, 0))


def head(rng, **changes) -> ScalarHead:
    """A general head: nothing commutes, nothing vanishes. B and tilt hold the factor eta already."""
    A, B = 0.4 * rng.standard_normal((2, D, D))
    parts = {"A": A, "B": B, "eta": -0.7, "tilt": rng.standard_normal(D), "bias": rng.standard_normal(D)}
    return ScalarHead(**(parts | changes))


def replayed(head: ScalarHead, mean, factor) -> np.ndarray:
    """mean' = (A + eta) mean + cov (B mean + tilt) + bias beside L' = (A + L L^T B) L, by SciPy."""

    def rate(t, y):
        m, L = y[:D], y[D:].reshape(factor.shape)
        drift = head.A @ m + head.eta * m + L @ (L.T @ (head.B @ m + head.tilt)) + head.bias
        return np.concatenate([drift, (head.A @ L + L @ (L.T @ (head.B @ L))).ravel()])

    start = np.append(mean, factor.ravel())
    return solve_ivp(rate, (0, TS[-1]), start, "DOP853", TS, rtol=1e-12, atol=1e-13).y[:D].T


def symmetric(rng) -> np.ndarray:
    M = 0.2 * rng.standard_normal((D, D))
    return M + M.T


def diagonal(rng) -> np.ndarray:
    return np.diag(0.5 * rng.standard_normal(D))


CASES = {
    "start and bias vanish": lambda rng: (head(rng, tilt=ZERO, bias=ZERO), ZERO, 0.5 * rng.standard_normal((D, 2))),
    "the start is a point": lambda rng: (head(rng), rng.standard_normal(D), NO_COLUMNS),
    "the factor is zero": lambda rng: (head(rng), rng.standard_normal(D), np.zeros((D, 2))),
    "no score": lambda rng: (
        head(rng, B=np.zeros((D, D)), tilt=ZERO),
        rng.standard_normal(D),
        0.5 * rng.standard_normal((D, 2)),
    ),
    "A is a multiple of the identity": lambda rng: (
        head(rng, A=0.3 * np.eye(D), B=symmetric(rng), tilt=ZERO, bias=ZERO),
        rng.standard_normal(D),
        0.5 * rng.standard_normal((D, 2)),
    ),
    "A vanishes": lambda rng: (
        head(rng, A=np.zeros((D, D)), B=symmetric(rng), tilt=ZERO, bias=ZERO),
        rng.standard_normal(D),
        0.2 * rng.standard_normal((D, 3)),
    ),
    "all is diagonal": lambda rng: (
        head(rng, A=diagonal(rng), B=diagonal(rng), tilt=ZERO, bias=ZERO),
        rng.standard_normal(D),
        diagonal(rng),
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_a_closed_mean_is_the_replayed_one(rng, case):
    given, mean, factor = CASES[case](rng)
    mean_at, statement = closed_mean(given, mean, factor)
    assert statement
    np.testing.assert_allclose([mean_at(t) for t in TS], replayed(given, mean, factor), rtol=1e-9, atol=1e-10)


DROPPED = {
    "nothing special": lambda rng: head(rng, tilt=ZERO, bias=ZERO),
    "a bias": lambda rng: head(rng, A=0.3 * np.eye(D), B=symmetric(rng), tilt=ZERO),
    "a tilt": lambda rng: head(rng, A=0.3 * np.eye(D), B=symmetric(rng), bias=ZERO),
    "B is not symmetric": lambda rng: head(rng, A=0.3 * np.eye(D), tilt=ZERO, bias=ZERO),
    "A only nearly a multiple": lambda rng: head(
        rng, A=0.3 * np.eye(D) + 1e-15 * np.eye(D, k=1), B=symmetric(rng), tilt=ZERO, bias=ZERO
    ),
    "the start is not diagonal": lambda rng: head(rng, A=diagonal(rng), B=diagonal(rng), tilt=ZERO, bias=ZERO),
}


@pytest.mark.parametrize("case", list(DROPPED))
def test_without_the_hypotheses_there_is_no_closed_mean(rng, case):
    assert closed_mean(DROPPED[case](rng), rng.standard_normal(D), 0.5 * rng.standard_normal((D, 2))) is None


def test_a_tilt_moves_a_mean_at_zero(rng):
    """cov tilt drives it: zero is no equilibrium."""
    given = head(rng, bias=ZERO)
    factor = 0.5 * rng.standard_normal((D, 2))
    assert closed_mean(given, ZERO, factor) is None
    assert np.abs(replayed(given, ZERO, factor)[-1]).max() > 0.1


@pytest.mark.parametrize("rate", [-2.0, -1e-9, 0.0, 1e-12, 0.7])
def test_the_growth_is_the_integral_of_the_exponential(rate):
    nodes, weights = np.polynomial.legendre.leggauss(40)
    wanted = 0.65 * weights @ np.exp(2 * rate * 0.65 * (nodes + 1))
    np.testing.assert_allclose(growth(rate, 1.3), wanted, rtol=1e-13)
