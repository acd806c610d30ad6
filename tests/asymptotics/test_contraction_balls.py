"""Balls of starts that vanish, and the exact basin of zero, against SciPy's integration and rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg

from attnflow.asymptotics.blow_up import blow_up_bounds
from attnflow.asymptotics.regime import Held
from attnflow.asymptotics.small_starts import basin_hypotheses, basin_of_zero, lyapunov_weights, small_start_radius
from attnflow.asymptotics.system import System
from oracles import replay

C4 = ([[1.0, -1.0], [3.0, -2.0]], (-np.diag([1.0, 8.0]), np.eye(2)))
"""A is Hurwitz, and diag(0.4, ...) of rank one attracts from the identity."""


def system_of(A, *heads) -> System:
    """Heads are pairs (V, B)."""
    A, d = np.array(A, float), len(A)
    V, B = (np.array([head[i] for head in heads], float).reshape(-1, d, d) for i in (0, 1))
    return System(A, V, B, np.zeros(d), np.zeros((len(heads), d)))


def moved(system: System, cov, t: float) -> np.ndarray:
    """The covariance at `t`, by the replay; ArithmeticError where it blows up."""
    heads = [(B, V, None, None) for V, B in zip(system.V, system.B, strict=True)]
    factor = np.linalg.cholesky(cov)
    _, (end,) = replay.replay((system.A, np.zeros(system.dim), heads), np.zeros(system.dim), factor, [t], rtol=1e-9)
    return end @ end.T


def hurwitz(rng, d: int) -> np.ndarray:
    A = rng.normal(size=(d, d))
    return A - (np.linalg.eigvals(A).real.max() + rng.uniform(0.2, 0.6)) * np.eye(d)


@pytest.mark.parametrize("seed", range(12))
def test_every_start_on_a_slightly_smaller_sphere_vanishes(seed):
    rng = np.random.default_rng([47, seed])
    d = int(rng.integers(2, 5))
    heads = [(rng.normal(size=(d, d)), rng.normal(size=(d, d))) for _ in range(1 + seed % 2)]
    system = system_of(hurwitz(rng, d), *heads)
    ball = small_start_radius(system)
    root = scipy.linalg.sqrtm(np.linalg.inv(ball.weight)).real
    for _ in range(3):
        inner = rng.normal(size=(d, d))
        inner = inner @ inner.T + 1e-3 * np.eye(d)
        start = 0.99 * ball.radius * root @ (inner / np.linalg.eigvalsh(inner)[-1]) @ root
        start = 0.5 * (start + start.T)
        assert ball.contains(start)
        assert ball.room(start) == pytest.approx(0.01, rel=1e-6)
        gap = -np.linalg.eigvals(system.A).real.max()
        end = moved(system, start, 12.0 / gap + 10.0)
        assert np.linalg.norm(end) < 1e-3 * np.linalg.norm(start)


@pytest.mark.parametrize("seed", range(6))
def test_the_size_decays_at_the_stated_rate_at_the_start(seed):
    """z' <= -decay (1 - z / radius) z for the largest eigenvalue z, by a difference quotient of exact flows."""
    rng = np.random.default_rng([48, seed])
    system = system_of(hurwitz(rng, 3), (rng.normal(size=(3, 3)), rng.normal(size=(3, 3))))
    ball, step = small_start_radius(system), 1e-6
    root = scipy.linalg.sqrtm(ball.weight).real
    inner = rng.normal(size=(3, 3))
    start = np.linalg.solve(root, np.linalg.solve(root, inner @ inner.T).T)
    start *= rng.uniform(0.1, 0.9) * ball.radius / np.linalg.eigvalsh(root @ start @ root)[-1]
    start = 0.5 * (start + start.T)
    z, later = (np.linalg.eigvalsh(root @ cov @ root)[-1] for cov in (start, moved(system, start, step)))
    assert (later - z) / step <= -ball.decay * (1 - z / ball.radius) * z + 1e-3 * z


