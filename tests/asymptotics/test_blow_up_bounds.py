"""Bounds of the blow-up time, against times that SciPy integrates to and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from attnflow.asymptotics import blow_up
from attnflow.asymptotics.blow_up import Side, blow_up_bounds
from attnflow.asymptotics.comparison import Comparison
from attnflow.asymptotics.system import System
from oracles import replay


def system_of(A, *heads) -> System:
    """Heads are pairs (V, B)."""
    A, d = np.array(A, float), len(A)
    V, B = (np.array([head[i] for head in heads], float).reshape(-1, d, d) for i in (0, 1))
    return System(A, V, B, np.zeros(d), np.zeros((len(heads), d)))


def blow_up_time(system: System, factor, rtol: float = 1e-11) -> float:
    heads = [(B, V, None, None) for V, B in zip(system.V, system.B, strict=True)]
    return replay.blow_up_time((system.A, np.zeros(system.dim), heads), factor, rtol=rtol)


def positive(rng, d: int, spread: float = 8.0) -> np.ndarray:
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    found = (turn * np.exp(rng.uniform(0.0, np.log(spread), d))) @ turn.T
    return 0.5 * (found + found.T)


def draw(seed: int) -> tuple[System, np.ndarray]:
    """One or two heads with V and B symmetric positive definite, or both negative definite; starts of any rank."""
    rng = np.random.default_rng([46, seed])
    d = int(rng.integers(1, 6))
    signs = rng.choice([-1.0, 1.0], size=1 + seed % 2)
    heads = [(sign * positive(rng, d), sign * positive(rng, d)) for sign in signs]
    return system_of(0.7 * rng.normal(size=(d, d)), *heads), rng.normal(size=(d, int(rng.integers(1, d + 1))))


@pytest.mark.parametrize("block", range(4))
def test_the_blow_up_time_lies_between_all_bounds(block):
    names = set()
    for seed in range(50 * block, 50 * block + 50):
        system, factor = draw(seed)
        bounds = blow_up_bounds(system, factor @ factor.T, rank=factor.shape[1])
        if bounds.upper is None:
            continue
        T_f = blow_up_time(system, factor)
        for bound in bounds.bounds:
            if bound.side is Side.LOWER:
                assert bound.value <= T_f * (1 + 1e-9), (seed, bound)
            elif bound.value is not None:
                assert bound.value >= T_f * (1 - 1e-9), (seed, bound)
        names |= {(bound.name, bound.side) for bound in bounds.bounds}
    assert len(names) >= 8


def test_trace_bounds_come_in_the_order_of_their_derivation():
    for seed in range(100):
        system, factor = draw(2 * seed)
        bounds = blow_up_bounds(system, factor @ factor.T, rank=factor.shape[1])
        paper, rank, simple, sharp = (
            bounds.bound(name, Side.UPPER).comparison.quadratic
            for name in (blow_up.PAPER, blow_up.RANK, blow_up.TRACE, blow_up.SHARP_TRACE)
        )
        assert paper <= rank * (1 + 1e-12)
        assert paper <= simple * (1 + 1e-12)
        assert simple <= sharp * (1 + 1e-12)
        norms, centred = (bounds.bound(name, Side.LOWER).comparison for name in (blow_up.NORMS, blow_up.CENTRED))
        assert centred.quadratic <= norms.quadratic * (1 + 1e-12)


def test_the_sharpest_trace_rate_is_the_minimum_over_all_covariances_of_trace_one(rng):
    """min of 2 tr(V X B X) over symmetric X with trace 1, by a dense solve on all of R^{d x d}."""
    d = 4
    V, B = positive(rng, d), positive(rng, d)
    operator = 0.5 * (np.kron(V, B) + np.kron(B, V))  # X -> (V X B + B X V) / 2 on rows
    inverse = np.linalg.solve(operator, np.eye(d).ravel())
    found = blow_up_bounds(system_of(np.eye(d), (V, B)), np.eye(d)).bound(blow_up.SHARP_TRACE, Side.UPPER)
    assert found.comparison.quadratic == pytest.approx(2.0 / (np.eye(d).ravel() @ inverse), rel=1e-12)


@pytest.mark.parametrize("a", [0.6, 0.0, -0.05])
@pytest.mark.parametrize("eta", [1.7, -1.7])
def test_both_sides_are_exact_when_value_and_feed_forward_are_multiples_of_the_identity(rng, a, eta):
    d = 4
    B = np.sign(eta) * positive(rng, d) + 0.3 * scipy.linalg.block_diag([[0, 1], [-1, 0]], [[0, 2], [-2, 0]])
    root = rng.normal(size=(d, d))
    S = eta * (B + B.T)
    largest = np.linalg.eigvalsh(root.T @ S @ root)[-1]
    exact = 1.0 / largest if a == 0 else np.log1p(2 * a / largest) / (2 * a)
    found = blow_up_bounds(system_of(a * np.eye(d), (eta * np.eye(d), B)), root @ root.T)
    assert found.lower == pytest.approx(exact, rel=1e-12)
    assert found.upper == pytest.approx(exact, rel=1e-12)


def test_an_infinite_lower_bound_excludes_a_blow_up_and_shows_the_collapse():
    V, B = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.25], [-0.25, 3.0]])
    system = system_of([[-1.0, 0.75], [-0.25, -0.5]], (V, B))
    small = 0.01 * np.array([[1.0, 0.5], [0.5, 2.0]])
    bounds = blow_up_bounds(system, small)
    assert bounds.never is not None
    assert bounds.collapse is not None
    assert bounds.lower is None
    assert bounds.upper is None
    parameters = (system.A, np.zeros(2), [(B, V, None, None)])
    _, factors = replay.replay(parameters, np.zeros(2), np.linalg.cholesky(small), [60.0])
    assert np.abs(factors).max() < 1e-6
    large = blow_up_bounds(system, 100 * np.eye(2))
    assert large.never is None
    assert large.lower <= blow_up_time(system, 10 * np.eye(2)) <= large.upper


def test_opposite_signs_have_no_upper_bound_and_the_weighted_lower_bound_excludes_a_blow_up():
    V, B = -np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 0.25], [0.25, 1.5]])
    assert np.linalg.eigvalsh(B @ V + V @ B)[-1] < 0
    found = blow_up_bounds(system_of([[1.0, 2.0], [0.5, 0.25]], (V, B)), np.array([[2.0, 0.5], [0.5, 1.0]]))
    assert found.upper is None
    assert found.never.name == blow_up.WEIGHTED
    assert found.collapse is None
    assert not found.attempts[0].applies
    assert "B < 0" in found.attempts[0].reason


def test_definite_but_not_symmetric_matrices_get_no_upper_bound_and_need_not_blow_up():
    """V = B = e I + J with small e: s' = -2 (1 - e^2) s^2 from the identity, which exists for ever."""
    e, J = 0.125, np.array([[0.0, 1.0], [-1.0, 0.0]])
    V = e * np.eye(2) + J
    found = blow_up_bounds(system_of(np.zeros((2, 2)), (V, V)), np.eye(2))
    assert found.upper is None
    assert "symmetric" in found.attempts[0].reason
    _, factors = replay.replay((np.zeros((2, 2)), np.zeros(2), [(V, V, None, None)]), np.zeros(2), np.eye(2), [5.0])
    np.testing.assert_allclose(factors[0] @ factors[0].T, np.eye(2) / (1 + 2 * (1 - e**2) * 5.0), atol=1e-10)


