"""What can be reached: ranks by a stated tolerance, never refused without a reason, and the least price."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af
from attnflow.reachability.obstruction import least_control, visible_factor

EPS = np.finfo(float).eps


def gaussian(rng, d: int, r: int) -> af.Gaussian:
    factor = rng.normal(size=(d, r))
    if rng.random() < 0.5:
        return af.Gaussian.from_factor(rng.normal(size=d), factor)
    return af.Gaussian.from_moments(rng.normal(size=d), factor @ factor.T)


def test_a_thousand_rank_mismatches_are_refused_and_a_thousand_matches_are_not(rng):
    for _ in range(1000):
        d = int(rng.integers(1, 13))
        one, two = rng.choice(d + 1, 2, replace=False)
        verdict = af.reachable(gaussian(rng, d, one), gaussian(rng, d, two))
        assert not verdict
        assert verdict.ranks == (one, two)
        assert f"the start has rank {one}, the target rank {two}" in verdict.reason
        assert verdict.price is None
        assert af.reachable(gaussian(rng, d, one), gaussian(rng, d, one))


@pytest.mark.parametrize("d", [2, 7, 32])
def test_the_tolerance_is_d_eps_unless_given_and_both_sides_of_the_gap_are_shown(d, rng):
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    full = af.Gaussian.from_factor(np.zeros(d), basis)
    for ratio, counts in ((1.2 * d * EPS, True), (0.8 * d * EPS, False)):
        sizes = np.ones(d)
        sizes[-1] = np.sqrt(ratio)
        thin = af.Gaussian.from_factor(np.zeros(d), basis * sizes)
        verdict = af.reachable(full, thin)
        assert bool(verdict) == counts
        kept, dropped = verdict.gaps[1]
        assert (kept if counts else dropped) == pytest.approx(ratio, rel=1e-6)
        assert (dropped is None) == counts
        assert verdict.tolerance == d * EPS
        assert not af.reachable(full, thin, rtol=1e-6)
        assert af.reachable(thin, thin, rtol=1e-6)


def test_a_nearly_singular_target_is_warned_of_with_its_price(rng):
    start = af.Gaussian.from_factor(np.zeros(2), np.eye(2))
    easy = af.reachable(start, af.Gaussian.from_factor(np.zeros(2), np.diag([1.0, 1e-3])))
    assert (bool(easy), easy.warning) == (True, "")
    thin = af.reachable(start, af.Gaussian.from_factor(np.zeros(2), np.diag([1.0, 1e-6])))
    assert "the target is nearly singular (1.0e-12)" in thin.warning
    assert f"at least {6 * np.log(10):.3g}" in thin.warning
    assert thin.price == pytest.approx(6 * np.log(10))
    given = af.steer(start, af.Gaussian.from_factor(np.zeros(2), np.diag([1.0, 1e-6])))
    assert given.notes == (thin.warning,)


def test_variances_that_count_as_zero_are_warned_of_but_the_rounding_of_dependent_columns_is_not(rng):
    basis = np.linalg.qr(rng.normal(size=(4, 2)))[0]
    start = af.Gaussian.from_factor(np.zeros(4), basis @ rng.normal(size=(2, 4)))
    target = af.Gaussian.from_factor(np.zeros(4), rng.normal(size=(4, 2)))
    assert (bool(af.reachable(start, target)), af.reachable(start, target).warning) == (True, "")
    hidden = af.Gaussian.from_factor(np.zeros(4), np.linalg.qr(rng.normal(size=(4, 3)))[0] * [1.0, 0.5, 1e-9])
    verdict = af.reachable(start, hidden)
    assert bool(verdict)
    assert "the target has variances down to 1.0e-18 of the largest that count as zero" in verdict.warning


def test_bad_input_is_refused(rng):
    one = gaussian(rng, 2, 2)
    with pytest.raises(af.BadInput, match=r"`target` must be a Gaussian: ndarray was found"):
        af.reachable(one, np.eye(2))
    with pytest.raises(af.BadInput, match=r"must share one dimension d: 2 and 3"):
        af.reachable(one, gaussian(rng, 3, 2))
    for rtol in (-1e-3, 1.0, np.nan):
        with pytest.raises(af.BadInput, match=r"`rtol` must be at least 0 and below 1"):
            af.reachable(one, one, rtol=rtol)


def test_a_point_mass_reaches_point_masses_only(rng):
    point = af.Gaussian.from_moments(np.ones(3), np.zeros((3, 3)))
    verdict = af.reachable(point, af.Gaussian.from_factor(np.zeros(3), np.zeros((3, 0))))
    assert (bool(verdict), verdict.ranks, verdict.price) == (True, (0, 0), 0.0)
    assert not af.reachable(point, gaussian(rng, 3, 1))


def test_the_visible_factor_has_the_covariance_and_independent_columns(rng):
    thin = rng.normal(size=(5, 2)) @ rng.normal(size=(2, 4))
    found = visible_factor(af.Gaussian.from_factor(np.zeros(5), thin), 5 * EPS)
    assert found.shape == (5, 2)
    np.testing.assert_allclose(found @ found.T, thin @ thin.T, atol=1e-13)
    full = rng.normal(size=(5, 2))
    np.testing.assert_array_equal(visible_factor(af.Gaussian.from_factor(np.zeros(5), full), 5 * EPS), full)


def test_the_price_of_a_turn_and_a_squeeze_of_one_axis():
    """At rank one it is the root of angle^2 + log(ratio of lengths)^2."""
    start, target = np.array([[1.0], [0.0], [0.0]]), 3.0 * np.array([[0.0], [np.cos(0.4)], [np.sin(0.4)]])
    assert least_control(start, target) == pytest.approx(np.hypot(np.pi / 2, np.log(3.0)))
