"""What the reproductions of the second paper are made of: draws, starts, closed forms, the published algorithm."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from attnflow.reproduce.castin2025 import plain, references, starts, weights
from attnflow.reproduce.castin2025.kernel_basis import in_kernel_basis
from attnflow.reproduce.castin2025.projected_euler import Outcome, projected_euler
from attnflow.reproduce.castin2025.published_histogram import published_histogram


def integrated(rate, start: np.ndarray, end: float, **options) -> np.ndarray:
    """The covariance at time `end` of cov' = rate(cov), by SciPy."""
    d = len(start)
    run = scipy.integrate.solve_ivp(
        lambda t, y: rate(y.reshape(d, d)).ravel(), (0.0, end), start.ravel(),
        **{"method": "DOP853", "rtol": 1e-11, "atol": 1e-14} | options,
    )  # fmt: skip
    return run.y[:, -1].reshape(d, d)


def test_the_draws_have_the_published_eigenvalues():
    def form(w: weights.Weights) -> np.ndarray:
        raw = w.K.T @ w.Q
        return np.linalg.eigvalsh(raw + raw.T)

    zero, mixed, both, growing = weights.to_zero(), weights.mixed(), weights.both(), weights.expanding()
    np.testing.assert_allclose(np.linalg.eigvalsh(zero.V), [1.99, 3.37], atol=0.005)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(zero.K.T @ zero.Q)), [-0.43, -0.0072], atol=0.005)
    np.testing.assert_allclose(form(mixed), [-3.32, 0.74], atol=0.005)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(mixed.V)), [-0.92, 0.65], atol=0.006)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(both.V)), [-0.046, 1.76], atol=0.005)
    np.testing.assert_allclose(form(growing), [0.16, 4.03], atol=0.005)


def test_the_grids_have_the_published_numbers_of_starts():
    sizes = {(10, 0.5): 100, (20, 1.0): 276, (30, 1.0): 648, (40, 1.0): 1184}
    for (n, half_width), size in sizes.items():
        covs = starts.unit_trace(n, half_width)
        assert len(covs) == size
        np.testing.assert_allclose(np.trace(covs, axis1=1, axis2=2), 1.0)
        assert np.linalg.eigvalsh(covs).min() > 0.0


