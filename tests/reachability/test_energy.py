"""Energies against closed forms and against SciPy's trapezoidal sums on fine grids."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid

import attnflow as af
from attnflow.reachability.constructions import Rotation
from attnflow.reachability.displacement import aligned, transported
from attnflow.reachability.energy import conditioning, energy
from attnflow.reachability.law import Controls, Steps
from attnflow.reachability.motion import follow

RANKS = [(1, 1), (4, 4), (4, 2), (5, 1), (6, 3)]


def gaussians(rng, d: int, r: int, scale: float = 1.0):
    return tuple(af.Gaussian.from_factor(s * rng.normal(size=d), s * rng.normal(size=(d, r))) for s in (1.0, scale))


def squared_distance(one: af.Gaussian, two: af.Gaussian) -> float:
    """W_2^2 with the nuclear norm of L_1^T L_2 for the trace of the root."""
    a, c = (np.asarray(g.factor) for g in (one, two))
    moved = np.asarray(one.mean) - np.asarray(two.mean)
    return float(moved @ moved + np.sum(a**2) + np.sum(c**2) - 2.0 * np.linalg.norm(a.T @ c, "nuc"))


@pytest.mark.parametrize("scale", [1.0, 1e-4])
@pytest.mark.parametrize(("d", "r"), RANKS)
def test_mccann_has_the_kinetic_energy_of_the_distance_and_nobody_has_less(d, r, scale, rng):
    start, target = gaussians(rng, d, r, scale)
    least = squared_distance(start, target) / 2.5
    plans = [af.steer(start, target, time=2.5, method=m) for m in (af.McCann(), af.Rotation(), af.ConstantControls())]
    assert plans[0].energy.kinetic == pytest.approx(least, rel=1e-9)
    assert all(plan.energy.kinetic >= least * (1 - 1e-9) for plan in plans)
    assert all(plan.energy.error < 1e-8 for plan in plans)


@pytest.mark.parametrize(("d", "r"), RANKS)
def test_a_rotation_with_a_stretch_costs_their_squares(d, r, rng):
    start, target = gaussians(rng, d, r)
    factors = np.asarray(start.factor), np.asarray(target.factor)
    cheapest = min(
        np.linalg.norm(m.planes.logarithm()) ** 2 + np.linalg.norm(m.stretch) ** 2
        for m in (transported(*factors), aligned(*factors))
    )
    plan = af.steer(start, target, time=2.5)
    assert plan.energy.control == pytest.approx(cheapest / 2.5, rel=1e-10)
    assert plan.energy.feedforward == pytest.approx(plan.energy.control, rel=1e-12)
    assert plan.largest_control == pytest.approx(np.sqrt(cheapest) / 2.5, rel=1e-10)
    constant = af.steer(start, target, time=2.5, method=af.ConstantControls())
    V = constant.controls(0.0).V
    assert constant.energy.control == pytest.approx(2.5 * np.sum(V**2), rel=1e-12)


def test_at_full_rank_the_paper_pays_four_times_as_much_in_the_feed_forward(rng):
    plan = af.steer(*gaussians(rng, 3, 3), method=af.PaperConstruction())
    assert plan.energy.feedforward == pytest.approx(4.0 * plan.energy.control, rel=1e-8)


def test_energies_of_very_different_sizes_are_all_accurate(rng):
    """Scaled by 1e-6 the kinetic energy falls by 1e-12; the controls stay what they are."""
    start, target = gaussians(rng, 3, 2)
    small = [af.Gaussian.from_factor(1e-6 * np.asarray(g.mean), 1e-6 * np.asarray(g.factor)) for g in (start, target)]
    one, two = af.steer(start, target).energy, af.steer(*small).energy
    assert two.kinetic == pytest.approx(1e-12 * one.kinetic, rel=1e-8)
    assert two.control == pytest.approx(one.control, rel=1e-9)


def test_energies_with_scores_and_jumps_are_the_sums_of_a_fine_grid(rng):
    d, n = 3, 2
    rows = Controls(*(0.4 * rng.normal(size=(n, *s)) for s in ((d, d), (d, d), (d, d), (d,))))
    law = Steps(np.array([0.0, 0.4, 1.0]), rows)
    motion = follow(law, rng.normal(size=d), 0.5 * rng.normal(size=(d, 2)), 1.0).motion
    expected = np.zeros(3)
    for i, (begin, stop) in enumerate(((0.0, 0.4), (0.4, 1.0))):
        A, B, V, b = (part[i] for part in rows)
        grid, values = np.linspace(begin, stop, 2001), []
        for t in grid:
            mean, cov = motion.mean(t), motion.factor(t) @ motion.factor(t).T
            G, drift = A + V @ cov @ B, V @ (mean + cov @ B @ mean) + A @ mean + b
            values.append([np.trace(G @ cov @ G.T) + drift @ drift, np.sum(V**2), np.sum(A**2)])
        expected += trapezoid(np.array(values), grid, axis=0)
    found = energy(law, motion, 1.0)
    np.testing.assert_allclose([found.kinetic, found.control, found.feedforward], expected, rtol=1e-6)
    assert found.error < 1e-8


def test_conditioning_is_that_of_the_flow_map_on_the_range(rng):
    start, target = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    plan = af.steer(af.Gaussian.from_factor(np.zeros(5), start), af.Gaussian.from_factor(np.zeros(5), target))
    path = Rotation().path(start, target)
    basis = np.linalg.svd(start)[0][:, :3]
    worst = max(np.linalg.cond(path.between(0.0, s) @ basis) for s in np.linspace(0.0, 1.0, 21))
    assert plan.conditioning == pytest.approx(worst, rel=1e-9)
    still = af.Gaussian.from_factor(np.zeros(2), np.zeros((2, 0)))
    assert conditioning(af.steer(still, still).motion, 1.0) == 1.0
