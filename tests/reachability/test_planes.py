"""Rotations as planes and angles, against SciPy's exponential, its principal angles and products of reflections."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm, subspace_angles
from scipy.stats import special_ortho_group

from attnflow.reachability.planes import Planes, direct_rotation, planes_of, principal_angles

SMALL_TO_RIGHT = np.array([1e-13, 3e-11, 1e-8, 2e-8, 0.4, np.pi / 2 - 1e-9, np.pi / 2])


def bases(rng, d: int, r: int, angles) -> tuple[np.ndarray, np.ndarray]:
    """Two orthonormal bases (d, r) in general position with the given principal angles."""
    q = special_ortho_group.rvs(d, random_state=rng)
    k = len(angles)
    two = q[:, :r].copy()
    two[:, :k] = q[:, :k] * np.cos(angles) + q[:, r : r + k] * np.sin(angles)
    mix = lambda: special_ortho_group.rvs(r, random_state=rng) if r > 1 else np.eye(1)  # noqa: E731
    return q[:, :r] @ mix(), two @ mix()


def reflection(basis: np.ndarray) -> np.ndarray:
    return 2.0 * basis @ basis.T - np.eye(len(basis))


@pytest.mark.parametrize(("d", "r"), [(2, 1), (5, 2), (9, 4), (7, 5), (12, 6)])
def test_its_square_is_the_product_of_the_two_reflections_and_it_turns_by_at_most_a_right_angle(d, r, rng):
    one, two = bases(rng, d, r, rng.uniform(0.0, 1.4, min(r, d - r)))
    rotation = direct_rotation(one, two).turn(1.0, np.eye(d))
    np.testing.assert_allclose(rotation @ rotation, reflection(two) @ reflection(one), atol=1e-14)
    assert np.linalg.eigvalsh(rotation + rotation.T).min() >= -1e-14
    np.testing.assert_allclose(rotation @ one @ one.T @ rotation.T, two @ two.T, atol=1e-14)


@pytest.mark.parametrize("d", [14, 17])
def test_angles_from_1e13_to_a_right_angle_are_told_apart(d, rng):
    one, two = bases(rng, d, 7, SMALL_TO_RIGHT)
    planes = direct_rotation(one, two)
    np.testing.assert_allclose(np.sort(principal_angles(one, two)), SMALL_TO_RIGHT, rtol=1e-7, atol=2e-15)
    np.testing.assert_allclose(np.sort(planes.angles)[-6:], SMALL_TO_RIGHT[1:], rtol=1e-4, atol=2e-15)
    np.testing.assert_allclose(np.sort(planes.angles)[-5:], np.sort(subspace_angles(one, two))[-5:], atol=1e-13)
    vectors = np.hstack([planes.first, planes.second])
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(vectors.shape[1]), atol=2e-14)
    turned = planes.turn(1.0, one)
    assert np.linalg.norm(turned - two @ (two.T @ turned)) < 1e-14


def test_equal_spans_do_not_turn_and_rounding_makes_no_planes(rng):
    one = special_ortho_group.rvs(40, random_state=rng)[:, :30]
    two = one @ special_ortho_group.rvs(30, random_state=rng)
    assert direct_rotation(one, two).angles.size == 0
    assert np.linalg.norm(direct_rotation(one, one).turn(1.0, one) - one) == 0.0


def test_turning_is_the_exponential_of_the_logarithm_in_numpy_and_in_jax(rng, x64):
    one, two = bases(rng, 7, 3, np.array([0.2, 0.9, 1.5]))
    planes, block = direct_rotation(one, two), rng.normal(size=(7, 4))
    turn = jax.jit(lambda s, block: planes.turn(s, block))  # noqa: PLW0108 - a method of arrays cannot be hashed
    for s in (-1.3, 0.25, 1.0):
        expected = expm(s * planes.logarithm()) @ block
        np.testing.assert_allclose(planes.turn(s, block), expected, atol=1e-13)
        np.testing.assert_allclose(turn(jnp.asarray(s), jnp.asarray(block)), expected, atol=1e-13)
    assert planes.size == pytest.approx(np.linalg.norm(planes.logarithm()), rel=1e-14)


@pytest.mark.parametrize(
    "angles",
    [
        [np.pi, np.pi, 1.0],
        [np.pi - 1e-9, np.pi, 1e-9],
        [np.pi - 1e-15, 2.0, 1e-14],
        [0.3, 0.3, 0.3],
        [np.pi, np.pi, np.pi],
    ],
)
@pytest.mark.parametrize("d", [6, 7])
def test_any_rotation_is_its_planes_angles_of_pi_and_equal_angles_included(angles, d, rng):
    q = special_ortho_group.rvs(d, random_state=rng)
    rotation = Planes(q[:, 0:6:2], q[:, 1:6:2], np.array(angles)).turn(1.0, np.eye(d))
    planes = planes_of(rotation)
    np.testing.assert_allclose(expm(planes.logarithm()), rotation, atol=2e-14)
    assert np.all((planes.angles > 0) & (planes.angles <= np.pi))
    found = np.sort(np.append(planes.angles, np.zeros(3 - planes.angles.size)))
    np.testing.assert_allclose(found, np.sort(angles), atol=1e-13)


def test_a_random_rotation_of_dimension_64_is_its_planes(rng):
    rotation = special_ortho_group.rvs(64, random_state=rng)
    np.testing.assert_allclose(planes_of(rotation).turn(1.0, np.eye(64)), rotation, atol=1e-13)
    assert planes_of(np.eye(3)).angles.size == 0