def test_the_samples_of_ranks_have_their_shapes_and_definite_values():
    for d in (3, 4, 5):
        sample = weights.for_ranks(d, 26, 2)[1]
        assert sample.Q.shape == (d // 2, d)
        np.testing.assert_array_equal(sample.K, -sample.Q)
        assert np.linalg.eigvalsh(sample.V).min() > 0.0
        np.testing.assert_array_equal(weights.for_ranks(d, None, 1)[0].V, np.eye(d))


def test_the_limit_on_the_kernel_is_where_scipy_ends(rng):
    w = weights.to_a_line()
    start = starts.unit_trace(4, 0.5)[5:6]
    kernel = scipy.linalg.null_space(w.Q)
    limit = references.kernel_limit(start, kernel)[0]
    for rate in (plain.softmax(w), plain.l2(w)):
        np.testing.assert_allclose(integrated(rate, start[0], 1e5), limit, atol=2e-5)


def test_what_is_conserved_is_the_compressed_inverse(rng):
    root = rng.normal(size=(4, 4))
    cov, kernel = root @ root.T, np.linalg.qr(rng.normal(size=(4, 2)))[0]
    np.testing.assert_allclose(references.conserved(cov, kernel), kernel.T @ np.linalg.inv(cov) @ kernel, rtol=1e-10)


@pytest.mark.parametrize("s12", [0.3, -0.45])
def test_the_limit_in_the_plane_is_where_scipy_ends(s12):
    w = weights.to_a_line()
    start = np.array([[0.6, s12], [s12, 0.4]])
    limit = references.plane_limit(start[None], w.Q[0])[0]
    end = integrated(plain.two_heads(w), start, 300.0)
    np.testing.assert_allclose(end, limit, atol=1e-6)
    assert abs(np.array([1.0, 0.0]) @ limit @ w.Q[0]) <= 1e-14


def test_the_plane_limit_holds_when_the_conserved_sign_is_the_other_one():
    q = np.array([0.8, -0.6])
    start = np.array([[0.5, 0.1], [0.1, 0.5]])  # q2 (e2^T cov q) > 0
    other = np.array([[0.5, 0.45], [0.45, 0.5]])  # q2 (e2^T cov q) < 0
    w = weights.Weights(q[None], -q[None], np.eye(2))
    for cov, atol in ((start, 1e-6), (other, 5e-3)):
        limit = references.plane_limit(cov[None], q)[0]
        np.testing.assert_allclose(integrated(plain.two_heads(w), cov, 2e3), limit, atol=atol)


def test_the_closed_blow_up_times_are_those_of_scipy():
    w = weights.expanding()
    covs = starts.unit_trace(40, 1.0)[[3, 700]]
    times, limits = references.blow_up(covs, w.scaled_form)
    for cov, time, limit in zip(covs, times, limits, strict=True):
        assert plain.blow_up_time(plain.softmax(w), cov) == pytest.approx(time, rel=1e-8)
        near = integrated(plain.softmax(w), cov, time * (1.0 - 1e-6))
        np.testing.assert_allclose(near / np.trace(near), limit, atol=1e-4)


def test_isotropic_directions_are_isotropic():
    form = np.array([[0.7, -1.9], [0.4, -0.8]])
    for u in references.isotropic_directions(form):
        assert abs(u @ form @ u) <= 1e-14
        assert np.linalg.norm(u) == pytest.approx(1.0)


def test_a_definite_form_has_no_isotropic_direction_to_give():
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(references.isotropic_directions(np.eye(2))).any()


def test_the_plain_sinkhorn_rate_is_the_root_of_its_equation_in_one_dimension():
    a, v, s = -0.7, 1.3, 0.9
    w = weights.Weights(np.array([[1.0]]), np.array([[a]]), np.array([[v]]))
    m = (np.sqrt(1.0 + 4.0 * (a * s) ** 2) - 1.0) / (2.0 * a * s)  # m = (s - m^2 s) a
    assert m == pytest.approx((s - m**2 * s) * a)
    np.testing.assert_allclose(plain.sinkhorn(w)(np.array([[s]])), [[2.0 * v * m * s]], rtol=1e-12)


def test_the_published_steps_overshoot_and_are_projected():
    end = projected_euler(lambda S: -2.0 * S @ S, np.array([[1.0]]), step=0.6, tol=1e-3)
    assert (end.steps, end.outcome, end.projections) == (1, Outcome.CONVERGED, 1)
    np.testing.assert_allclose(end.state, [[1e-14]])


def test_the_published_steps_stop_beyond_the_trace_bound_or_out_of_steps():
    start = np.diag([1.0, 0.5])
    end = projected_euler(lambda S: S, start, step=0.1, tol=1e-6, trace_bound=100.0)
    assert end.outcome is Outcome.DIVERGED
    assert end.steps == int(np.log(100.0 / 1.5) / np.log(1.1))  # the state before the bound is crossed
    np.testing.assert_allclose(end.state, 1.1**end.steps * start)
    short = projected_euler(lambda S: S, start, step=0.1, tol=1e-6, max_steps=3)
    assert (short.outcome, short.steps) == (Outcome.OUT_OF_STEPS, 3)
    np.testing.assert_array_equal(start, np.diag([1.0, 0.5]))


def test_the_published_histogram_throws_starts_away():
    made = published_histogram(weights.for_ranks(4, 26, 2))
    assert len(made.ranks) == len(made.starts) == 2
    assert len(made.rejected_starts) == len(made.rejected_by)
    assert set(made.rejected_by) <= {0, 1}
    assert made.ranks.max() <= 2


def test_the_kernel_basis_is_a_rotation_with_exact_zeros():
    sample, start = weights.for_ranks(5, 26, 1)[0], starts.wishart(5, 1)[0]
    turned, factor = in_kernel_basis(sample, start)
    np.testing.assert_array_equal(turned.Q[:, 2:], 0.0)
    np.testing.assert_array_equal(factor[:2, :3], 0.0)
    np.testing.assert_allclose(np.linalg.eigvalsh(factor @ factor.T), np.linalg.eigvalsh(start), rtol=1e-9)
    rate, other = plain.softmax(sample)(start), plain.softmax(turned)(factor @ factor.T)
    np.testing.assert_allclose(np.linalg.eigvalsh(other), np.linalg.eigvalsh(rate), rtol=1e-9, atol=1e-9)
    old = sample.Q @ start @ sample.Q.T
    np.testing.assert_allclose(turned.Q @ factor @ factor.T @ turned.Q.T, old, rtol=1e-10)
