"""Lemma 3.1: with locally integrable parameters the rank of the covariance is conserved.

Also measured: the reason, cov(t) = Psi cov(0) Psi^T with Psi' = (A + sum_h V_h cov B_h) Psi invertible.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import attnflow as af

D, END = 4, 1.0


def _system(seed: int, heads: int = 1):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: 0.5 * rng.standard_normal(shape) / np.sqrt(D)  # noqa: E731
    return 2 * draw(D, D), draw(D), [(draw(D, D), draw(D, D)) for _ in range(heads)], rng


def _model(A, b, heads) -> af.Transformer:
    layers = [af.SoftmaxAttention(B=B, V=V) for B, V in heads]
    return af.Transformer(attention=layers, feedforward=af.Affine(A=A, b=b))


def _transport(A, heads, cov, t) -> np.ndarray:
    """Psi(t), integrated together with the covariance itself (not its factor)."""

    def rhs(_, y):
        S, Psi = y.reshape(2, D, D)
        M = A + sum(V @ S @ B for B, V in heads)
        return np.stack([M @ S + S @ M.T, M @ Psi]).ravel()

    start = np.stack([cov, np.eye(D)]).ravel()
    return solve_ivp(rhs, (0, t), start, "DOP853", rtol=1e-12, atol=1e-14).y[:, -1].reshape(2, D, D)[1]


@pytest.mark.parametrize("rank", [0, 2, 4])
def test_the_rank_is_conserved_and_the_range_transported(rank):
    A, b, heads, rng = _system(31, heads=2)
    factor = rng.standard_normal((D, rank))
    run = af.simulate(_model(A, b, heads), af.Gaussian.from_factor(b, factor), ts=[0.0, END], rtol=1e-10)
    assert run.rank == rank
    assert run.numerical_rank.tolist() == [rank, rank]
    values = np.linalg.eigvalsh(run.cov[-1])[::-1]
    assert np.all(values[:rank] > 1e-6 * values[0])
    assert np.all(np.abs(values[rank:]) <= 4 * D * np.finfo(float).eps * values[0])
    Psi = _transport(A, heads, factor @ factor.T, END)
    np.testing.assert_allclose(run.cov[-1], Psi @ factor @ factor.T @ Psi.T, rtol=0, atol=1e-7 * (values[0] or 1))


@pytest.mark.parametrize("kind", ["piecewise", "interpolated", "function"])
def test_the_rank_is_conserved_when_the_parameters_depend_on_depth(kind):
    (A, b, heads, rng), (A2, b2, heads2, _) = _system(32), _system(33)
    one, two = _model(A, b, heads), _model(A2, b2, heads2)
    if kind == "piecewise":
        model = af.Depth.piecewise([one, two], [0.0, 0.5])
    elif kind == "interpolated":
        model = af.Depth.interpolated([one, two], [0.0, 1.0])
    else:
        model = af.Depth.function(lambda t: _model(A * t, b, [(heads[0][0], heads[0][1] * (1 - t))]))
    run = af.simulate(model, af.Gaussian.from_factor(b, rng.standard_normal((D, 2))), ts=[0.25, END])
    assert run.rank == 2
    assert run.numerical_rank.tolist() == [2, 2]


def test_a_covariance_given_by_moments_keeps_its_rank_too():
    A, b, heads, rng = _system(34)
    factor = rng.standard_normal((D, 2))
    run = af.simulate(_model(A, b, heads), af.Gaussian.from_moments(b, factor @ factor.T), ts=[0.0, END])
    assert (run.rank, run.numerical_rank.tolist()) == (2, [2, 2])


def test_dropped_hypothesis_infinite_time_lets_the_rank_fall():
    """V < 0 < B, spec A = {1}: the limit is (1/4) [[1, -1], [-1, 1]]; every finite time has rank 2."""
    A, V, B = np.array([[1.0, 0.0], [-2.0, 1.0]]), -np.diag([1.0, 3.0]), np.diag([1.0, 3.0])
    model = af.Transformer(attention=af.SoftmaxAttention(B=B, V=V), feedforward=af.Affine(A=A))
    run = af.simulate(model, af.Gaussian.from_moments(np.zeros(2), np.eye(2)), ts=[1.0, 80.0], rtol=1e-10)
    assert run.rank == 2
    assert run.numerical_rank.tolist() == [2, 1]
    np.testing.assert_allclose(run.cov[-1], 0.25 * np.array([[1.0, -1.0], [-1.0, 1.0]]), atol=1e-8)


def test_dropped_hypothesis_a_parameter_that_is_not_integrable_lets_the_rank_fall():
    """A(t) = -2/(1-t) e1 e1^T squeezes the first direction by (1-t)^2: rank 1 in the limit t -> 1."""

    def squeeze(t):
        return af.Transformer(feedforward=af.Affine(A=np.diag([-2.0, 0.0]) / (1.0 - t)))

    start = af.Gaussian.from_moments(np.zeros(2), np.array([[2.0, 0.5], [0.5, 1.0]]))
    run = af.simulate(af.Depth.function(squeeze), start, ts=[0.5, 1 - 1e-5], rtol=1e-10)
    assert run.rank == 2
    assert run.numerical_rank.tolist() == [2, 1]
    np.testing.assert_allclose(run.cov[0], [[2 / 16, 0.5 / 4], [0.5 / 4, 1.0]], rtol=1e-8)
