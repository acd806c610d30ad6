"""Theorem 4.1, corrected as Theorem A (docs/theory/long-run.md): the limit of the covariance for V = eta I, S <= 0.

From every positive definite start the limit is E W^{-1} E^T, on the unstable subspace of A, iff no eigenvalue of A with
Re >= 0 is unobservable. Dropped: that hypothesis in each of its ways (T1 to T4), the positive definite start (T5).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm, orth, solve_continuous_lyapunov, sqrtm
from section4 import T1, T2, T3, T4, T5, System, below, flow, integrated, system, unstable_limit

from golden import load

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])
FOCUS = np.array([[0.5, -0.75], [0.75, 0.5]])
COV2 = np.array([[0.75, 0.25], [0.25, 0.5]])


def _unimodular(d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An integer matrix with an integer inverse: what is unobservable in its coordinates stays so to the last bit."""
    rng = np.random.default_rng(seed)
    low, up = np.tril(rng.integers(-1, 2, (d, d)), -1), np.triu(rng.integers(-1, 2, (d, d)), 1)
    T = (np.eye(d) + low) @ (np.eye(d) + up)
    return T, np.round(np.linalg.inv(T))


def _assembled(blocks, rows, seed: int) -> tuple[System, np.ndarray, np.ndarray]:
    """A = T diag(blocks) T^{-1}, S = -H^T H with H = rows T^{-1}, and B = -S/2 + skew for V = -1; T and T^{-1}."""
    d = sum(len(block) for block in blocks)
    A, at = np.zeros((d, d)), 0
    for block in blocks:
        A[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    T, inverse = _unimodular(d, seed)
    H = np.asarray(rows, float) @ inverse
    skew = np.triu(np.full((d, d), 0.25), 1)
    return System(T @ A @ inverse, 0.5 * H.T @ H + skew - skew.T, -1.0), T, inverse


def _start(d: int, seed: int) -> np.ndarray:
    L = np.random.default_rng(seed).standard_normal((d, d))
    return L @ L.T / d + 0.1 * np.eye(d)


@pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in load("sigma_limit", files=("gaussian.json",))])
def test_the_limit_is_the_golden_one_and_a_long_integration_reaches_it(case):
    inputs, expected = case["inputs"], np.array(case["expected"]["Sigma_inf"])
    one = system(inputs["A"], inputs["B"], inputs["eta"])
    run = flow(one, inputs["Sigma0"], [100.0, 200.0])
    assert run.numerical_rank[-1] == case["expected"]["rank"]
    for cov in (run.cov[-1], unstable_limit(one.A, one.S)):
        assert np.linalg.norm(cov - expected) <= 10 * case["rtol"] * np.linalg.norm(expected)
    long = integrated(one, np.linalg.cholesky(inputs["Sigma0"]), [50.0])[-1]
    np.testing.assert_allclose(long, expected, atol=1e-9)


def test_the_limit_does_not_depend_on_the_start_nor_on_directions_that_attention_does_not_see():
    """d = 4, H of rank 1: the unstable focus is observable, one stable mode is not; B is not symmetric."""
    one, *_ = _assembled([FOCUS, [[-0.5]], [[-1.0]]], [[1.0, 0.5, 0.0, 1.0]], seed=1)
    assert np.linalg.matrix_rank(one.S) == 1
    expected = unstable_limit(one.A, one.S)
    np.testing.assert_allclose(one.A @ expected + expected @ one.A.T + expected @ one.S @ expected, 0.0, atol=1e-12)
    for seed in (1, 2):
        np.testing.assert_allclose(flow(one, 10.0**seed * _start(4, seed), [80.0]).cov[-1], expected, rtol=1e-9)


def test_the_covariance_stays_below_the_linear_flow_and_grows_with_its_start():
    one, *_ = _assembled([FOCUS, [[-0.5]], [[-1.0]]], [[1.0, 0.5, 0.0, 1.0]], seed=1)
    small, ts = _start(4, 3), [0.5, 2.0, 8.0]
    lower, upper = flow(one, small, ts).cov, flow(one, small + 0.5 * np.ones((4, 4)), ts).cov
    for t, one_cov, other in zip(ts, lower, upper, strict=True):
        E = expm(one.A * t)
        assert below(one_cov, E @ small @ E.T)
        assert below(one_cov, other, slack=1e-10)