def test_the_ball_of_c4_excludes_the_start_that_does_not_vanish():
    system = system_of(*C4)
    np.testing.assert_allclose(moved(system, np.eye(2), 60.0), [[0.4, 0.2], [0.2, 0.1]], atol=1e-6)
    assert not small_start_radius(system, cov=np.eye(2)).contains(np.eye(2))
    ball = small_start_radius(system)
    assert 1e-3 < ball.spectral_radius < 0.1
    assert ball.contains(0.99 * ball.spectral_radius * np.eye(2))


def test_the_ball_for_a_start_leaves_it_the_most_room(rng):
    system = system_of(hurwitz(rng, 3), (rng.normal(size=(3, 3)), rng.normal(size=(3, 3))))
    start = np.diag([1.0, 1e-3, 1e-3])
    best = small_start_radius(system, cov=start).room(start)
    assert best >= small_start_radius(system).room(start)
    others = [small_start_radius(system, weight=P) for P in lyapunov_weights(system.A)]
    assert best >= max(ball.room(start) for ball in others if ball is not None)


def test_a_given_weight_is_used_and_may_fail():
    system = system_of([[-1.0, 8.0], [0.0, -1.0]], (np.array([[1.0, 0.5], [0.0, 1.0]]), np.eye(2)))
    assert small_start_radius(system, weight=np.eye(2)) is None  # A + A^T is indefinite
    ball = small_start_radius(system, weight=np.diag([1.0, 100.0]))
    np.testing.assert_array_equal(ball.weight, np.diag([1.0, 100.0]))
    assert ball.radius > 0


def test_without_a_hurwitz_feed_forward_there_is_no_ball():
    """Scalar a = 0 with opposite signs vanishes like 1 / t, but not from a ball at an exponential rate."""
    assert small_start_radius(system_of([[0.0]], ([[-1.0]], [[1.0]]))) is None
    assert small_start_radius(system_of([[0.5, 1.0], [0.0, -1.0]], (np.eye(2), np.eye(2)))) is None
    assert lyapunov_weights(np.array([[0.5, 1.0], [0.0, -1.0]])) == []


def test_every_start_vanishes_where_the_quadratic_term_only_helps():
    V = -np.array([[1.0, 0.25], [0.25, 1.5]])
    system = system_of([[-1.0, 0.5], [-0.25, -0.75]], (V, np.eye(2)))
    ball = small_start_radius(system)
    assert ball.radius is None
    assert ball.contains(1e6 * np.eye(2))
    assert np.linalg.norm(moved(system, 100 * np.eye(2), 40.0)) < 1e-6


