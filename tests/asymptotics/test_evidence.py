"""The long run by integration, against exact equilibria, closed forms and SciPy's own integration."""

import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import attnflow as af
from attnflow.asymptotics.evidence import Budget, long_run, long_run_of_layer, several_starts, start_factors
from attnflow.asymptotics.evidence.capture import describe, root_near
from attnflow.asymptotics.evidence.dynamics import SystemDynamics
from attnflow.asymptotics.linearisation import smat, svec
from attnflow.asymptotics.regime import Regime
from attnflow.asymptotics.system import System
from attnflow.flow.outcome import Basis


def system_of(A, V, B) -> System:
    A, V, B = (np.array(x, dtype=float) for x in (A, V, B))
    return System(A, V[None], B[None], np.zeros(len(A)), np.zeros((1, len(A))))


def diag(*entries) -> np.ndarray:
    return np.diag(np.array(entries, dtype=float))


C1 = system_of([[1, 0], [-2, 1]], -diag(1, 3), diag(1, 3))
C2 = system_of([[2, -1], [3, 3]], -diag(1, 5), [[1, -1], [-1, 4]])
C3 = system_of([[1, 1], [-1, 1]], -diag(1, 8), [[1, 1], [1, 2]])
C3B = system_of([[2, -1], [3, 3]], -diag(1, 5), [[3, -2], [-2, 3]])
C4 = system_of([[1, -1], [3, -2]], -diag(1, 8), np.eye(2))
C4B = system_of([[1, -1], [3, -2]], -diag(1, 10), [[6, -6], [-6, 7]])
C5 = system_of([[0, 1 / 16], [-16, 0]], [[-1, -0.5], [-0.5, -1]], [[256, -15], [-15, 1]])


def integrated(system: System, factor, t: float) -> np.ndarray:
    """The covariance at t by SciPy, on the factor, written out head by head."""
    shape = np.shape(factor)

    def velocity(_, flat):
        L = flat.reshape(shape)
        return (system.A @ L + sum(V @ L @ (L.T @ B @ L) for V, B in zip(system.V, system.B, strict=True))).ravel()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = solve_ivp(velocity, (0.0, t), np.ravel(factor), "DOP853", rtol=1e-11, atol=1e-14)
    assert run.success
    L = run.y[:, -1].reshape(shape)
    return L @ L.T