@pytest.mark.parametrize(("slow", "gamma"), [(0.5, 0.5), (-0.5, 0.5), (-1.5, 1.0)])
def test_the_rate_is_twice_the_smallest_real_part(slow, gamma):
    one, *_ = _assembled([[[1.0]], [[slow]]], [[1.0, 1.0], [0.0, 1.0]], seed=2)
    limit = unstable_limit(one.A, one.S)
    ts = np.array([14.0, 18.0]) if gamma < 1 else np.array([8.0, 12.0])
    gaps = [np.linalg.norm(cov - limit) for cov in flow(one, COV2, ts).cov]
    assert np.log(gaps[0] / gaps[1]) / 4.0 == pytest.approx(2 * gamma, rel=0.02)


def test_with_observable_imaginary_eigenvalues_the_rate_is_only_one_over_t():
    """t |cov - limit| tends to a nonzero constant; here cov = s I with s' = -2 s^2 in the rotating frame."""
    one = system(TURN, np.eye(2), -1.0)
    run = flow(one, np.eye(2), [1e2, 1e3, 1e4])
    np.testing.assert_allclose(run.ts[:, None, None] * run.cov, 0.5 * np.eye(2)[None].repeat(3, 0), atol=3e-3)
    mixed, *_ = _assembled([[[0.5]], TURN], [[1.0, 1.0, 0.0]], seed=3)
    gaps = [t * np.linalg.norm(c - unstable_limit(mixed.A, mixed.S)) for t, c in _moments(mixed, 3, [2e2, 2e3])]
    assert gaps[1] == pytest.approx(gaps[0], rel=0.05)
    assert gaps[1] > 0.1


def _moments(one: System, d: int, ts):
    return list(zip(ts, flow(one, _start(d, 5), ts).cov, strict=True))


def _shape_of_the_long_run(blocks, rows, unseen, seed: int):
    """Measured covariances and Theorem A, item 2: E W^{-1} E^T + e^{At} F_inf e^{A^T t} with F_inf on D = U + E_-.

    `unseen`: the coordinates of D in the block basis; those of the stable block are `blocks[-1]`.
    """
    one, T, _ = _assembled(blocks, rows, seed)
    d, Q = len(one.A), T[:, unseen]
    A_D = np.linalg.pinv(Q) @ one.A @ Q
    stable = slice(len(unseen) - len(blocks[-1]), len(unseen))
    N = np.zeros_like(A_D)
    N[stable, stable] = solve_continuous_lyapunov(A_D[stable, stable].T, (Q.T @ one.S @ Q)[stable, stable])
    cov0 = _start(d, seed)
    F = Q @ np.linalg.inv(Q.T @ np.linalg.inv(cov0) @ Q + N) @ Q.T
    # E_+ is spanned by the first columns of T; X from them, in the block basis.
    P = T[:, : len(blocks[0])]
    W = solve_continuous_lyapunov(blocks[0].T, -P.T @ one.S @ P)
    X = P @ np.linalg.solve(W, P.T)
    ts = np.array([40.0, 60.0, 61.0])
    predicted = [X + Q @ expm(A_D * t) @ np.linalg.pinv(Q) @ F @ (Q @ expm(A_D * t) @ np.linalg.pinv(Q)).T for t in ts]
    return flow(one, cov0, ts).cov, np.array(predicted)


def test_item_2_unobservable_oscillations_stay_and_everything_else_is_forgotten():
    """d = 6: an unstable focus, an unobservable rotation, two stable modes. The covariance turns for ever."""
    rows = [[1.0, 0.5, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]]
    measured, predicted = _shape_of_the_long_run([FOCUS, TURN, np.diag([-0.5, -0.75])], rows, [2, 3, 4, 5], seed=4)
    np.testing.assert_allclose(measured, predicted, atol=1e-9 * np.linalg.norm(predicted[0]))
    assert np.linalg.norm(measured[2] - measured[1]) > 0.1 * np.linalg.norm(measured[1])


