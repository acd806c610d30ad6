"""The four constructions: what each promises, against NumPy's pseudo-inverse, SciPy's matrix functions, W_2."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import logm, null_space

from attnflow.reachability.constructions import ConstantControls, McCann, PaperConstruction, Rotation
from attnflow.reachability.displacement import aligned, transported
from attnflow.reachability.law import Constant

CONSTRUCTIONS = [Rotation(), ConstantControls(), McCann(), PaperConstruction()]
MEAN = np.array([0.3, -1.0, 2.0, 0.5, 1.5])


def pair(rng, r: int = 3):
    return rng.normal(size=(5, r)), rng.normal(size=(5, r))


@pytest.mark.parametrize("construction", CONSTRUCTIONS, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("r", [1, 3, 5])
def test_the_path_runs_from_the_start_to_the_target(construction, r, rng):
    start, target = pair(rng, r)
    path = construction.path(start, target)
    np.testing.assert_allclose(path.factor(0.0), start, atol=1e-14)
    np.testing.assert_allclose(path.factor(1.0) @ path.factor(1.0).T, target @ target.T, atol=1e-12)


def test_rotation_takes_the_cheaper_of_the_two_maps(rng):
    chosen = set()
    for _ in range(12):
        start, target = rng.normal(size=(2, 2)) * [4.0, 0.4], rng.normal(size=(2, 2)) * [4.0, 0.4]
        costs = [build(start, target).cost for build in (transported, aligned)]
        path = Rotation().path(start, target)
        speed = np.linalg.norm(path.generator(0.0)) ** 2
        assert speed == pytest.approx(min(costs), rel=1e-10)
        assert np.linalg.norm(path.generator(0.7)) ** 2 == pytest.approx(speed, rel=1e-10)
        chosen.add(int(np.argmin(costs)))
    assert chosen == {0, 1}


def test_constant_controls_do_not_depend_on_depth_and_their_logarithm_is_that_of_scipy(rng):
    start, target = pair(rng)
    construction = ConstantControls()
    law = construction.law(construction.path(start, target), 2.0, MEAN)
    assert isinstance(law, Constant)
    A, B, V, b = law.controls(0.0)
    np.testing.assert_allclose(2.0 * A, np.real(logm(transported(start, target).matrix)), atol=1e-12)
    np.testing.assert_array_equal(V, -A)
    assert not B.any()
    np.testing.assert_array_equal(b, MEAN)


def test_constant_controls_at_equal_ranges_have_a_symmetric_generator(rng):
    start = rng.normal(size=(5, 3))
    path = ConstantControls().path(start, start @ rng.normal(size=(3, 3)))
    G = path.generator(0.3)
    np.testing.assert_allclose(G, G.T, atol=1e-13)
    assert np.linalg.norm(G @ null_space(start.T)) < 1e-13


def test_mccann_is_as_short_as_the_distance_of_the_covariances(rng):
    start, target = pair(rng)
    path = McCann().path(start, target)
    one, two = start @ start.T, target @ target.T
    fidelity = np.sum(np.sqrt(np.sort(np.real(np.linalg.eigvals(one @ two)))[-3:]))
    squared = np.trace(one + two) - 2.0 * fidelity
    assert np.linalg.norm(path.end - path.start) ** 2 == pytest.approx(squared, rel=1e-10)


def test_the_scores_of_the_paper_are_the_pseudo_inverse_of_the_covariance_on_the_path(rng):
    start, target = pair(rng)
    path = PaperConstruction().path(start, target)
    law = PaperConstruction().law(path, 2.0, MEAN)
    for t in (0.0, 0.8, 2.0):
        A, B, V, _ = law.controls(t)
        cov = path.factor(t / 2.0) @ path.factor(t / 2.0).T
        np.testing.assert_allclose(B, np.linalg.pinv(cov, rcond=1e-12), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(A, -V - V @ cov @ B, atol=1e-11)
