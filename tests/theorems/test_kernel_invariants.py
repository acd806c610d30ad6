"""What the kernels of B and V conserve, and where L2 attention is global: hypotheses built, conclusions measured.

With A = 0, N^T cov^{-1} N is conserved if the queries do not see N (B N = 0; for L2, Q N = 0), and W^T cov W if the
values do not (W^T V = 0). Each hypothesis is dropped once.
"""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af

D, TS = 3, (0.0, 0.5, 1.5)
KINDS = ("softmax", "multihead", "l2", "sinkhorn", "linear")
N, W = np.array([0.6, -0.5, 0.8]), np.array([0.3, 0.9, -0.4])
COV = np.array([[0.8, 0.3, -0.1], [0.3, 0.6, 0.2], [-0.1, 0.2, 0.5]])
MEAN = np.array([0.4, -0.3, 0.2])


def blind(vector: np.ndarray) -> np.ndarray:
    """The projection along `vector`."""
    return np.eye(D) - np.outer(vector, vector) / (vector @ vector)


def layer(kind: str, *, queries_blind: bool, values_blind: bool):
    rng = np.random.default_rng(8)
    sees, takes = (blind(N) if queries_blind else np.eye(D)), (blind(W) if values_blind else np.eye(D))

    def matrices(size: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
        B, V = size * rng.standard_normal((2, D, D))
        return B @ sees, takes @ V

    if kind == "multihead":
        heads = [af.SoftmaxAttention(*matrices(), query_bias=0.3 * rng.standard_normal(D)) for _ in range(2)]
        return af.MultiHeadAttention(heads)
    if kind == "l2":
        Q, K = 0.6 * rng.standard_normal((2, 2, D))
        return af.L2Attention(Q @ sees, K, matrices()[1], query_bias=[0.2, -0.1])
    if kind == "softmax":
        return af.SoftmaxAttention(*matrices(), query_bias=[0.2, -0.1, 0.4])
    return (af.SinkhornAttention if kind == "sinkhorn" else af.LinearAttention)(*matrices())


def run_of(model) -> af.Run:
    run = af.simulate(model, af.Gaussian.from_moments(MEAN, COV), TS, rtol=1e-11)
    assert run.status == "reached_end"
    return run


def precision_along(run: af.Run) -> np.ndarray:
    return np.array([N @ np.linalg.solve(cov, N) for cov in run.cov])


def variance_along(run: af.Run) -> np.ndarray:
    return np.array([W @ cov @ W for cov in run.cov])


def drift(values: np.ndarray) -> float:
    return float(np.abs(values / values[0] - 1).max())


@pytest.mark.parametrize("kind", KINDS)
def test_what_neither_queries_nor_values_see_is_conserved(kind):
    run = run_of(layer(kind, queries_blind=True, values_blind=True))
    assert drift(precision_along(run)) < 1e-9
    assert drift(variance_along(run)) < 1e-9
    assert np.abs(run.cov[-1] - COV).max() > 1e-3  # it does move


@pytest.mark.parametrize("kind", KINDS)
def test_dropped_hypothesis_each_blindness_conserves_its_own_quantity_only(kind):
    run = run_of(layer(kind, queries_blind=False, values_blind=True))
    assert drift(variance_along(run)) < 1e-9
    assert drift(precision_along(run)) > 1e-3
    run = run_of(layer(kind, queries_blind=True, values_blind=False))
    assert drift(precision_along(run)) < 1e-9
    assert drift(variance_along(run)) > 1e-3


def test_dropped_hypothesis_a_feed_forward_breaks_both():
    attention = layer("softmax", queries_blind=True, values_blind=True)
    run = run_of(af.Transformer(attention, af.Affine(np.array([[0.1, 0.4, 0.0], [-0.2, 0.3, 0.1], [0.2, 0.0, -0.3]]))))
    assert drift(precision_along(run)) > 1e-3
    assert drift(variance_along(run)) > 1e-3


class TestL2:
    """d = 2, k = 2 and a covariance of rank 1: a second row of zeros makes the keys blind, in the same program."""

    COLUMN = np.array([[0.8], [-0.5]])

    def start(self) -> af.Gaussian:
        return af.Gaussian.from_factor(MEAN[:2], self.COLUMN)

    def bounded(self, run: af.Run, rate: float) -> bool:
        """Whether the trace grows at most like exp(2 rate t)."""
        assert run.status == "reached_end"
        traces = np.trace(run.cov, axis1=1, axis2=2)
        return bool(np.all(traces <= np.sum(self.COLUMN**2) * np.exp(2 * rate * run.ts)))

    @pytest.mark.parametrize(("temperature", "column"), [(1.0, [1.0, 1.0]), (3.0, [0.7, 0.4])])
    def test_keys_that_are_blind_let_the_covariance_blow_up(self, temperature, column):
        """K = [1 0], Q = [0 1], V = diag(0, 1): a is constant and c' = c^2 / (temperature / 2 + a)."""
        attention = af.L2Attention([[0.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]], np.diag([0.0, 1.0]), temperature)
        cov = np.outer(column, column)
        time = (temperature / 2 + cov[0, 0]) / cov[0, 1]
        run = af.simulate(attention, af.Gaussian.from_factor([0.0, 0.0], column), [0.5 * time, 2 * time])
        assert run.status == "blow_up"
        assert run.reached.tolist() == [True, False]
        assert run.blow_up.lower <= time <= run.blow_up.upper
        assert run.blow_up.estimate == pytest.approx(time, rel=1e-6)
        wanted = cov[0, 1] / (1 - 0.5)  # c = c_0 / (1 - t / time)
        np.testing.assert_allclose(run.cov[0, 0], [cov[0, 0], wanted], rtol=1e-6)

    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_queries_that_are_the_keys_keep_the_growth_exponential(self, sign):
        K, V = np.array([[0.9, -0.4], [0.0, 0.0]]), np.array([[0.9, 0.5], [-0.3, 0.8]])
        run = af.simulate(af.L2Attention(sign * K, K, V), self.start(), [3.0, 8.0])
        assert self.bounded(run, np.linalg.norm(V, 2))

    def test_injective_keys_keep_the_growth_exponential(self):
        Q, V, K = np.random.default_rng(9).standard_normal((3, 2, 2))
        run = af.simulate(af.L2Attention(Q, K, V), self.start(), [1.0, 4.0])
        rate = np.linalg.norm(V, 2) * np.linalg.norm(np.linalg.inv(K.T @ K), 2) * np.linalg.norm(K.T @ Q, 2)
        assert self.bounded(run, rate)


def test_sinkhorn_with_common_axes_solves_its_implicit_equation():
    """In each axis u - coth(u / 2) grows by 2 v t, where sinh(u) = 2 beta cov / epsilon."""
    axes = np.linalg.qr(np.random.default_rng(4).standard_normal((D, D)))[0]
    v, beta, epsilon, cov = 0.7, np.array([0.9, -0.4, 1.3]), 0.6, np.array([0.4, 0.8, 0.2])
    model = af.SinkhornAttention(axes * beta @ axes.T, v * np.eye(D), epsilon)
    run = af.simulate(model, af.Gaussian.from_moments(MEAN, axes * cov @ axes.T), TS, rtol=1e-11)
    found = np.array([np.diag(axes.T @ cov @ axes) for cov in run.cov])
    u = np.arcsinh(2 * beta * found / epsilon)
    kept = u - 1 / np.tanh(u / 2) - 2 * v * run.ts[:, None]
    np.testing.assert_allclose(kept, np.tile(kept[0], (3, 1)), rtol=1e-8)
    np.testing.assert_allclose(run.mean, np.outer(np.exp(v * run.ts), MEAN), rtol=1e-8)


def test_sinkhorn_does_not_blow_up_where_softmax_does():
    B, start = np.array([[0.9, 0.4, 0.0], [-0.3, 0.8, 0.2], [0.1, 0.0, 1.1]]), af.Gaussian.from_moments(MEAN, COV)
    assert af.simulate(af.SoftmaxAttention(B, 1.0), start, [4.0]).status == "blow_up"
    run = af.simulate(af.SinkhornAttention(B, np.eye(D)), start, [0.0, 1.0, 4.0])
    assert run.status == "reached_end"
    assert np.trace(run.cov[-1]) <= np.trace(COV) * np.exp(2 * 4.0)


def test_the_limit_of_definite_softmax_lives_on_the_kernel():
    """V = 1, B = -C with C >= 0: cov tends to K (K^T cov_0^{-1} K)^{-1} K^T over the kernel K of C, like 1 / t."""
    H = np.array([[1.0, 2.0, -1.0]])
    kernel = np.linalg.svd(H)[2][1:].T
    limit = kernel @ np.linalg.inv(kernel.T @ np.linalg.solve(COV, kernel)) @ kernel.T
    run = af.simulate(af.SoftmaxAttention(-H.T @ H, 1.0), af.Gaussian.from_moments(np.zeros(D), COV), [1e3, 1e5])
    errors = np.linalg.norm(run.cov - limit, axis=(1, 2))
    assert errors[1] < 1e-5
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01)


def test_a_mean_that_leaves_float64_is_an_overflow_without_a_warning():
    H = np.array([[1.0, 2.0, -1.0]])
    run = af.simulate(af.SoftmaxAttention(-H.T @ H, 1.0), af.Gaussian.from_moments(MEAN, COV), [1.0, 1e3])
    assert run.status == "overflow"
    assert run.reached.tolist() == [True, False]