def test_item_3_an_unobservable_zero_eigenvalue_gives_a_limit_that_depends_on_the_start():
    rows = [[1.0, 0.5, 0.0, 1.0]]
    blocks = [FOCUS, np.zeros((1, 1)), np.array([[-0.5]])]
    limits = []
    for seed in (6, 7):
        measured, predicted = _shape_of_the_long_run(blocks, rows, [2, 3], seed=seed)
        np.testing.assert_allclose(measured, predicted, atol=1e-9 * np.linalg.norm(predicted[0]))
        assert np.linalg.norm(measured[2] - measured[0]) < 1e-8 * np.linalg.norm(measured[0])
        assert np.linalg.matrix_rank(measured[2], tol=1e-7) == 3  # dim E_+ + 1
        limits.append(measured[2])
    assert np.linalg.norm(limits[0] - limits[1]) > 0.01


def test_item_1_a_chain_below_an_unobservable_oscillation_grows_like_t_or_t_squared():
    """v = (A - i w) x is unobservable: v* cov v >= (t |v|^2 + Re v*x)^2 / (x* P x + t |H x|^2)."""
    jordan = np.block([[TURN, np.eye(2)], [np.zeros((2, 2)), TURN]])
    seen = system(jordan, np.diag([0.0, 0.0, 0.5, 0.5]), -1.0)
    unseen = system(jordan, np.zeros((4, 4)), -1.0)
    for one, power in ((seen, 1), (unseen, 2)):
        traces = np.trace(flow(one, np.eye(4), [200.0, 400.0]).cov, axis1=1, axis2=2)
        assert np.log2(traces[1] / traces[0]) == pytest.approx(power, abs=0.05)


def test_item_1_an_unobservable_rotation_without_a_chain_stays_bounded():
    """A second rotation is observable: what remains of it falls like 1/t, and e^{At} F_inf e^{A^T t} is left."""
    one, T, _ = _assembled([TURN, 2 * TURN], [[0.0, 0.0, 1.0, 0.0]], seed=8)
    cov0, Q = _start(4, 8), T[:, :2]
    F = Q @ np.linalg.inv(Q.T @ np.linalg.inv(cov0) @ Q) @ Q.T
    gaps = []
    for t in (1600.0, 6400.0):
        ts = np.linspace(t, t + 7.0, 15)
        left = np.array([expm(one.A * s) @ F @ expm(one.A * s).T for s in ts])
        gaps.append(t * np.abs(flow(one, cov0, ts).cov - left).max())
    assert gaps[1] == pytest.approx(gaps[0], rel=0.1)


def _projected(one: System, factor, t: float) -> np.ndarray:
    """Theorem A, item 5, when all of A is unstable: W^{-1/2} Pi_t W^{-1/2}, Pi_t on W^{1/2} e^{At} range."""
    root = np.real(sqrtm(solve_continuous_lyapunov(one.A.T, -one.S)))
    basis = orth(root @ expm(one.A * t) @ factor)
    half = np.linalg.solve(root, basis)
    return half @ half.T


def test_item_5_a_singular_start_follows_a_rotating_projection():
    one = system([[0.5, -1.0, 0.0], [0.75, 0.5, 0.25], [0.0, 0.0, 0.25]], np.diag([1.0, 0.5, 0.75]), -1.0)
    factor = np.array([[1.0, 0.0], [0.5, 0.5], [0.25, -1.0]])
    for t, cov in zip((30.0, 31.0), flow(one, factor @ factor.T, [30.0, 31.0]).cov, strict=True):
        np.testing.assert_allclose(cov, _projected(one, factor, t), atol=1e-5)


def test_item_5_the_rightmost_eigenvalues_carry_the_limit_or_a_cut_pair_turns():
    """Eigenvalues 1/2 +- i sqrt(3)/2 and 1/4: rank 2 has a limit, on the plane of the pair; rank 1 turns."""
    one = system([[0.5, -1.0, 0.0], [0.75, 0.5, 0.25], [0.0, 0.0, 0.25]], np.diag([1.0, 0.5, 0.75]), -1.0)
    factor = np.array([[1.0, 0.0], [0.5, 0.5], [0.25, -1.0]])
    Q = np.eye(3)[:, :2]
    carried = Q @ np.linalg.inv(solve_continuous_lyapunov((Q.T @ one.A @ Q).T, -Q.T @ one.S @ Q)) @ Q.T
    np.testing.assert_allclose(flow(one, factor @ factor.T, [100.0]).cov[-1], carried, atol=1e-8)
    period = np.pi / np.sqrt(0.75)
    line = factor[:, :1]
    covs = flow(one, line @ line.T, 80.0 + period * np.array([0.0, 0.5, 1.0])).cov
    np.testing.assert_allclose(covs[2], covs[0], atol=1e-6)
    assert np.linalg.norm(covs[1] - covs[0]) > 0.1


