"""What is proved to be out of reach: no false alarm on targets that a flow reaches, an alarm on those moved away."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow.reachability.constrained.constraints import AttentionOnly, TimeInvariant, choice_of
from attnflow.reachability.constrained.limits import obstructions
from attnflow.reachability.constrained.problem import problem_of


def problem(constraint, start, target, time=1.0):
    return problem_of(choice_of(constraint, len(start)), start, target, time)


def led(start, time, controls):
    """The end state [mean, factor] under controls(t) = (A, B, V, b), by SciPy."""

    def rate(t, flat):
        A, B, V, b = controls(t)
        y = flat.reshape(start.shape)
        moved = (A + V @ y[:, 1:] @ y[:, 1:].T @ B) @ y
        moved[:, 0] += V @ y[:, 0] + b
        return moved.ravel()

    return solve_ivp(rate, (0, time), start.ravel(), "DOP853", rtol=1e-12, atol=1e-13).y[:, -1].reshape(start.shape)


def unseen_case(rng):
    """B has the kernel span(n), and A n is a multiple of n: A alone moves n."""
    n = np.array([1.0, -2.0, 0.5])
    A = 0.3 * rng.normal(size=(3, 3))
    A += np.outer(0.4 * n - A @ n, n) / (n @ n)
    B = rng.normal(size=(3, 3))
    return A, B - np.outer(B @ n, n) / (n @ n)


@pytest.mark.parametrize("r", [2, 3])
def test_what_b_does_not_see_moves_with_the_feedforward_alone(r, rng):
    A, B = unseen_case(rng)
    L = rng.normal(size=(3, r))
    L[:, 0] = [1.0, -2.0, 0.5]
    start = np.hstack([rng.normal(size=(3, 1)), L])
    V, wave, b = 0.4 * rng.normal(size=(3, 3)), 0.4 * rng.normal(size=(3, 3)), rng.normal(size=3)
    end = led(start, 0.8, lambda t: (A, B, V + wave * np.sin(5 * t), b))
    turned = np.linalg.qr(rng.normal(size=(r, r)))[0]
    same = np.hstack([end[:, :1], end[:, 1:] @ turned])  # another factor of the same covariance
    assert obstructions(problem(AttentionOnly(A=A, B=B, b=b), start, same, 0.8)) == ()
    moved = np.hstack([end[:, :1], 1.1 * end[:, 1:]])
    (reason,) = obstructions(problem(AttentionOnly(A=A, B=B, b=b), start, moved, 0.8))
    assert "B does not see 1 direction" in reason


def test_a_start_of_low_rank_that_avoids_the_unseen_direction_is_free(rng):
    A, B = unseen_case(rng)
    start, target = rng.normal(size=(2, 3, 2))
    assert obstructions(problem(AttentionOnly(A=A, B=B), start, target)) == ()


def test_what_v_does_not_reach_moves_with_the_feedforward_alone(rng):
    w = np.array([0.5, 1.0, -1.0])
    A = 0.3 * rng.normal(size=(3, 3))
    A += np.outer(w, 0.2 * w - A.T @ w) / (w @ w)
    V = rng.normal(size=(3, 3))
    V -= np.outer(w, w @ V) / (w @ w)
    B, b, start = 0.3 * rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(3, 4))
    end = led(start, 0.7, lambda t: (A, B, 0.5 * V, b))
    constraint = TimeInvariant(A=A, V=0.5 * V, b=b)
    assert obstructions(problem(constraint, start, end, 0.7)) == ()
    reasons = obstructions(problem(constraint, start, 1.2 * end, 0.7))
    assert len(reasons) == 2
    assert all("V does not reach" in reason for reason in reasons)


def test_a_mean_at_zero_stays_there_without_a_bias(rng):
    start, target = rng.normal(size=(2, 2, 3))
    start[:, 0] = 0.0
    constraint = AttentionOnly(A=rng.normal(size=(2, 2)))
    assert "stays 0" in obstructions(problem(constraint, start, target))[0]
    assert obstructions(problem(constraint, target, start)) == ()  # never quite at 0, but as close as one likes
    with_bias = AttentionOnly(A=rng.normal(size=(2, 2)), b=[0.0, 1.0])
    assert obstructions(problem(with_bias, start, target)) == ()


@pytest.mark.parametrize(
    ("b", "start", "target", "possible"),
    [
        (0.0, 1.0, -1.0, False), (0.0, 1.0, 2.0, True), (1.0, 0.5, -0.5, False), (1.0, -0.5, 0.5, True),
        (1.0, 0.0, 0.5, True), (1.0, 0.5, 0.0, True), (-1.0, -0.5, 0.5, False), (-1.0, 0.5, -0.5, True),
    ],
)  # fmt: skip
def test_on_a_line_the_mean_passes_zero_with_the_bias_only(b, start, target, possible):
    found = obstructions(problem(AttentionOnly(A=[[0.3]], b=[b]), np.array([[start, 1.0]]), np.array([[target, 2.0]])))
    assert (found == ()) == possible


def test_attention_without_effect_leaves_the_covariance_to_the_feedforward(rng):
    A, start = 0.5 * rng.normal(size=(2, 2)), rng.normal(size=(2, 3))
    end = led(start, 1.5, lambda t: (A, np.zeros((2, 2)), np.ones((2, 2)), np.zeros(2)))
    for constraint in (AttentionOnly(A=A, B=np.zeros((2, 2))), TimeInvariant(A=A, V=np.zeros((2, 2)))):
        assert obstructions(problem(constraint, start, end, 1.5)) == ()
        assert "does not act" in obstructions(problem(constraint, start, 1.3 * end, 1.5))[0]


def test_given_parameters_leave_the_covariance_no_freedom(rng):
    A, B, V = 0.3 * rng.normal(size=(3, 2, 2))
    start = rng.normal(size=(2, 3))
    end = led(start, 1.0, lambda t: (A, B, V, np.ones(2)))
    assert obstructions(problem(TimeInvariant(A=A, B=B, V=V), start, end)) == ()
    assert "whatever b is" in obstructions(problem(TimeInvariant(A=A, B=B, V=V), start, 1.1 * end))[0]
