"""The door `equilibria` and the search behind it: general V, several heads, order, refusals."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import attnflow as af
from attnflow.asymptotics.equilibria import newton
from attnflow.asymptotics.equilibria.continuation import follow, scalar_part, settle
from attnflow.asymptotics.equilibria.newton import polish
from attnflow.asymptotics.equilibria.riccati import stabilising
from attnflow.asymptotics.equilibria.search import find
from attnflow.asymptotics.linearisation import smat, svec
from attnflow.asymptotics.system import System
from attnflow.doors.long_run.equilibria import equilibria, search


def single(A, V, B, bias=None) -> System:
    d = len(A)
    return System(np.asarray(A), np.asarray(V)[None], np.asarray(B)[None], np.zeros(d), np.zeros((1, d)))


def unstable(rng: np.random.Generator, d: int, spread: float) -> System:
    """All modes of A unstable, V and B definite, not symmetric, with condition about 1 + `spread`."""
    A, V, B = rng.standard_normal((3, d, d)) / np.sqrt(d)
    return single(A + 2.0 * np.eye(d), -np.eye(d) - spread * V @ V.T, np.eye(d) + spread * B @ B.T + 0.1 * (B - B.T))


def flow(system: System, cov: np.ndarray, time: float) -> np.ndarray:
    """The covariance after `time`, by SciPy."""
    d = system.dim

    def rate(_, flat):
        X = flat.reshape(d, d)
        half = system.A @ X
        for V, B in zip(system.V, system.B, strict=True):
            half = half + V @ X @ B @ X
        return (half + half.T).ravel()

    return solve_ivp(rate, (0, time), cov.ravel(), "DOP853", rtol=1e-11, atol=1e-14).y[:, -1].reshape(d, d)


@pytest.mark.parametrize("d", [3, 5])
def test_general_values_lead_to_where_the_flow_ends(rng, d):
    system = unstable(rng, d, 2.0)
    found = find(system)
    best = found.equilibria[0]
    assert best.positive_definite
    assert best.stable
    assert not found.complete
    assert "no method" in found.note
    end = flow(system, np.eye(d), 60.0 / abs(best.abscissa))
    assert np.linalg.norm(end - best.cov) <= 1e-8 * np.linalg.norm(end)


def test_the_abscissa_is_the_rate_at_which_the_flow_returns(rng):
    system = unstable(rng, 3, 1.0)
    best = find(system).equilibria[0]
    push = rng.standard_normal((3, 3))
    start = best.cov + 1e-2 * (push @ push.T) * np.linalg.norm(best.cov)
    times = np.linspace(10, 16, 25) / abs(best.abscissa)
    sizes = [np.linalg.norm(flow(system, start, t) - best.cov) for t in times]
    slope = np.polyfit(times, np.log(sizes), 1)[0]
    assert slope == pytest.approx(best.abscissa, rel=0.1)


def test_the_spectrum_is_that_of_the_differences_of_the_rate(rng):
    for heads in (1, 2):
        A, V, B = rng.standard_normal((3, 3)), *rng.standard_normal((2, heads, 3, 3))
        system = System(A + np.eye(3), V - 2 * np.eye(3), B + 2 * np.eye(3), np.zeros(3), np.zeros((heads, 3)))
        for each in find(system).equilibria:
            step = 1e-6
            columns = []
            for k in range(6):
                along = smat(np.eye(6)[k])
                half = system.rate(each.cov + step * along) - system.rate(each.cov - step * along)
                columns.append(svec(half / (2 * step)))
            expected = np.linalg.eigvals(np.array(columns).T)
            assert each.spectrum.size == 6
            for value in expected:
                assert np.abs(each.spectrum - value).min() <= 1e-6 * np.abs(expected).max()
            assert each.abscissa == pytest.approx(expected.real.max(), rel=1e-5, abs=1e-6)


def test_for_scalar_values_the_spectrum_is_the_sums_of_two_eigenvalues(rng):
    system = single(rng.standard_normal((3, 3)) + np.eye(3), -1.5 * np.eye(3), np.eye(3) + 0.3 * rng.random((3, 3)))
    for each in find(system).equilibria:
        columns = [svec(system.rate(each.cov + h) - system.rate(each.cov - h)) for h in 5e-7 * smat(np.eye(6))]
        expected = np.linalg.eigvals(np.array(columns).T / 1e-6)
        for value in expected:
            assert np.abs(each.spectrum - value).min() <= 1e-6 * np.abs(expected).max()


def test_rank_one_equilibria_of_one_head_are_among_those_found(rng):
    A = np.array([[1.0, 0.0, 0.0], [-2.0, 1.0, 0.0], [0.3, 0.1, -0.5]])
    V, B = -np.diag([1.0, 3.0, 2.0]), np.diag([1.0, 3.0, 1.0])
    thin = [each for each in find(single(A, V, B)).equilibria if each.rank == 1]
    assert thin
    for each in thin:
        assert each.error_bound < 1e-13
        M = A + V @ each.cov @ B
        assert np.abs(M @ each.cov).max() < 1e-14


def test_newton_reaches_singular_equilibria_of_several_heads_from_nearby(rng):
    u = np.array([1.0, -2.0, 0.5])
    heads = rng.standard_normal((2, 2, 3, 3))
    pull = sum((u @ B @ u) * V @ u for V, B in heads)
    A = rng.standard_normal((3, 3))
    A = A - np.outer(A @ u + pull, u) / (u @ u)  # now A u + sum_h (u B u) V u = 0: u u^T is at rest
    system = System(A, heads[:, 0], heads[:, 1], np.zeros(3), np.zeros((2, 3)))
    push = rng.standard_normal((3, 3))
    found = polish(system, np.outer(u, u) + 1e-3 * (push @ push.T))
    assert found.rank == 1
    assert np.linalg.norm(found.cov - np.outer(u, u)) <= found.error_bound + 1e-12
    assert found.residual < 1e-14


def test_newton_says_none_where_the_solution_is_no_covariance():
    # x' = 2 x (1 + x): the only roots are 0 and -1, and Newton from 3 goes to 0, an equilibrium of rank 0.
    system = single(np.eye(1), np.eye(1), np.eye(1))
    assert polish(system, np.array([[3.0]])).rank == 0
    # x and y apart, with an indefinite solution near the guess: diag(1, -0.3).
    system = single(np.diag([1.0, 0.3]), np.diag([-1.0, 1.0]), [[1.0, 0.1], [0.0, 1.0]])
    assert polish(system, np.diag([1.0, -0.29])) is None


def test_integration_finds_what_continuation_starts_from(rng):
    system = unstable(rng, 4, 1.0)
    followed = follow(system, stabilising(scalar_part(system).A, scalar_part(system).S).cov)
    settled = settle(system, np.eye(4))
    assert np.linalg.norm(followed.cov - settled.cov) <= followed.error_bound + settled.error_bound


def test_integration_gives_up_on_blow_up_and_on_a_cycle():
    assert settle(single(np.eye(2), np.eye(2), np.diag([1.0, 2.0])), np.eye(2)) is None
    cycle = single([[2.0, -1.0], [3.0, 3.0]], np.diag([-1.0, -5.0]), [[1.0, -1.0], [-1.0, 4.0]])
    assert settle(cycle, np.eye(2), horizon=100.0) is None


@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_beyond_the_dense_size_a_lyapunov_equation_certifies_near_scalar_values(rng, spread):
    d = 48
    noise = rng.standard_normal((d, d)) / np.sqrt(d)
    values, scores = -np.eye(d) - spread * noise, np.eye(d) + 0.1 * rng.standard_normal((d, d)) / np.sqrt(d)
    system = single(1.2 * np.eye(d) + 0.4 * noise.T, values, scores)
    best = find(system).equilibria[0]
    assert best.certificate == "lyapunov"
    assert best.residual <= 1e-12
    assert best.positive_definite
    assert best.stable is True
    end = flow(system, np.eye(d), 25.0)
    assert np.linalg.norm(end - best.cov, 2) <= best.error_bound + 1e-8 * np.linalg.norm(end, 2)


def test_beyond_the_dense_size_a_missing_bound_is_said_and_the_spectrum_is_the_rightmost_part(rng, monkeypatch):
    system = unstable(rng, 44, 1.5)
    best = find(system).equilibria[0]
    assert best.certificate == "residual"
    assert best.error_bound is None
    assert not best.positive_definite  # not certified
    assert best.residual <= 1e-12
    assert best.stable is True
    columns = [svec(system.rate(best.cov + h) - system.rate(best.cov - h)) for h in 5e-6 * smat(np.eye(990))]
    expected = np.linalg.eigvals(np.array(columns).T / 1e-5).real.max()
    assert best.abscissa == pytest.approx(expected, rel=0.02)
    monkeypatch.setattr(newton, "DENSE", 30)  # the same by both kinds of step
    assert np.linalg.norm(polish(system, 1.1 * best.cov).cov - best.cov) <= 1e-9 * np.linalg.norm(best.cov)


def test_an_ill_conditioned_large_system_needs_the_preconditioner(rng):
    d = 50
    A = np.diag(np.geomspace(1e-2, 2.0, d)) + 0.1 * np.triu(rng.standard_normal((d, d)), 1) / d
    system = single(A, -np.eye(d) - 1e-3 * rng.standard_normal((d, d)) / np.sqrt(d), np.eye(d))
    found = follow(system, stabilising(A, scalar_part(system).S).cov)
    assert found.residual <= 1e-12


# --- the door --------------------------------------------------------------------------------------------------------


def transformer(A, V, B, b=None) -> af.Transformer:
    return af.Transformer(af.SoftmaxAttention(B=np.asarray(B), V=np.asarray(V)), af.Affine(A=np.asarray(A), b=b))


def test_the_door_lists_all_with_zero_last_and_needs_no_global_setting():
    assert not jax.config.jax_enable_x64
    found = equilibria(transformer([[1.0, 1.0], [-1.0, 1.0]], np.diag([-1.0, -8.0]), [[1.0, 1.0], [1.0, 2.0]]))
    assert isinstance(found, list)
    assert [each.rank for each in found] == [2, 2, 2, 1, 1, 0]
    assert [each.stable for each in found] == [True, True, False, False, False, False]
    assert found[0].cov.dtype == np.float64
    assert found[-1].error_bound == 0.0
    assert found[-1].certificate == "exact"


def test_the_mean_rests_where_its_equation_says():
    b = np.array([0.3, -1.0])
    model = transformer([[2.0, -1.0], [3.0, 3.0]], np.diag([-1.0, -5.0]), [[3.0, -2.0], [-2.0, 3.0]], b)
    found = equilibria(model)
    golden = next(each for each in found if np.abs(each.cov - [[2 / 15, 1 / 5], [1 / 5, 7 / 15]]).max() < 1e-14)
    assert golden.stable is True
    assert golden.mean_stable is False  # the covariance attracts, the mean does not
    assert golden.mean_abscissa == pytest.approx(-3 + np.sqrt(88) / 3, rel=1e-12)
    steady = next(each for each in found if each.stable and each.mean_stable)

    def rate(_, state):
        mean, cov = state[:2], state[2:].reshape(2, 2)
        M = np.array([[2.0, -1.0], [3.0, 3.0]]) + np.diag([-1.0, -5.0]) @ cov @ [[3.0, -2.0], [-2.0, 3.0]]
        half = M @ cov
        return np.concatenate([(M + np.diag([-1.0, -5.0])) @ mean + b, (half + half.T).ravel()])

    start = np.concatenate([[0.0, 0.0], 1.02 * steady.cov.ravel()])
    end = solve_ivp(rate, (0, 60), start, "DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
    assert end[:2] == pytest.approx(steady.mean, abs=1e-7)
    assert end[2:] == pytest.approx(steady.cov.ravel(), abs=1e-7)


def test_the_search_behind_the_door_says_whether_the_list_is_complete():
    assert search(transformer([[1.0, 0.0], [-2.0, 1.0]], np.diag([-1.0, -3.0]), np.diag([1.0, 3.0]))).complete
    family = search(transformer(np.eye(2), -np.eye(2), np.diag([1.0, 2.0])))
    assert not family.complete
    assert "rank one in every direction" in family.note
    assert family.equilibria[0].cov == pytest.approx(np.diag([1.0, 0.5]))


def test_a_model_of_multiples_of_the_identity_takes_its_dimension_from_dim():
    model = af.Transformer(af.SoftmaxAttention(B=2.0, V=-1.0), af.Affine(A=3.0))
    found = equilibria(model, dim=3)
    assert found[0].cov == pytest.approx(1.5 * np.eye(3), abs=1e-15)
    with pytest.raises(af.BadInput, match="`dim` is missing"):
        equilibria(model)
    with pytest.raises(af.BadInput, match="`dim` must be a whole number"):
        equilibria(model, dim=2.5)


def test_models_that_it_cannot_read_are_refused_with_a_remedy():
    model = transformer(np.eye(2), -np.eye(2), np.eye(2))
    with pytest.raises(af.BadInput, match="constant parameters"):
        equilibria(af.Depth.piecewise([model, model], [0.0, 1.0]))
    with pytest.raises(af.BadInput, match="softmax heads and affine"):
        equilibria(af.L2Attention(Q=np.eye(2), K=np.eye(2), V=np.eye(2)))
    with pytest.raises(af.BadInput, match="all dimensions must agree: `model` has d = 2, `dim` has d = 3"):
        equilibria(model, dim=3)
    with pytest.raises(af.BadInput, match="must be a layer"):
        equilibria(np.eye(2))
