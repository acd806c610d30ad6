"""Theorem 3.2 by its own construction: U_1 D U_0^T with det > 0 on a path in GL+, B = cov^+.

Also measured: McCann's plan and the default plan reach the same targets; what the B of the proof costs.
Dropped: the same rank.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import attnflow as af
from attnflow.reachability.motion import follow

METHODS = [af.Rotation(), af.ConstantControls(), af.McCann(), af.PaperConstruction()]


def pair(rng, d: int, r: int):
    return [af.Gaussian.from_factor(rng.normal(size=d), rng.normal(size=(d, r))) for _ in range(2)]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize(("d", "r"), [(1, 1), (3, 1), (4, 3), (4, 4)])
def test_every_construction_reaches_a_target_of_the_same_rank(method, d, r, rng):
    start, target = pair(rng, d, r)
    found = af.steer(start, target, time=3.0, method=method).replay(tokens=0)
    bound = 1e-8 if isinstance(method, af.PaperConstruction) else 1e-11
    assert max(found.mean_error, found.cov_error, found.worst_direction) < bound


def test_the_feedback_of_the_proof_steers_the_moments_themselves(rng):
    """B = cov^+ and A = -V - V cov B with the covariance of the moment, in SciPy: (3.2) and the end."""
    start, target = pair(rng, 3, 3)
    plan = af.steer(start, target, method=af.PaperConstruction())

    def rate(t, flat):
        mean, cov = flat[:3], flat[3:].reshape(3, 3)
        V, b = plan.controls(t).V, plan.controls(t).b
        B = np.linalg.pinv(cov)
        A = -V - V @ cov @ B
        half = (A + V @ cov @ B) @ cov
        return np.append((A + V + V @ cov @ B) @ mean + b, half + half.T)

    begin = np.append(np.asarray(start.mean), np.asarray(start.cov))
    end = solve_ivp(rate, (0.0, 1.0), begin, "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(end[:3], target.mean, atol=1e-9)
    np.testing.assert_allclose(end[3:].reshape(3, 3), target.cov, atol=1e-8)


def test_the_path_stays_in_gl_plus_with_orthogonal_axes_and_the_stretch_of_the_variances(rng):
    start, target = pair(rng, 4, 4)
    path = af.steer(start, target, method=af.PaperConstruction()).law.path
    M = path.between(0.0, 1.0)
    U, D, W = np.linalg.svd(M)
    ratios = [np.sqrt(np.linalg.eigvalsh(g.cov)) for g in (start, target)]
    np.testing.assert_allclose(np.sort(D), np.sort(ratios[1] / ratios[0]), rtol=1e-10)
    assert all(np.linalg.det(path.between(0.0, s)) > 0 for s in np.linspace(0.0, 1.0, 11))


def test_with_the_scores_of_the_proof_an_error_of_the_start_stays_as_large_and_without_it_moves_along(rng):
    """To first order e' = 0 at full rank with B = cov^-1, and e' = G e + e G^T with B = 0."""
    start, target = pair(rng, 3, 3)
    error = 1e-6 * rng.normal(size=(3, 3))
    error = error + error.T
    wrong = np.linalg.cholesky(np.asarray(start.cov) + error)
    for method in (af.PaperConstruction(), af.Rotation()):
        plan = af.steer(start, target, method=method)
        end = follow(plan.law, np.zeros(3), wrong, 1.0).motion.factor(1.0)
        M = plan.law.path.between(0.0, 1.0)
        expected = error if isinstance(method, af.PaperConstruction) else M @ error @ M.T
        found = end @ end.T - np.asarray(target.cov)
        assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("V_scale", [0.0, 1.0])
def test_the_general_recipe_any_V_and_B_on_the_same_path(V_scale, rng):
    """A = G - V cov B and b = m' - (A + V + V cov B) m, with V and B chosen freely."""
    start, target = pair(rng, 3, 2)
    path = af.steer(start, target).law.path
    one, two = np.asarray(start.mean), np.asarray(target.mean)
    V0, B0 = V_scale * rng.normal(size=(3, 3)), rng.normal(size=(3, 3))

    def rate(t, flat):
        state = flat.reshape(3, 3)
        mean, factor = state[:, 0], state[:, 1:]
        V, B = np.cos(t) * V0, (1.0 + t) * B0
        reference = path.factor(t) @ path.factor(t).T
        A = path.generator(t) - V @ reference @ B
        b = (two - one) - (A + V + V @ reference @ B) @ (one + t * (two - one))
        cov = factor @ factor.T
        return np.column_stack([(A + V + V @ cov @ B) @ mean + b, (A + V @ cov @ B) @ factor]).ravel()

    begin = np.column_stack([one, np.asarray(start.factor)]).ravel()
    end = solve_ivp(rate, (0.0, 1.0), begin, "DOP853", rtol=1e-12, atol=1e-13).y[:, -1].reshape(3, 3)
    np.testing.assert_allclose(end[:, 0], two, atol=1e-7)
    np.testing.assert_allclose(end[:, 1:] @ end[:, 1:].T, target.cov, atol=1e-7)


def test_dropped_hypothesis_another_rank_is_refused_and_the_controls_of_a_neighbour_miss_it(rng):
    start, target = pair(rng, 3, 2)[0], pair(rng, 3, 3)[1]
    with pytest.raises(af.BadInput, match=r"the start has rank 2, the target rank 3"):
        af.steer(start, target)
    filled = af.Gaussian.from_factor(start.mean, np.hstack([np.asarray(start.factor), rng.normal(size=(3, 1))]))
    plan = af.steer(filled, target)
    end = follow(plan.law, np.asarray(start.mean), np.asarray(start.factor), 1.0).motion.factor(1.0)
    assert np.linalg.matrix_rank(end @ end.T) == 2
