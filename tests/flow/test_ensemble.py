"""Batches of systems against SciPy's replay one by one. d = 3 and few programs keep the compilations few."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow import Affine, SoftmaxAttention, Transformer
from attnflow.flow.dop853 import Code
from attnflow.flow.many.ensemble import Batch, flow_ensemble
from attnflow.flow.many.fields import GENERAL, SOFTMAX, Shape
from attnflow.flow.many.model import Stack, scalar_sum, softmax_sum
from attnflow.flow.many.pool import Pool
from attnflow.transformer.block import single_terms
from attnflow.transformer.multihead import MultiHeadAttention
from oracles.replay import replay_moments

pytestmark = pytest.mark.usefixtures("x64")
D = 3


def stack(layers) -> Stack:
    return Stack(jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *layers), shared=False)


def silent(done: float) -> None:
    del done


def histogram_like(rng, count, d=D, *, value="wishart"):
    """Q (d // 2, d) normal, B = -Q^T Q / sqrt(d), V = G^T G or I, starts of full rank."""
    Q, G, L = (rng.standard_normal((count, k, d)) for k in (d // 2, d, d))
    B = -np.swapaxes(Q, 1, 2) @ Q / np.sqrt(d)
    V = np.swapaxes(G, 1, 2) @ G if value == "wishart" else np.broadcast_to(np.eye(d), (count, d, d))
    layers = [SoftmaxAttention(B=b, V=v) for b, v in zip(B, V, strict=True)]
    return B, V, L / np.linalg.norm(L, axis=(1, 2))[:, None, None], stack(layers)


def run(model, factor, ts, *, mean=None, rtol=1e-6, max_steps=5000, settle=None, report=silent):
    mean = np.zeros(factor.shape[:2]) if mean is None else mean
    return flow_ensemble(Batch(model, factor, mean, np.asarray(ts, float)), rtol, max_steps, report, settle=settle)


def test_each_system_is_replayed_with_means_biases_and_several_heads(rng):
    count = 12
    A, B, V, B2, V2 = 0.3 * rng.standard_normal((5, count, D, D))
    b, tilt, bias, mean = 0.5 * rng.standard_normal((4, count, D))
    factor = 0.6 * rng.standard_normal((count, D, 2))
    layers = [
        Transformer(
            MultiHeadAttention(
                [SoftmaxAttention(B[i], V[i], query_bias=tilt[i]), SoftmaxAttention(B2[i], V2[i], value_bias=bias[i])]
            ),
            Affine(A[i], b[i]),
        )
        for i in range(count)
    ]
    ts = [0.0, 0.2, 0.5]
    flows = run(stack(layers), factor, ts, mean=mean, rtol=1e-9)
    assert flows.engine == "rosenbrock"
    assert np.all(flows.code == Code.END)
    for i in range(count):
        heads = [(B[i], V[i], tilt[i], None), (B2[i], V2[i], None, bias[i])]
        means, covs = replay_moments((A[i], b[i], heads), mean[i], factor[i], ts)
        np.testing.assert_allclose(flows.mean[i], means, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(flows.factor[i] @ np.swapaxes(flows.factor[i], 1, 2), covs, rtol=1e-7, atol=1e-7)


def test_the_special_and_the_general_rate_and_jacobian_agree(rng):
    count = 5
    A, B, V = 0.5 * rng.standard_normal((3, count, D, D))
    b, tilt = rng.standard_normal((2, count, D))
    layers = [Transformer(SoftmaxAttention(B[i], V[i], query_bias=tilt[i]), Affine(A[i], b[i])) for i in range(count)]
    model = stack(layers)
    shape = Shape(D, 2, with_mean=True, shared=False)
    states = rng.standard_normal((shape.size, count))
    last = jax.tree.map(lambda x: np.moveaxis(x, 0, -1), model.layer)
    special = jax.tree.map(lambda x: np.moveaxis(x, 0, -1), softmax_sum(model, D))
    np.testing.assert_allclose(
        SOFTMAX.rate(shape, special, states), GENERAL.rate(shape, last, states), rtol=1e-12, atol=1e-12
    )
    blocks, whole = SOFTMAX.jacobian(shape, special, states), GENERAL.jacobian(shape, last, states).top
    found = np.zeros(whole.shape)
    found[:6, :6], found[6:, :6], found[6:, 6:] = blocks.top, blocks.side, blocks.last
    np.testing.assert_allclose(found, whole, rtol=1e-11, atol=1e-11)


def test_heads_with_scalar_v_are_found_and_others_are_not(rng):
    B = rng.standard_normal((D, D))
    scalar = Transformer([SoftmaxAttention(B, 0.5), SoftmaxAttention(B, -2.0 * np.eye(D))], Affine(0.3))
    found = scalar_sum(softmax_sum(Stack(jax.tree.map(np.asarray, scalar), True), D), D)
    np.testing.assert_allclose(found.B[0], -1.5 * B)
    assert found.rate.tolist() == [0.3]
    assert scalar_sum(softmax_sum(stack([SoftmaxAttention(B, B)]), D), D) is None
    assert len(single_terms(scalar)) == 3


@pytest.mark.parametrize("d", [3, 4])
def test_the_limit_of_v_identity_is_exact_at_any_time(d, rng):
    B, _, L, model = histogram_like(rng, 200, d, value="identity")
    flows = run(model, L, [2.0, 1e12])
    assert flows.engine == "closed_form"
    np.testing.assert_array_equal(flows.limit_rank, d - d // 2)
    for i in (0, 7):
        S = B[i] + B[i].T
        expected = np.linalg.inv(np.linalg.inv(L[i] @ L[i].T) - 2.0 * S)
        np.testing.assert_allclose(flows.factor[i, 0] @ flows.factor[i, 0].T, expected, rtol=1e-9)
        normal = np.linalg.svd(B[i])[2][d // 2 :].T  # the kernel of B
        limit = normal @ np.linalg.solve(normal.T @ np.linalg.solve(L[i] @ L[i].T, normal), normal.T)
        np.testing.assert_allclose(flows.factor[i, 1] @ flows.factor[i, 1].T, limit, atol=1e-11)


def test_closed_means_and_blow_up_times_are_those_of_the_replay(rng):
    count = 6
    B = rng.standard_normal((count, D, D))
    B = B + np.swapaxes(B, 1, 2)
    L, mean = 0.5 * rng.standard_normal((count, D, 2)), rng.standard_normal((count, D))
    layers = [Transformer(SoftmaxAttention(b, 0.7), Affine(-0.4)) for b in B]
    flows = run(stack(layers), L, [1e-3, 50.0], mean=mean)
    assert flows.engine == "closed_form"
    tops = np.array([np.linalg.eigvalsh(x.T @ (1.4 * b) @ x)[-1] for x, b in zip(L, B, strict=True)])
    blows = tops > 0.8  # n(t) tends to 1 / (2 * 0.4)
    np.testing.assert_array_equal(np.isfinite(flows.blow_up), blows)
    assert blows.any()
    np.testing.assert_allclose(flows.blow_up[blows], -np.log1p(-0.8 / tops[blows]) / 0.8, rtol=1e-12)
    for i in range(count):
        stop = min(0.5 * flows.blow_up[i], 1.5)
        one = run(stack([layers[i]]), L[i : i + 1], [stop], mean=mean[i : i + 1])
        means, covs = replay_moments(
            (-0.4 * np.eye(D), np.zeros(D), [(B[i], 0.7 * np.eye(D), None, None)]), mean[i], L[i], [stop]
        )
        np.testing.assert_allclose(one.mean[0], means, rtol=1e-9)
        np.testing.assert_allclose(one.factor[0, 0] @ one.factor[0, 0].T, covs[0], rtol=1e-9, atol=1e-12)


def test_a_general_b_has_its_covariance_in_closed_form_and_its_mean_integrated(rng):
    count = 4
    B, L = 0.5 * rng.standard_normal((count, D, D)) - np.eye(D), 0.5 * rng.standard_normal((count, D, 2))
    mean = rng.standard_normal((count, D))
    flows = run(stack([SoftmaxAttention(b, 0.8) for b in B]), L, [0.6], mean=mean, rtol=1e-9)
    assert flows.engine == "closed_form"
    assert flows.steps.min() > 0
    for i in range(count):
        heads = [(B[i], 0.8 * np.eye(D), None, None)]
        means, covs = replay_moments((np.zeros((D, D)), np.zeros(D), heads), mean[i], L[i], [0.6])
        np.testing.assert_allclose(flows.mean[i], means, rtol=1e-7)
        np.testing.assert_allclose(flows.factor[i, 0] @ flows.factor[i, 0].T, covs[0], rtol=1e-11, atol=1e-13)


def test_random_values_keep_the_invariant_the_rank_and_the_accuracy_over_long_times(rng):
    B, V, L, model = histogram_like(rng, 40)
    flows = run(model, L, [10.0, 1e6], rtol=1e-11)
    cov = flows.factor @ np.swapaxes(flows.factor, 2, 3)
    for i in range(40):
        normal = np.linalg.svd(B[i])[2][D // 2 :].T
        before = normal.T @ np.linalg.solve(L[i] @ L[i].T, normal)
        after = normal.T @ np.linalg.solve(cov[i, 0], normal)
        scale = np.linalg.cond(cov[i, 0]) * np.finfo(float).eps / 1e-10
        np.testing.assert_allclose(after, before, rtol=1e-8 * max(1.0, scale))
        assert np.linalg.matrix_rank(flows.factor[i, -1], tol=1e-9) == D
    for i in range(3):

        def rate(_, y, V=V[i], B=B[i]):
            S = y.reshape(D, D)
            half = V @ S @ B @ S
            return (half + half.T).ravel()

        peer = solve_ivp(rate, (0, 10.0), (L[i] @ L[i].T).ravel(), "Radau", rtol=1e-10, atol=1e-13).y[:, -1]
        np.testing.assert_allclose(cov[i, 0], peer.reshape(D, D), rtol=1e-6, atol=1e-7)


def test_ranks_of_limits_are_exact_and_what_is_not_is_said(rng):
    _, _, L, model = histogram_like(rng, 300)
    flows = run(model, L, [1e6])
    assert np.all(flows.limit_rank[~flows.undecided] == 2)
    assert np.count_nonzero(flows.undecided) < 40
    assert flows.steps.max() < 400
    settled = run(model, L, [1e6], settle=1e9)
    assert np.count_nonzero(settled.undecided) < 3
    assert np.all(settled.limit_rank[~settled.undecided] == 2)
    np.testing.assert_array_equal(settled.factor, flows.factor)


def test_stiff_systems_do_not_stall(rng):
    _, _, L, _ = histogram_like(rng, 8)
    B = -np.eye(D) + 0.1 * rng.standard_normal((8, D, D))
    V = np.array([np.diag([1e6, 1.0, 1e-2])] * 8) + 0.01 * rng.standard_normal((8, D, D))
    V = V @ np.swapaxes(V, 1, 2) / 1e6
    flows = run(stack([SoftmaxAttention(b, v) for b, v in zip(B, V, strict=True)]), L, [100.0])
    assert np.all(flows.code == Code.END)
    assert flows.steps.max() < 1000


def test_blow_up_overflow_and_budget_are_codes_and_nothing_is_not_finite(rng):
    L = 0.5 * rng.standard_normal((4, D, 2))
    V = np.eye(D) + 0.2 * rng.standard_normal((4, D, D))
    grows = stack([SoftmaxAttention(np.eye(D), v) for v in V])
    flows = run(grows, L, [1e-3, 1e3], rtol=1e-8)
    assert np.all(flows.code == Code.BLOW_UP)
    assert flows.reached.tolist() == [[True, False]] * 4
    np.testing.assert_array_equal(flows.factor[:, 1], flows.factor[:, 0])
    for i in range(2):  # one over the trace falls to zero

        def rate(_, y, V=V[i]):
            S = y.reshape(D, D)
            half = V @ S @ S
            return (half + half.T).ravel()

        def far(_, y):
            return np.trace(y.reshape(D, D)) - 1e7

        far.terminal = True
        peer = solve_ivp(rate, (0, 1e3), (L[i] @ L[i].T).ravel(), "DOP853", rtol=1e-11, atol=1e-13, events=far)
        assert flows.blow_up[i] == pytest.approx(peer.t[-1], rel=1e-5)
    exploding = stack([Transformer(SoftmaxAttention(np.zeros((D, D)), v), Affine(2.0)) for v in V])
    over = run(exploding, L, [1.0, 1e6])
    assert np.all(over.code == Code.OVERFLOW)
    assert np.all(np.isfinite(over.factor))
    assert np.all(over.limit_rank == -1)
    short = run(grows, L, [1e-3, 1e3], max_steps=5)
    assert np.all(short.code == Code.BUDGET)


def test_a_system_does_not_feel_its_neighbours_and_lanes_are_used_again(rng):
    _, _, L, model = histogram_like(rng, 30)
    batch = Batch(model, L, np.zeros((30, D)), np.array([1.0, 50.0]))
    whole = flow_ensemble(batch, 1e-6, 5000, silent)
    last = jax.tree.map(lambda x: np.ascontiguousarray(np.moveaxis(x, 0, -1)), softmax_sum(model, D))
    pool = Pool(SOFTMAX, Shape(D, D, False, False), last, L.reshape(30, -1).T.copy(), batch.ts, 1e-6, 5000)
    pool.width = 8
    seen = []
    pool.run(seen.append)
    np.testing.assert_array_equal(pool.code, Code.END)
    np.testing.assert_allclose(np.moveaxis(pool.out, 2, 0).reshape(30, 2, D, D), whole.factor, rtol=1e-6, atol=1e-9)
    assert seen[-1] == 30
    assert seen == sorted(seen)


def test_an_interrupt_keeps_what_was_reached(rng):
    _, _, L, model = histogram_like(rng, 40)

    def stop(done: float) -> None:
        raise KeyboardInterrupt

    flows = run(model, L, [1e-6, 1e3], report=stop)
    assert np.all(flows.code == Code.RUNNING)
    assert flows.reached[:, 0].all()
    assert not flows.reached[:, 1].any()
    assert np.all(flows.limit_rank == -1)