def test_item_5_with_real_unstable_eigenvalues_a_singular_start_converges_to_a_smaller_limit():
    one = system([[0.5, 1.0], [0.0, 1.0]], np.diag([1.0, 0.5]), -1.0)
    line = np.array([[1.0], [1.0]])
    covs = flow(one, line @ line.T, [40.0, 80.0]).cov
    np.testing.assert_allclose(covs[0], covs[1], atol=1e-7)
    np.testing.assert_allclose(covs[1], _projected(one, line, 80.0), atol=1e-7)
    assert np.linalg.matrix_rank(covs[1], tol=1e-9) == 1
    assert np.linalg.norm(covs[1] - unstable_limit(one.A, one.S)) > 0.1


def test_item_5_a_singular_start_with_every_unstable_direction_has_the_limit_of_the_theorem():
    one, T, _ = _assembled([FOCUS, [[-0.5]], [[-1.0]]], [[1.0, 0.5, 0.0, 1.0]], seed=1)
    factor = T[:, :2] + 2 * T[:, 2:]
    np.testing.assert_allclose(flow(one, factor @ factor.T, [80.0]).cov[-1], unstable_limit(one.A, one.S), rtol=1e-9)


def test_dropped_hypothesis_T1_an_unobservable_unstable_mode_grows():
    run = flow(T1, np.eye(2), [1.0, 5.0])
    np.testing.assert_allclose(run.cov[:, 1, 1], np.exp(2 * run.ts), rtol=1e-9)
    np.testing.assert_allclose(run.cov[-1, 0, 0], 1.0, rtol=1e-3)


def test_dropped_hypothesis_T2_an_unobservable_zero_eigenvalue_keeps_the_start():
    for off, last in ((0.25, 0.5), (-0.5, 1.0)):
        cov = np.array([[1.0, off], [off, last]])
        run = flow(T2, cov, [1e6])
        np.testing.assert_allclose(run.cov[-1], np.diag([0.0, last - off**2]), atol=1e-5)


def test_dropped_hypothesis_T3_an_unobservable_rotation_goes_on_for_ever():
    """A quarter turn later the two variances have changed places; the start is not round."""
    cov = np.array([[1.0, 0.25, 0.25], [0.25, 2.0, 0.25], [0.25, 0.25, 1.0]])
    run = flow(T3, cov, [50.0, 50.0 + np.pi / 2, 50.0 + np.pi])
    np.testing.assert_allclose(run.cov[0, 1:, 1:], run.cov[2, 1:, 1:], rtol=1e-9)
    np.testing.assert_allclose(run.cov[0, 1, 1], run.cov[1, 2, 2], rtol=1e-9)
    assert abs(run.cov[0, 1, 1] - run.cov[1, 1, 1]) > 0.5
    np.testing.assert_allclose(run.cov[:, 0, 0], 1.0, rtol=1e-9)


def test_dropped_hypothesis_T4_a_chain_below_an_unobservable_mode_grows_linearly():
    run = flow(T4, np.eye(2), [1.0, 10.0, 1000.0])
    np.testing.assert_allclose(run.cov[:, 0, 0], 1 + run.ts**2 / (1 + 2 * run.ts), rtol=1e-9)


def test_dropped_hypothesis_T5_a_singular_start_rotates_for_ever():
    """cov = u u^T / |...| with u = (cos t, sin t): cov(0) = e1 e1^T is at rest in the rotating frame."""
    run = flow(T5, np.diag([1.0, 0.0]), [1.0, 50.0])
    for t, cov in zip(run.ts, run.cov, strict=True):
        u = np.array([np.cos(t), np.sin(t)])
        np.testing.assert_allclose(cov, np.outer(u, u), atol=1e-8)
    assert run.rank == 1
