"""Linear maps between covariances: SciPy's matrix roots and 60-digit arithmetic as oracles."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from scipy.linalg import expm, sqrtm
from scipy.stats import special_ortho_group

from attnflow.reachability.displacement import Displacement, aligned, nothing, outside_rate, transported


def factors(rng, d: int, r: int, condition: float = 30.0) -> tuple[np.ndarray, np.ndarray]:
    sizes = condition ** (-0.5 * np.linspace(0.0, 1.0, r))
    return tuple(rng.permutation(np.linalg.qr(rng.normal(size=(d, r)))[0] * sizes) for _ in range(2))


@pytest.mark.parametrize("build", [transported, aligned])
@pytest.mark.parametrize(("d", "r"), [(1, 1), (3, 1), (5, 5), (6, 2), (7, 4), (9, 8)])
def test_it_takes_the_start_to_the_target_with_positive_determinant(build, d, r, rng):
    start, target = factors(rng, d, r)
    found = build(start, target)
    M = expm(found.planes.logarithm()) @ expm(found.stretch)
    np.testing.assert_allclose(M @ start @ start.T @ M.T, target @ target.T, atol=1e-13)
    np.testing.assert_allclose(M, found.matrix, atol=1e-13)
    assert np.linalg.det(M) > 0
    assert found.cost == pytest.approx(
        np.linalg.norm(found.planes.logarithm()) ** 2 + np.linalg.norm(found.stretch) ** 2, rel=1e-12
    )
    assert found.condition == pytest.approx(np.linalg.cond(M), rel=1e-10)


def test_within_one_range_it_is_the_optimal_transport_map(rng):
    start, target = factors(rng, 5, 5)
    root = np.real(sqrtm(start @ start.T))
    back = np.linalg.inv(root)
    optimal = back @ np.real(sqrtm(root @ target @ target.T @ root)) @ back
    np.testing.assert_allclose(transported(start, target).matrix, optimal, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_at_condition_1e8_its_rates_agree_with_60_digits(reverse, rng):
    """Reversed, the map has the condition 1e8 itself; else it is the roots that are hard."""
    sizes = np.array([1.0, 1e-2, 1e-4])
    start = special_ortho_group.rvs(3, random_state=rng) * sizes
    near = special_ortho_group.rvs(3, random_state=rng) if reverse else np.linalg.qr(start)[0] * [1.0, -1.0, 1.0]
    target = near * (sizes[::-1] if reverse else sizes * [1.0, 2.0, 0.5])
    with mp.workdps(60):
        one, two = (mp.matrix(part.tolist()) * mp.matrix(part.tolist()).T for part in (start, target))
        values, vectors = mp.eigsy(one)
        root = vectors * mp.diag([mp.sqrt(v) for v in values]) * vectors.T
        back = vectors * mp.diag([1 / mp.sqrt(v) for v in values]) * vectors.T
        inner, axes = mp.eigsy(root * two * root)
        optimal = back * axes * mp.diag([mp.sqrt(v) for v in inner]) * axes.T * back
        rates = sorted(float(mp.log(v)) for v in mp.eigsy(optimal)[0])
    np.testing.assert_allclose(np.sort(transported(start, target).rates), rates, atol=2e-11)


def test_the_aligned_axes_turn_by_no_more_than_a_right_angle_where_signs_allow():
    sizes, turn = np.array([3.0, 2.0, 1.0]), expm(np.array([[0, 0.3, -0.2], [-0.3, 0, 0.1], [0.2, -0.1, 0]]))
    found = aligned(np.diag(sizes), -turn @ np.diag(sizes))
    np.testing.assert_allclose(found.matrix, turn, atol=1e-14)
    flipped = aligned(np.diag(sizes), np.diag([-3.0, 2.0, 1.0]))
    assert flipped.cost == pytest.approx(0.0, abs=1e-25)
    swapped = aligned(np.diag(sizes), np.eye(3)[:, [1, 0, 2]] * sizes)
    assert swapped.planes.angles == pytest.approx([np.pi / 2])


def test_outside_the_range_nothing_moves_unless_the_target_is_far_smaller(rng):
    start, target = factors(rng, 5, 2)
    kept = transported(start, 0.02 * target)
    assert kept.rates.size == 2
    for build in (transported, aligned):
        shrunk = build(start, 1e-6 * target)
        complement = np.linalg.qr(start, mode="complete")[0][:, 2:]
        ratio = 1e-4 * np.linalg.norm(target) / np.linalg.norm(start)
        np.testing.assert_allclose(expm(shrunk.stretch) @ complement, ratio * complement, atol=1e-15)
        moved = shrunk.matrix @ start
        np.testing.assert_allclose(moved @ moved.T, 1e-12 * target @ target.T, rtol=0, atol=1e-24)
    assert outside_rate(start, target) == 0.0


def test_the_identity_costs_nothing():
    assert Displacement(nothing(3), np.zeros((3, 0)), np.zeros(0)).cost == 0.0
