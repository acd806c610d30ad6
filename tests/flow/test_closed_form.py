"""The host's closed form: exact blow-up times from problems that can be solved by hand, in a skew basis.

If (A, S, L) blows up at T, so does (P A P^-1, P^-T S P^-1, P L): each problem is solved in simple coordinates and posed
in skew ones.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import attnflow as af
from attnflow.flow.closed_form import March, Propagator, blow_up_beyond, march
from attnflow.flow.outcome import Basis
from attnflow.flow.shifted import shifted_flow, top_factor
from oracles import highprec

pytestmark = pytest.mark.usefixtures("x64")
TIGHT = 1e-10


def skewed(rng, A, S, factor):
    """The same flow in another basis."""
    d = len(A)
    P = np.eye(d) + 0.25 * rng.uniform(-1, 1, (d, d))
    back = np.linalg.inv(P)
    S = back.T @ S @ back
    return P @ A @ back, 0.5 * (S + S.T), P @ factor


def orthonormal(rng, d, r) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, r)))[0]


def travel(A, S, factor, end) -> tuple[March, list[float]]:
    times: list[float] = []
    place = march(Propagator(A, S), March.start(factor), end, lambda t, _: times.append(t))
    return place, times


def assert_bracketed(blow_up, true: float, relative=TIGHT) -> None:
    assert blow_up.basis is Basis.THEOREM
    assert blow_up.lower <= true <= blow_up.upper
    assert blow_up.estimate == pytest.approx(true, rel=relative)
    assert blow_up.upper - blow_up.lower <= 10 * relative * true


class TestBlowUp:
    @pytest.mark.parametrize("rate", [-0.4, 0.0, 0.7])
    @pytest.mark.parametrize("multiplicity", [1, 2, 3])
    def test_a_crossing_of_any_multiplicity_is_found(self, rng, rate, multiplicity):
        """A = rate I + skew and S = s I give N = s n(t) I, so that every column crosses at the same time."""
        K = rng.standard_normal((4, 4))
        A, s, c = rate * np.eye(4) + K - K.T, 1.3, 1.1
        true = np.log1p(2 * rate / (s * c * c)) / (2 * rate) if rate else 1 / (s * c * c)
        place, _ = travel(*skewed(rng, A, s * np.eye(4), c * orthonormal(rng, 4, multiplicity)), 5.0)
        assert_bracketed(place.blow_up, true)
        assert place.t < true

    @pytest.mark.parametrize("excess", [1.0, 1e-2, 1e-5, 1e-9])
    def test_a_value_that_passes_one_and_returns_below_is_a_blow_up(self, rng, excess):
        """Under a rotation by w, S = diag(1, -1) gives c^2 sin(2 w t) / (2 w) at the first axis: up, and down again."""
        w = 0.9
        size = 2 * w * (1 + excess)
        true = np.arcsin(1 / (1 + excess)) / (2 * w)
        A, S, factor = np.array([[0.0, -w], [w, 0.0]]), np.diag([1.0, -1.0]), np.sqrt(size) * np.array([[1.0], [0.0]])
        problem = skewed(rng, A, S, factor)
        place, _ = travel(*problem, np.pi / w - 0.1)  # by then it is below one again
        # the crossing is nearly a tangency: its condition grows like the root of the excess
        assert_bracketed(place.blow_up, true, relative=1e-12 / excess + 1e-12)
        assert place.blow_up.upper - place.blow_up.lower < 1e-8

    @pytest.mark.parametrize("defect", [0.5, 1e-2, 1e-5, 1e-9])
    def test_a_value_that_stays_below_one_is_no_blow_up(self, rng, defect):
        w = 0.9
        A, S = np.array([[0.0, -w], [w, 0.0]]), np.diag([1.0, -1.0])
        factor = np.sqrt(2 * w * (1 - defect)) * np.array([[1.0], [0.0]])
        A, S, factor = skewed(rng, A, S, factor)
        place, times = travel(A, S, factor, 10.0)
        assert place.blow_up is None
        assert times[-1] == place.t == 10.0
        wanted = highprec.closed_form_cov(A, 0.5 * S, 1.0, 10.0, factor=factor)
        assert highprec.relative_error(place.factor @ place.factor.T, wanted) < 1e-9

    @pytest.mark.parametrize("seed", range(4))
    def test_a_definite_form_without_structure_blows_up_when_sixty_digits_say_so(self, seed):
        rng = np.random.default_rng(seed)
        A, C = rng.standard_normal((2, 4, 4)) / 2
        S, factor = C @ C.T, rng.standard_normal((4, 2))
        true = highprec.blow_up_time(A, 0.5 * S, 1.0, factor)
        place, times = travel(A, S, factor, 2 * float(true))
        assert_bracketed(place.blow_up, float(true))
        assert all(t < true for t in times)

    def test_near_its_threshold_the_blow_up_is_late_and_still_bracketed(self, rng):
        """A = -a I + skew: c^2 (1 - e^{-2 a t}) / (2 a) = 1 is late when c^2 / (2 a) is barely above 1."""
        K = rng.standard_normal((4, 4))
        a, above = 0.6, 1e-7
        A, factor = -a * np.eye(4) + K - K.T, np.sqrt(2 * a * (1 + above)) * orthonormal(rng, 4, 2)
        true = -np.log(above / (1 + above)) / (2 * a)
        place, _ = travel(*skewed(rng, A, np.eye(4), factor), 2 * true)
        assert place.blow_up.lower <= true <= place.blow_up.upper
        assert place.blow_up.estimate == pytest.approx(true, rel=1e-7)

    def test_a_blow_up_just_before_and_just_after_the_end(self, rng):
        K = rng.standard_normal((4, 4))
        problem = skewed(rng, K - K.T, np.eye(4), orthonormal(rng, 4, 1))
        assert travel(*problem, 1 + 1e-9)[0].blow_up is not None
        place, _ = travel(*problem, 1 - 1e-9)
        assert place.blow_up is None
        assert np.all(np.isfinite(place.factor))


class TestBeyond:
    def problem(self, rng, rate, size):
        K = rng.standard_normal((4, 4))
        A = rate * np.eye(4) + K - K.T
        return skewed(rng, A, np.eye(4), size * orthonormal(rng, 4, 2))

    def test_a_blow_up_beyond_the_end_is_known_for_a_definite_form(self, rng):
        A, S, factor = self.problem(rng, 0.2, 0.01)
        true = np.log1p(0.4 / 1e-4) / 0.4
        assert_bracketed(blow_up_beyond(Propagator(A, S), March.start(factor)), true)
        place, _ = travel(A, S, factor, 0.5 * true)
        later = blow_up_beyond(Propagator(A, S), place)
        assert later.lower <= true <= later.upper

    @pytest.mark.parametrize(("share", "finite"), [(0.999, False), (1.001, True)])
    def test_a_stable_field_never_blows_up_from_a_start_below_the_threshold(self, rng, share, finite):
        """c^2 / (2 a) is the value of lambda_max(L^T N(inf) L)."""
        A, S, factor = self.problem(rng, -0.6, np.sqrt(1.2 * share))
        found = blow_up_beyond(Propagator(A, S), March.start(factor))
        assert (found is not None) == finite
        if finite:
            assert found.estimate == pytest.approx(-np.log(0.001 / 1.001) / 1.2, rel=1e-9)

    def test_it_says_nothing_for_a_form_of_both_signs_or_without_a_positive_part(self, rng):
        A, S, factor = self.problem(rng, 0.2, 0.5)
        indefinite = S - 1.5 * np.eye(4)
        assert blow_up_beyond(Propagator(A, indefinite), March.start(factor)) is None
        assert blow_up_beyond(Propagator(A, -S), March.start(factor)) is None
        assert blow_up_beyond(Propagator(A, S), March.start(np.zeros((4, 0)))) is None

    def test_it_says_nothing_where_the_form_cannot_see_the_start(self):
        """The flow stays in the kernel of S: no blow-up at any time."""
        A, S, factor = np.diag([0.3, -0.2]), np.diag([0.0, 1.0]), np.array([[1.0], [0.0]])
        assert blow_up_beyond(Propagator(A, S), March.start(factor)) is None


class TestMarch:
    def test_growth_beyond_float64_is_an_overflow(self, rng):
        A, S, factor = 2 * np.eye(3) + 0.1 * rng.standard_normal((3, 3)), np.zeros((3, 3)), rng.standard_normal((3, 2))
        place, times = travel(A, S, factor, 1e3)
        assert place.overflow
        assert place.blow_up is None
        assert 100 < times[-1] < 250
        assert np.all(np.isfinite(place.factor))

    def test_a_long_contraction_neither_underflows_to_nan_nor_warns(self, rng):
        A, S, factor = -3 * np.eye(3) + 0.1 * rng.standard_normal((3, 3)), -np.eye(3), rng.standard_normal((3, 2))
        place, _ = travel(A, S, factor, 1e3)
        assert np.all(np.isfinite(place.factor))

    @pytest.mark.parametrize("rank", [0, 1, 2, 4])
    @pytest.mark.parametrize("speed", [0.5, 8.0])
    def test_the_certified_steps_are_exact(self, rng, rank, speed):
        A = speed * rng.standard_normal((4, 4)) / 2
        B = -np.eye(4) + 0.6 * rng.standard_normal((4, 4))
        factor = 0.5 * rng.standard_normal((4, rank))
        place, _ = travel(A, B + B.T, factor, 1.5)
        wanted = highprec.closed_form_cov(A, B, 1.0, 1.5, factor=factor) if rank else np.zeros((4, 4))
        assert highprec.relative_error(place.factor @ place.factor.T, wanted) < 1e-12

    def test_one_dimension_is_the_logistic_formula(self):
        a, s, c, t = 0.7, -1.3, 0.9, 2.0
        place, _ = travel(np.array([[a]]), np.array([[s]]), np.array([[c]]), t)
        wanted = c * c * np.exp(2 * a * t) / (1 - s * c * c * np.expm1(2 * a * t) / (2 * a))
        np.testing.assert_allclose(place.factor**2, wanted, rtol=1e-14)


class TestLongTimes:
    """A with unstable, slow and stable directions, S negative definite and not symmetric to A."""

    def problem(self, rng):
        A = np.diag([0.9, 0.2, -0.5, -0.5]) + np.diag([0.3, 0.0, 1.0], 1) - np.diag([0.0, 0.0, 1.0], -1)
        P = np.eye(4) + 0.25 * rng.uniform(-1, 1, (4, 4))
        B = -np.eye(4) + 0.2 * rng.standard_normal((4, 4))
        assert np.linalg.eigvalsh(B + B.T).max() < 0
        return P @ A @ np.linalg.inv(P), B

    @pytest.mark.parametrize("rank", [2, 3, 4])
    def test_the_shifted_flow_is_that_of_many_digits(self, rng, rank):
        A, B = self.problem(rng)
        factor = np.eye(4, rank) + 0.4 * rng.standard_normal((4, rank))
        shifted = shifted_flow(A, B + B.T, factor @ factor.T)
        for t in (2.0, 60.0):
            wanted = highprec.closed_form_cov(A, B, 1.0, t, factor=factor, dps=120)
            assert highprec.relative_error(shifted.cov(t), wanted) < 1e-12

    @pytest.mark.parametrize("rank", [2, 3, 4])
    def test_at_a_thousand_it_is_what_the_steps_give(self, rng, rank):
        A, B = self.problem(rng)
        factor = np.eye(4, rank) + 0.4 * rng.standard_normal((4, rank))
        place, _ = travel(A, B + B.T, factor, 1e3)
        cov = shifted_flow(A, B + B.T, factor @ factor.T).cov(1e3)
        np.testing.assert_allclose(cov, place.factor @ place.factor.T, rtol=1e-11, atol=1e-13)
        again = top_factor(cov, rank)
        assert again.shape == (4, rank)
        np.testing.assert_allclose(again @ again.T, cov, rtol=1e-12, atol=1e-14)

    def test_a_start_that_misses_an_unstable_direction_is_left_to_the_steps(self, rng):
        """Rank 1 under two unstable directions has another limit than the one that the shift is built on."""
        A, B = self.problem(rng)
        factor = rng.standard_normal((4, 1))
        shifted = shifted_flow(A, B + B.T, factor @ factor.T)
        assert shifted.cov(1e3) is None
        place, _ = travel(A, B + B.T, factor, 60.0)
        wanted = highprec.closed_form_cov(A, B, 1.0, 60.0, factor=factor, dps=120)
        assert highprec.relative_error(place.factor @ place.factor.T, wanted) < 1e-12

    def test_it_refuses_a_form_with_a_positive_part_and_an_unseen_unstable_direction(self, rng):
        A, B = self.problem(rng)
        cov = np.eye(4)
        assert shifted_flow(A, -(B + B.T), cov) is None
        left = np.linalg.eig(A.T)[1][:, np.argmax(np.linalg.eigvals(A.T).real)].real
        right = np.linalg.eig(A)[1][:, np.argmax(np.linalg.eigvals(A).real)].real
        unseen = np.eye(4) - np.outer(right, left) / (left @ right)  # annihilates the most unstable direction
        assert shifted_flow(A, -unseen.T @ unseen, cov) is None

    def test_a_stable_field_shifts_by_nothing(self, rng):
        A = -np.eye(3) + 0.3 * rng.standard_normal((3, 3))
        B = -np.eye(3) + 0.2 * rng.standard_normal((3, 3))
        factor = rng.standard_normal((3, 2))
        shifted = shifted_flow(A, B + B.T, factor @ factor.T)
        assert not np.any(shifted.center)
        wanted = highprec.closed_form_cov(A, B, 1.0, 3.0, factor=factor)
        assert highprec.relative_error(shifted.cov(3.0), wanted) < 1e-12


def test_a_double_pair_on_the_imaginary_axis_does_not_stop_a_long_run():
    A = np.array([[-5.0, -4.0, 2.0, 0.0], [9.0, 7.0, -4.0, -2.0], [5.0, 4.0, -3.0, -4.0], [-1.0, -1.0, 1.0, 1.0]])
    H = np.array([[2.0, 1.0, -1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
    model = af.Transformer(attention=af.SoftmaxAttention(B=H.T @ H / 4, V=-1.0), feedforward=af.Affine(A=A))
    run = af.simulate(model, af.Gaussian.from_moments(np.zeros(4), np.eye(4)), ts=[20.0, 100.0])
    replay = run.verify()
    assert run.status == "reached_end"
    assert replay.cov_error < 1e-7


def test_a_blow_up_that_rounding_alone_makes_is_not_called_a_theorem():
    # the start is an eigenvector of eigenvalue -1: the exact flow decays for ever, beside a direction that grows
    A, start = np.array([[-1.0, 0.0], [-9.0, 2.0]]), np.array([1.0, 3.0])
    assert np.array_equal(A @ start, -start)
    model = af.Transformer(attention=af.SoftmaxAttention(B=np.eye(2), V=0.01), feedforward=af.Affine(A=A))
    run = af.simulate(model, af.Gaussian.from_factor(np.zeros(2), start), [1.0, 40.0])
    assert run.blow_up is None or (run.blow_up.basis == "numerical" and run.blow_up.lower < 1.0)
    assert "numerical" in run.statements.get("blow_up", "numerical")


def test_a_blow_up_in_a_direction_that_the_start_hardly_has_is_bracketed():
    A, small = np.array([[-1.0, 0.0], [-9.0, 2.0]]), 1e-6
    model = af.Transformer(attention=af.SoftmaxAttention(B=np.eye(2), V=0.01), feedforward=af.Affine(A=A))
    start = af.Gaussian.from_factor(np.zeros(2), np.array([[1.0, 0.0], [3.0, small]]))
    end = af.simulate(model, start, [40.0]).blow_up
    assert end is not None
    assert end.basis == "theorem"

    def top(t: float) -> float:  # 50 digits: lambda_max(L^T N(t) L), S = 0.02 I
        with mpmath.workdps(50):

            def moved(s):
                return mpmath.matrix([[mpmath.e**-s, 0], [3 * (mpmath.e**-s), small * mpmath.e ** (2 * s)]])

            gain = mpmath.matrix(2, 2)
            for i in range(2):
                for j in range(2):
                    gain[i, j] = mpmath.quad(lambda s, i=i, j=j: 0.02 * (moved(s).T * moved(s))[i, j], [0, t / 2, t])
            return max(mpmath.eigsy(gain, eigvals_only=True))

    assert top(end.lower) < 1 < top(end.upper)
    assert end.upper - end.lower < 1e-6 * end.estimate