def test_the_wrong_order_of_signs_can_blow_up_before_no_upper_bound():
    """V = -e I + J, B = e I - J: symmetric parts of opposite sign, and a blow-up at 1 / (2 (1 - e^2)) from I."""
    e, J = 0.125, np.array([[0.0, 1.0], [-1.0, 0.0]])
    found = blow_up_bounds(system_of(np.zeros((2, 2)), (J - e * np.eye(2), e * np.eye(2) - J)), np.eye(2))
    T_f = 1.0 / (2.0 * (1.0 - e**2))
    assert found.never is None
    assert found.upper is None
    assert found.lower <= T_f * (1 + 1e-14)


def test_zero_and_no_heads_never_blow_up():
    V, B = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 0.25], [0.25, 1.5]])
    grown = system_of([[1.0, 2.0], [0.5, 0.25]], (V, B))
    assert blow_up_bounds(grown, np.zeros((2, 2))).never is not None
    assert blow_up_bounds(grown, np.zeros((2, 2))).upper is None
    alone = blow_up_bounds(system_of([[1.0, 2.0], [0.5, 0.25]]), np.eye(2))
    assert alone.never is not None
    assert "at least one head" in alone.attempts[0].reason


def test_a_borderline_definite_matrix_is_decided_in_rational_arithmetic():
    """B = u u^T is singular: exactly so, however the eigenvalues round."""
    u = np.array([1.0, 3.0, -7.0]) / 4.0
    found = blow_up_bounds(system_of(np.eye(3), (np.diag([1.0, 2.0, 3.0]), np.outer(u, u))), np.eye(3))
    failing = [h for h in found.attempts[0].hypotheses if h.held != "holds"]
    assert [h.name for h in failing] == ["B > 0"]
    assert failing[0].exact


