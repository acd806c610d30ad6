"""Inequality (A.12) in the proof of Theorem 4.5, corrected: for V < 0 < B

    tr cov' <= lambda_max(A + A^T) tr cov + 2 lambda_max(V) lambda_min(B) tr cov^2.

Broken: as printed, with lambda_max(B), at A = 0, V = -I, B = diag(1, 10), cov = diag(1, 0).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from section4 import flow, system

ONE = system(np.zeros((2, 2)), np.diag([1.0, 10.0]), -1.0)


def _definite(rng) -> np.ndarray:
    L = rng.standard_normal((3, 3))
    return L @ L.T + 0.01 * np.eye(3)


def test_the_corrected_inequality_holds_and_the_printed_one_often_fails():
    rng, failures = np.random.default_rng(12), 0
    for _ in range(300):
        L = rng.standard_normal((3, rng.integers(1, 4)))
        one, cov = system(rng.standard_normal((3, 3)), _definite(rng), -_definite(rng)), L @ L.T
        linear = np.linalg.eigvalsh(one.A + one.A.T).max() * np.trace(cov)
        top, B = np.linalg.eigvalsh(one.V).max(), np.linalg.eigvalsh(one.B)
        rate, square = np.trace(one.rate(cov)), np.trace(cov @ cov)
        assert rate <= linear + 2 * top * B.min() * square + 1e-9 * abs(rate)
        failures += rate > linear + 2 * top * B.max() * square
    assert failures > 10


def test_the_exact_counterexample_in_rational_numbers():
    V, B, cov = (-1, -1), (1, 10), (Fraction(1), Fraction(0))  # diagonals
    rate = sum(2 * v * b * s * s for v, b, s in zip(V, B, cov, strict=True))
    square = sum(s * s for s in cov)
    assert rate == -2
    assert rate <= 2 * max(V) * min(B) * square == -2
    assert not rate <= 2 * max(V) * max(B) * square


def test_the_flow_falls_with_the_exact_rate():
    """cov = diag(s, 0), s' = -2 s^2: s = 1 / (1 + 2t); the printed inequality would give s <= 1 / (1 + 20 t)."""
    run = flow(ONE, np.diag([1.0, 0.0]), [0.5, 1.0])
    np.testing.assert_allclose(run.cov[:, 0, 0], 1 / (1 + 2 * run.ts), rtol=1e-12)
    assert np.all(run.cov[:, 0, 0] > 1 / (1 + 20 * run.ts))
