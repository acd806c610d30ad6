"""When no start blows up: the conditions, flows that keep to the bounds of the proofs, and flows that break them."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af
from attnflow.asymptotics.existence import global_existence
from attnflow.asymptotics.regime import Held
from attnflow.asymptotics.system import System
from oracles import replay

SEMI = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 0.5]])
"""Positive semidefinite and singular, exactly."""

TURN = np.array([[0.0, 1.0, -2.0], [-1.0, 0.0, 0.5], [2.0, -0.5, 0.0]])


def system_of(A, *heads) -> System:
    """Heads are pairs (V, B)."""
    A, d = np.array(A, float), len(A)
    V, B = (np.array([head[i] for head in heads], float).reshape(-1, d, d) for i in (0, 1))
    return System(A, V, B, np.zeros(d), np.zeros((len(heads), d)))


@pytest.mark.parametrize(
    ("V", "B"),
    [(SEMI, TURN - SEMI), (-SEMI, TURN + SEMI), (TURN - np.eye(3), SEMI), (TURN + np.eye(3), -SEMI)],
    ids=["V >= 0", "V <= 0", "B >= 0", "B <= 0"],
)
def test_opposite_signs_hold_exactly_and_keep_the_trace_below_its_bound(rng, V, B):
    A, root = rng.normal(size=(3, 3)), 3.0 * rng.normal(size=(3, 3))
    attempt = global_existence(system_of(A, (V, B)))
    assert attempt.applies, attempt.reason
    ts = np.linspace(0.25, 2.0, 8)
    _, covs = replay.replay_moments((A, np.zeros(3), [(B, V, None, None)]), np.zeros(3), root, ts, rtol=1e-10)
    bound = np.trace(root @ root.T) * np.exp(np.linalg.eigvalsh(A + A.T)[-1] * ts)
    assert (np.trace(covs, axis1=1, axis2=2) <= bound * (1 + 1e-8)).all()


def test_the_best_of_the_four_ways_is_reported_with_its_failure():
    attempt = global_existence(system_of(np.eye(3), (np.eye(3) + SEMI, SEMI - 0.01 * np.eye(3))))
    assert not attempt.applies
    assert sum(h.held is Held.FAILS for h in attempt.hypotheses) == 1


def test_a_flow_without_the_condition_blows_up():
    V, B = SEMI + np.eye(3), np.eye(3)
    assert not global_existence(system_of(np.zeros((3, 3)), (V, B))).applies
    with pytest.raises(ArithmeticError):
        replay.replay((np.zeros((3, 3)), np.zeros(3), [(B, V, None, None)]), np.zeros(3), np.eye(3), [5.0])


def test_symmetric_parts_of_opposite_sign_are_not_enough():
    """V = J - e I, B = e I - J blow up from the identity at 1 / (2 (1 - e^2))."""
    e, J = 0.125, np.array([[0.0, 1.0], [-1.0, 0.0]])
    assert not global_existence(system_of(np.zeros((2, 2)), (J - e * np.eye(2), e * np.eye(2) - J))).applies


def test_scalar_heads_are_judged_together():
    small, large = np.array([[0.5, 1.0], [0.0, 0.25]]), np.array([[4.0, 0.0], [1.0, 3.0]])
    together = system_of(np.eye(2), (np.eye(2), small), (-np.eye(2), large))
    assert global_existence(together).applies
    assert not global_existence(system_of(np.eye(2), (np.eye(2), small))).applies


def test_several_heads_are_named_and_each_is_asked():
    good, bad = (np.diag([1.0, 2.0, 3.0]), TURN - SEMI), (np.diag([1.0, 2.0, 3.0]), TURN + SEMI)
    attempt = global_existence(system_of(np.eye(3), good, bad))
    assert not attempt.applies
    assert "_2" in attempt.reason
    assert "_1" not in attempt.reason
    assert global_existence(system_of(np.eye(3), good, good)).applies
    assert global_existence(system_of(np.eye(3))).applies  # affine alone


class TestLayers:
    """The same question to layers."""

    def test_a_transformer_is_taken_apart(self):
        heads = [af.SoftmaxAttention(B=TURN - SEMI, V=SEMI), af.SinkhornAttention(B=TURN, V=TURN)]
        model = af.Transformer(heads, af.Affine(A=TURN))
        assert global_existence(model).applies
        more = af.Transformer([*heads, af.SoftmaxAttention(B=SEMI, V=SEMI)])
        assert not global_existence(more).applies

    def test_heads_that_are_all_multiples_of_the_identity_have_no_dimension(self):
        assert global_existence(af.SoftmaxAttention(B=1.5, V=-2.0)).applies
        assert not global_existence(af.SoftmaxAttention(B=1.5, V=2.0)).applies

    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_l2_with_equal_or_opposite_queries_and_keys_exists(self, sign):
        K = np.array([[1.0, 2.0, -0.5]])
        layer = af.L2Attention(Q=sign * K, K=K, V=TURN + SEMI)
        assert global_existence(layer).applies
        run = af.simulate(layer, af.Gaussian.from_moments(np.zeros(3), 4.0 * np.eye(3)), [0.5, 1.0, 2.0])
        bound = 12.0 * np.exp(2 * np.linalg.norm(TURN + SEMI, 2) * run.ts)
        assert (np.trace(run.cov, axis1=1, axis2=2) <= bound).all()

    def test_l2_with_injective_keys_exists_and_without_may_blow_up(self):
        Q = np.array([[0.0, 1.0], [0.5, 0.25]])
        assert global_existence(af.L2Attention(Q=Q, K=np.array([[1.0, 0.0], [0.5, 1.0]]), V=1.0)).applies
        assert not global_existence(af.L2Attention(Q=Q, K=np.array([[1.0, 0.5], [2.0, 1.0]]), V=1.0)).applies
        layer = af.L2Attention(Q=[[0.0, 1.0]], K=[[1.0, 0.0]], V=np.diag([0.0, 1.0]))
        assert "K of rank d" in global_existence(layer).reason
        a, c, b = 1.0, 0.5, 2.0
        run = af.simulate(layer, af.Gaussian.from_moments(np.zeros(2), [[a, c], [c, b]]), [10.0])
        assert run.status == "blow_up"
        assert run.blow_up.estimate == pytest.approx((0.5 + a) / c, rel=1e-6)

    def test_keys_of_nearly_full_rank_are_decided_exactly(self):
        row = np.array([1.0, 3.0, 7.0]) / 8.0
        K = np.stack([row, 3.0 * row, [0.0, 1.0, 0.0]])
        attempt = global_existence(af.L2Attention(Q=np.eye(3), K=K, V=1.0))
        assert not attempt.applies
        assert attempt.hypotheses[0].exact

    def test_sigmoid_exists_alone_and_beside_terms_with_a_tame_mean(self):
        sigmoid = af.SigmoidAttention(B=TURN, V=SEMI)
        assert global_existence(sigmoid).applies
        assert global_existence(af.Transformer([sigmoid, af.SinkhornAttention(B=TURN, V=SEMI)])).applies
        assert global_existence(af.Transformer([sigmoid, af.L2Attention(Q=TURN, K=np.eye(3), V=SEMI)])).applies
        beside = af.Transformer([sigmoid, af.SoftmaxAttention(B=TURN - SEMI, V=SEMI)])
        assert not global_existence(beside).applies
        assert "SoftmaxAttention" in global_existence(beside).reason

    def test_other_kinds_are_not_covered(self):
        attempt = global_existence(af.LinearAttention(B=TURN, V=SEMI))
        assert not attempt.applies
        assert "LinearAttention" in attempt.reason