class TestBasin:
    """V = eta I, S >= 0, A Hurwitz."""

    A = np.array([[-0.25, 1.0], [0.0, -0.5]])
    B = np.array([[1.0, 0.25], [0.5, 2.0]])

    def system(self, eta: float = 0.5) -> System:
        return system_of(self.A, (eta * np.eye(2), self.B))

    def test_the_gramian_solves_its_equation_in_rational_arithmetic(self):
        """A is triangular: N11, N12, N22 in turn."""
        a, u, c = Fraction(-1, 4), Fraction(1), Fraction(-1, 2)
        s11, s12, s22 = Fraction(1), Fraction(3, 8), Fraction(2)  # 0.5 (B + B^T)
        n11 = -s11 / (2 * a)
        n12 = -(s12 + u * n11) / (a + c)
        n22 = -(s22 + 2 * u * n12) / (2 * c)
        found = basin_of_zero(self.system()).gramian
        np.testing.assert_allclose(found, np.array([[n11, n12], [n12, n22]], float), rtol=1e-14)

    @pytest.mark.parametrize("angle", [0.2, 0.9, 2.2])
    def test_the_separatrix_parts_zero_from_blow_up(self, angle):
        basin, system = basin_of_zero(self.system()), self.system()
        u = np.array([np.cos(angle), np.sin(angle)])
        shape = np.outer(u, u) + 0.2 * np.eye(2)
        edge = shape / (1.0 - basin.margin(shape))
        assert basin.inside(edge) is Held.BORDERLINE
        assert basin.inside(0.99 * edge) is Held.HOLDS
        assert basin.margin(0.99 * edge) == pytest.approx(0.01)
        assert np.linalg.norm(moved(system, 0.99 * edge, 80.0)) < 1e-6
        assert basin.inside(1.01 * edge) is Held.FAILS
        with pytest.raises(ArithmeticError):
            moved(system, 1.01 * edge, 80.0)

    def test_the_ball_in_the_norm_of_the_gramian_is_the_whole_basin(self):
        basin = basin_of_zero(self.system())
        start = np.array([[0.02, -0.01], [-0.01, 0.03]])
        ball = small_start_radius(self.system(), weight=basin.gramian)
        assert ball.radius == pytest.approx(1.0, rel=1e-12)
        assert ball.room(start) == pytest.approx(basin.margin(start), rel=1e-12)

    def test_singular_starts_are_measured_on_their_range(self):
        basin = basin_of_zero(self.system())
        u = np.array([1.0, -2.0])
        assert basin.margin(np.outer(u, u)) == pytest.approx(1.0 - u @ basin.gramian @ u, rel=1e-12)
        assert basin.margin(np.zeros((2, 2))) == 1.0

    def test_each_hypothesis_is_needed_and_named(self):
        other = system_of(self.A, (np.array([[0.5, 0.0], [0.125, 0.5]]), self.B))
        assert basin_of_zero(other) is None
        assert "V = eta I" in basin_hypotheses(other).reason
        assert basin_of_zero(self.system(-0.5)) is None
        assert ">= 0" in basin_hypotheses(self.system(-0.5)).reason
        unstable = system_of(self.A + np.eye(2), (np.eye(2), self.B))
        assert basin_of_zero(unstable) is None
        assert "spec A" in basin_hypotheses(unstable).reason

    def test_a_singular_form_counts_exactly(self):
        """S = 2 u u^T: unobservable starts are in the basin whatever their size."""
        u = np.array([1.0, 3.0]) / 2.0
        system = system_of(np.diag([-1.0, -1.0]), (np.eye(2), np.outer(u, u)))
        basin = basin_of_zero(system)
        assert basin.attempt.applies
        v = np.array([-3.0, 1.0])
        assert basin.inside(100.0 * np.outer(v, v)) is Held.HOLDS


def test_eigenvalues_that_only_rounding_makes_stable_give_no_certificate():
    """C5: the eigenvalues of A are +-i, zero is unstable however small the start, and rounding must not hide it."""
    V, B = -np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([[256.0, -15.0], [-15.0, 1.0]])
    for turn in np.linspace(0.0, 3.0, 40):  # in turned coordinates the eigenvalues round to both sides
        R = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        A = R @ np.array([[0.0, 1 / 16], [-16.0, 0.0]]) @ R.T
        turned, form = R @ V @ R.T, R @ B @ R.T
        system = system_of(A, (0.5 * (turned + turned.T), 0.5 * (form + form.T)))
        for size in (1e-12, 1e-30):
            ball = small_start_radius(system, cov=size * np.eye(2))
            assert ball is None or not ball.contains(size * np.eye(2))
            assert blow_up_bounds(system, size * np.eye(2)).collapse is None


def test_a_spectrum_within_rounding_of_the_axis_has_no_basin():
    system = system_of([[-1e-18, 1.0], [0.0, -1.0]], (np.eye(2), np.array([[1.0, 0.25], [0.25, 1.0]])))
    assert basin_hypotheses(system).applies  # exactly
    assert basin_of_zero(system) is None
    assert small_start_radius(system) is None