def test_the_rank_enters_the_bound_of_the_paper(rng):
    d = 5
    system = system_of(0.3 * np.eye(d), (positive(rng, d), positive(rng, d)))
    column = rng.normal(size=(d, 1))
    bounds = blow_up_bounds(system, column @ column.T)
    whole, ranked = (bounds.bound(name, Side.UPPER).comparison.quadratic for name in (blow_up.PAPER, blow_up.RANK))
    assert ranked == pytest.approx(d * whole)


class TestComparison:
    """z' = a z + k z^2 at the edges."""

    @pytest.mark.parametrize(
        ("a", "k", "z"), [(0.7, 2.0, 0.3), (-0.7, 2.0, 0.5), (1e-9, 2.0, 0.5), (-1e-300, 1.5, 2.0)]
    )
    def test_the_escape_time_is_that_of_the_equation(self, a, k, z):
        import mpmath

        with mpmath.workdps(60):
            exact = mpmath.quad(lambda y: 1 / (a * y + k * y * y), [z, 2 * z, 10 * z, mpmath.inf])
        assert Comparison(a, k, z).escape == pytest.approx(float(exact), rel=1e-12)

    def test_without_growth_it_is_the_continuous_limit(self):
        assert Comparison(0.0, 2.0, 0.25).escape == 2.0

    @pytest.mark.parametrize(("a", "k", "z"), [(-1.0, 2.0, 0.25), (1.0, 0.0, 3.0), (1.0, -1.0, 3.0), (5.0, 2.0, 0.0)])
    def test_it_never_escapes(self, a, k, z):
        assert Comparison(a, k, z).escape is None
        assert Comparison(a, k, z).safe is None

    def test_at_the_threshold_nothing_is_claimed_on_either_side(self):
        edge = Comparison(-1.0, 2.0, 0.5)
        assert edge.escape is None
        assert 10.0 < edge.safe < 40.0
        assert not edge.vanishes

    @pytest.mark.parametrize(
        ("a", "k", "z", "vanishes"),
        [(-1.0, 2.0, 0.4, True), (-1.0, 2.0, 0.6, False), (0.0, -1.0, 2.0, True), (0.0, 0.0, 2.0, False),
         (0.5, -1.0, 2.0, False), (0.5, 1.0, 0.0, True), (-0.5, -1.0, 9.0, True)],
    )  # fmt: skip
    def test_what_tends_to_zero(self, a, k, z, vanishes):
        assert Comparison(a, k, z).vanishes is vanishes


def test_an_eigenvalue_zero_that_rounds_below_it_certifies_nothing(rng):
    """A = -u u^T / 2 leaves two directions at rest, where V = B = I take every start to infinity in finite time."""
    for _ in range(40):
        u = rng.integers(-9, 10, size=3) / 4.0
        system = system_of(-0.5 * np.outer(u, u), (np.eye(3), np.eye(3)))
        found = blow_up_bounds(system, 1e-30 * np.eye(3))
        assert found.never is None
        assert found.collapse is None