EXACT = [
    pytest.param(C1, np.eye(2), Regime.RANK_DEFICIENT, [[0.25, -0.25], [-0.25, 0.25]], 0.627718676730989, id="C1"),
    pytest.param(C4, np.eye(2), Regime.RANK_DEFICIENT, [[0.4, 0.2], [0.2, 0.1]], None, id="C4"),
    pytest.param(C4, 0.1 * np.eye(2), Regime.ZERO, [[0, 0], [0, 0]], 1.0, id="C4-small"),
    pytest.param(
        C3B, np.linalg.cholesky([[0.13, 0.2], [0.2, 0.47]]), Regime.POSITIVE_DEFINITE,
        [[2 / 15, 1 / 5], [1 / 5, 7 / 15]], None, id="C3b",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("system", "factor", "regime", "limit", "rate"), EXACT)
def test_exact_limits_are_reached_and_certified(system, factor, regime, limit, rate):
    found = long_run(system, factor)
    assert (found.regime, found.basis, found.certified) == (regime, Basis.NUMERICAL, True)
    np.testing.assert_allclose(found.cov_limit, limit, atol=1e-13)
    assert found.rank == np.linalg.matrix_rank(limit)
    if rate is not None and regime is not Regime.RANK_DEFICIENT:
        assert found.rate == pytest.approx(rate, rel=1e-9)
    if found.rank:
        assert found.equilibrium is not None
        assert found.equilibrium.positive_definite == (regime is Regime.POSITIVE_DEFINITE)


def test_the_rate_is_that_of_the_slowest_way_back():
    # eigenvalues of the linearisation at the limits of C1 and C4, from the matrices by hand
    assert long_run(C1, np.eye(2)).rate == pytest.approx(0.627718676730989, rel=1e-9)
    assert long_run(C4, np.eye(2)).rate == pytest.approx(0.2618, abs=5e-5)
    start = np.array([[0.9, 0.2], [0.1, 0.7]])
    found = long_run(C4, start)
    one, two = (np.linalg.norm(integrated(C4, start, t) - found.cov_limit) for t in (30.0, 50.0))
    assert np.log(one / two) / 20.0 == pytest.approx(found.rate, rel=1e-3)


@pytest.mark.parametrize("system", [C3, C3B, C4B, C5])
def test_limits_are_those_of_scipy_for_every_kind_of_start(system, rng):
    for size in (0.03, 0.3, 3.0):
        factor = np.sqrt(size) * rng.normal(size=(2, 2))
        found = long_run(system, factor)
        assert found.basis is Basis.NUMERICAL
        if found.cov_limit is not None:
            np.testing.assert_allclose(integrated(system, factor, 150.0), found.cov_limit, atol=1e-8)


def test_both_attractors_of_c3_are_found_and_the_weak_spiral_too():
    strong = long_run(C3, np.linalg.cholesky([[1.2, -0.36], [-0.36, 0.26]]))
    weak = long_run(C3, np.linalg.cholesky([[0.13, -0.11], [-0.11, 0.18]]))
    np.testing.assert_allclose(strong.cov_limit, [[1.20656895223568, -0.3670713878149283]] * 1
                               + [[-0.3670713878149283, 0.2560670961311672]], rtol=1e-10)  # fmt: skip
    np.testing.assert_allclose(weak.cov_limit, [[0.13434428673859597, -0.11978406454859235],
                                                [-0.11978406454859235, 0.18398201838742095]], rtol=1e-10)  # fmt: skip
    assert weak.rate == pytest.approx(0.10518906937765216, rel=1e-9)
    assert strong.rate == pytest.approx(1.358001497441856, rel=1e-9)


def test_a_centre_on_the_axis_does_not_make_zero_attract():
    found = long_run(C5, np.sqrt(5e-4) * np.eye(2))
    assert found.regime is Regime.RANK_DEFICIENT
    assert np.trace(found.cov_limit) == pytest.approx(0.1668, abs=1e-4)


# ------------------------------------------------------------------------------ growth


def test_blow_up_times_are_bracketed():
    # V = B = A = I from I: T_f = log(2) / 2
    found = long_run(system_of(np.eye(2), np.eye(2), np.eye(2)), np.eye(2))
    assert found.regime is Regime.BLOW_UP
    assert found.blow_up.lower <= np.log(2.0) / 2.0 <= found.blow_up.upper
    assert found.blow_up.estimate == pytest.approx(np.log(2.0) / 2.0, rel=1e-9)


def test_blow_up_of_an_oblong_nonsymmetric_system_agrees_with_the_flow(rng):
    A, V, B = rng.normal(size=(3, 3)), diag(1, 2, 3) + 0.2 * rng.normal(size=(3, 3)), diag(2, 1, 4)
    factor = rng.normal(size=(3, 3))
    found = long_run(system_of(A, V, B), factor)
    model = af.Transformer(attention=af.SoftmaxAttention(B=B, V=V), feedforward=af.Affine(A=A))
    run = af.simulate(model, af.Gaussian.from_factor(np.zeros(3), factor), ts=[2.0 * found.blow_up.estimate])
    assert found.blow_up.estimate == pytest.approx(run.blow_up.estimate, rel=1e-8)


@pytest.mark.parametrize(
    ("A", "S", "regime", "rate"),
    [
        (np.eye(2), diag(-2, 0), Regime.EXPONENTIAL, 2.0),
        ([[0, 1], [0, 0]], diag(0, -2), Regime.POLYNOMIAL, None),
    ],
)
def test_unobservable_modes_grow(A, S, regime, rate):
    found = long_run(system_of(A, -np.eye(2), -np.array(S) / 2), np.eye(2))
    assert found.regime is regime
    assert rate is None or found.rate == pytest.approx(rate, rel=1e-3)


def test_exponential_growth_in_spite_of_a_stiff_balance():
    # a random system in which the growing direction is held near the null cone of the scores
    rng = np.random.default_rng([0, 38])
    A = rng.normal(size=(3, 3)) / np.sqrt(3) + rng.normal() * np.eye(3)
    V, B = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    factor = rng.normal(size=(3, 3)) * np.exp(rng.uniform(-1.5, 0.7))
    found = long_run(system_of(A, V, B), factor)
    assert found.regime is Regime.EXPONENTIAL
    early, late = (np.log(np.trace(integrated(system_of(A, V, B), factor, t))) for t in (1.2, 1.7))
    assert found.rate == pytest.approx((late - early) / 0.5, rel=1e-2)


def test_a_transient_of_four_decades_is_not_growth():
    A = [[-1.0, 200.0], [0.0, -1.2]]
    found = long_run(system_of(A, -0.01 * diag(1, 2), 0.01 * diag(2, 1)), np.eye(2))
    assert found.regime is Regime.ZERO


# ---------------------------------------------------------------------------------- slow limits, continua and rotations


def test_a_continuum_is_told_from_a_single_limit_approached_like_one_over_t():
    factor = np.linalg.cholesky([[0.4, 0.2], [0.2, 0.2]])
    family = long_run(system_of(np.zeros((2, 2)), -np.eye(2), diag(1, 0)), factor)
    assert (family.regime, family.rank) == (Regime.CONTINUUM, 1)
    np.testing.assert_allclose(family.cov_limit, diag(0, 0.1), atol=1e-6)
    single = long_run(system_of(diag(1, 0), -np.eye(2), [[1, 0.2], [0.2, 1]]), factor)
    assert (single.regime, single.rank) == (Regime.RANK_DEFICIENT, 1)


def test_a_trace_that_falls_like_one_over_t_goes_to_zero():
    found = long_run(system_of(np.zeros((2, 2)), -diag(1, 2), [[2, 1], [1, 2]]), np.eye(2))
    assert found.regime is Regime.ZERO


def test_an_unobservable_centre_rotates():
    A = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    found = long_run(system_of(A, -np.eye(3), diag(1, 0, 0)), np.array([[1, 0, 0], [0.5, 1, 0], [0.2, 0.3, 0.7]]))
    assert found.regime is Regime.ROTATION
    assert found.cycle.period == pytest.approx(np.pi, rel=1e-6)


# ------------------------------------------------------------------------------ singular starts


def test_a_singular_start_keeps_its_rank_although_others_leave():
    # V = -I: the rank one equilibrium on an eigenvector of A attracts rank one starts only
    A = np.array([[1.0, 0.0], [0.3, 2.0]])
    found = long_run(system_of(A, -np.eye(2), np.eye(2)), np.array([[0.3], [1.1]]))
    assert (found.regime, found.rank) == (Regime.RANK_DEFICIENT, 1)
    np.testing.assert_allclose(found.cov_limit, diag(0, 2), atol=1e-9)
    assert found.equilibrium.stable is False


def test_a_start_inside_an_invariant_subspace_stays_there():
    found = long_run(
        system_of(diag(1, 2, 3), -diag(1, 2, 1), diag(1, 3, 1)), np.array([[0.3, 0.0], [0.0, 0.4], [0, 0]])
    )
    assert (found.regime, found.rank) == (Regime.RANK_DEFICIENT, 2)
    np.testing.assert_allclose(found.cov_limit, diag(1, 1 / 3, 0), atol=1e-12)


def test_a_dirac_start_stays():
    assert long_run(C2, np.zeros((2, 0))).regime is Regime.ZERO


# ------------------------------------------------------------------------------ the certificate


def test_the_ball_of_capture_captures(rng):
    dynamics = SystemDynamics(C3)
    root = root_near(dynamics, np.array([[1.2, -0.37], [-0.37, 0.26]]))
    for ball in root.balls:
        for _ in range(6):
            side = svec(smat(rng.normal(size=3)))
            side *= 0.89 * ball.radius / np.linalg.norm(ball.frame @ side)
            cov = root.cov + smat(side)
            assert root.captures(cov) is not None
            if np.linalg.eigvalsh(cov)[0] > 0:
                end = integrated(C3, np.linalg.cholesky(cov), 30.0)
                np.testing.assert_allclose(end, root.cov, atol=1e-10)


def test_the_derivative_and_the_bound_on_the_curvature_hold(rng):
    A, V, B = (rng.normal(size=(3, 3)) for _ in range(3))
    dynamics = SystemDynamics(system_of(A, V, B))
    x, y = (svec(M @ M.T) for M in rng.normal(size=(2, 3, 3)))
    quadratic = dynamics.rate(x + y) - dynamics.rate(x) - dynamics.derivative(x) @ y
    frame = rng.normal(size=(6, 6))
    bound = dynamics.bend(frame, np.linalg.inv(frame), x)
    side = np.linalg.solve(frame, y)
    assert np.linalg.norm(np.linalg.solve(frame, quadratic)) <= bound * side @ side * (1 + 1e-12)
    step = 1e-6
    slope = (dynamics.rate(x + step * y) - dynamics.rate(x - step * y)) / (2 * step)
    np.testing.assert_allclose(dynamics.derivative(x) @ y, slope, rtol=1e-7, atol=1e-7)


def test_no_verdict_without_budget():
    found = long_run(C2, np.eye(2), budget=Budget(steps=40))
    assert (found.regime, found.basis) == (Regime.UNDETERMINED, Basis.UNDETERMINED)
    assert "no verdict" in found.reason


def test_the_saddle_of_c3_does_not_count_as_a_limit():
    saddle = np.array([[0.3574994594384217, -0.2750493095412408], [-0.2750493095412408, 0.2573715204020467]])
    assert not describe(SystemDynamics(C3), saddle).stable
    found = long_run(C3, np.linalg.cholesky(saddle + 1e-6 * np.eye(2)))
    assert np.linalg.norm(found.cov_limit - saddle) > 0.1


def test_several_starts_see_both_fates_and_are_the_same_every_time():
    runs = several_starts(C4, seed=3, count=8)
    assert {run.regime for run in runs} == {Regime.ZERO, Regime.RANK_DEFICIENT}
    again = start_factors(2, seed=3, count=4)
    assert all(np.array_equal(x, y) for x, y in zip(again, start_factors(2, seed=3, count=4), strict=True))
    sizes = [np.trace(L @ L.T) for L in start_factors(3, count=8, middle=5.0)]
    assert max(sizes) / min(sizes) > 1e3


# ------------------------------------------------------------------------------ random systems


@pytest.mark.parametrize("seed", range(7))
def test_random_systems_end_where_scipy_ends(seed):
    rng = np.random.default_rng([7, seed])
    d = 2 + seed % 3
    A = rng.normal(size=(d, d)) / np.sqrt(d) + 0.5 * np.eye(d)
    half = rng.normal(size=(2, d, d)) / np.sqrt(d)
    V, B = -(half[0] @ half[0].T + 0.2 * np.eye(d)), half[1] @ half[1].T + 0.2 * np.eye(d) + 0.1 * half[0]
    factor = rng.normal(size=(d, d))
    found = long_run(system_of(A, V, B), factor)
    assert found.basis is Basis.NUMERICAL
    if found.cov_limit is not None:
        t = found.t_end + 18.0 / found.rate
        np.testing.assert_allclose(integrated(system_of(A, V, B), factor, t), found.cov_limit, atol=1e-6)


# ------------------------------------------------------------------------------ other layers


def test_l2_attention_with_injective_keys_comes_to_rest(x64, rng):
    K = rng.normal(size=(2, 2)) + 2 * np.eye(2)
    layer = af.Transformer(
        attention=af.L2Attention(Q=K, K=K, V=-np.array([[3.0, 0.4], [0.1, 2.0]])),
        feedforward=af.Affine(A=np.array([[0.8, 0.3], [-0.2, 0.6]])),
    )
    start = af.Gaussian.from_factor(np.array([0.3, -1.0]), np.array([[1.0, 0.0], [0.4, 0.8]]))
    found = long_run_of_layer(layer, start)
    assert (found.regime, found.certified) == (Regime.POSITIVE_DEFINITE, False)
    run = af.simulate(layer, start, ts=[60.0])
    np.testing.assert_allclose(run.cov[-1], found.cov_limit, rtol=1e-6)


def test_sinkhorn_attention_grows_exponentially_at_most(x64):
    layer = af.SinkhornAttention(B=np.array([[1.0, 0.3], [0.1, 0.8]]), V=np.array([[1.0, 0.2], [0.0, 0.7]]))
    found = long_run_of_layer(layer, af.Gaussian.from_factor(np.zeros(2), np.array([[1.0, 0.0], [0.3, 0.6]])))
    assert found.regime is Regime.EXPONENTIAL
    assert found.rate <= 2.0 * np.linalg.norm(layer.V, 2) * 1.01


def test_softmax_layers_go_through_their_matrices(x64):
    layer = af.Transformer(attention=af.SoftmaxAttention(B=C1.B[0], V=C1.V[0]), feedforward=af.Affine(A=C1.A))
    found = long_run_of_layer(layer, af.Gaussian.from_factor(np.zeros(2), np.eye(2)))
    assert found.certified
    np.testing.assert_allclose(found.cov_limit, [[0.25, -0.25], [-0.25, 0.25]], atol=1e-12)


def test_linear_attention_off_centre_is_left_alone(x64):
    layer = af.LinearAttention(B=np.array([[1.0, 0.3], [0.1, 0.8]]), V=-np.eye(2))
    found = long_run_of_layer(layer, af.Gaussian.from_factor(np.array([1.0, 0.0]), np.eye(2)))
    assert found.regime is Regime.UNDETERMINED
    centred = long_run_of_layer(layer, af.Gaussian.from_factor(np.zeros(2), np.eye(2)))
    assert centred.regime is Regime.ZERO
