"""Paths of covariances: generators against SciPy's integration of L' = G L and of the flow map."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow.reachability.constructions import ConstantControls, McCann, PaperConstruction, Rotation, still

CONSTRUCTIONS = [Rotation(), ConstantControls(), McCann(), PaperConstruction()]
NAMES = [type(c).__name__ for c in CONSTRUCTIONS]
SIZES = [(1, 1, 1.0), (4, 2, 1.0), (4, 4, 1.0), (5, 3, 1e-4)]


def path_of(construction, size, rng):
    d, r, scale = size
    return construction.path(rng.normal(size=(d, r)), scale * rng.normal(size=(d, r)))


def carried(path, begin: float, stop: float, block: np.ndarray) -> np.ndarray:
    """Y(stop) of Y' = G Y, Y(begin) = block."""
    field = lambda s, flat: (path.generator(s) @ flat.reshape(block.shape)).ravel()  # noqa: E731
    found = solve_ivp(field, (begin, stop), block.ravel(), "DOP853", rtol=1e-12, atol=1e-14)
    return found.y[:, -1].reshape(block.shape)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("construction", CONSTRUCTIONS, ids=NAMES)
def test_the_generator_moves_the_factor_along_the_path(construction, size, rng):
    path = path_of(construction, size, rng)
    for s in (0.3, 0.95):
        np.testing.assert_allclose(carried(path, 0.0, s, path.factor(0.0)), path.factor(s), atol=1e-9)


@pytest.mark.parametrize("construction", [Rotation(), ConstantControls(), PaperConstruction()], ids=type)
def test_between_is_the_flow_map_on_the_whole_space(construction, rng):
    path = path_of(construction, (5, 3, 1.0), rng)
    np.testing.assert_allclose(path.between(0.2, 0.7), carried(path, 0.2, 0.7, np.eye(5)), atol=1e-10)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_on_the_geodesic_between_moves_the_factor_and_shrinks_the_rest(size, rng):
    path = path_of(McCann(), size, rng)
    moved = path.between(0.2, 0.7)
    np.testing.assert_allclose(moved @ path.factor(0.2), path.factor(0.7), atol=1e-13)
    np.testing.assert_allclose(moved, np.eye(size[0]) + 0.5 * path.generator(0.2), atol=1e-13)
    if size[0] > size[1]:
        across = np.linalg.svd(path.factor(0.2))[0][:, size[1] :]
        kept = np.linalg.norm(across.T @ moved @ across, 2)
        assert (kept == pytest.approx(1.0)) if size[2] == 1.0 else (kept < 0.5)


@pytest.mark.parametrize("construction", CONSTRUCTIONS, ids=NAMES)
def test_a_path_in_jax_is_the_path_in_numpy(construction, rng, x64):
    path = path_of(construction, (4, 2, 1.0), rng)
    traced = jax.jit(lambda s: (path.factor(s), path.generator(s), path.between(s, 0.9)))
    for s in (0.0, 0.4, 1.0):
        expected = path.factor(s), path.generator(s), path.between(s, 0.9)
        for ours, theirs in zip(traced(jnp.asarray(s)), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_a_point_mass_stays_without_columns():
    path = still(np.zeros((3, 0)))
    assert path.factor(0.5).shape == (3, 0)
    assert not path.generator(0.5).any()
    np.testing.assert_array_equal(path.between(0.1, 0.9), np.eye(3))
