"""Pictures of plans: what is drawn is what was given, and the numbers agree with formulas of their own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.linalg import expm, sqrtm

import attnflow as af
from attnflow.reachability.law import Controls, Steps
from attnflow.reachability.motion import follow
from attnflow.report.overview import save
from attnflow.report.steering import Errors, Target, band, distance_over_depth, norms_over_depth, plane, steering

TS = np.linspace(0.0, 2.0, 21)


def titled(figure):
    return {ax.get_title(loc="left"): ax for ax in figure.axes}


def drawn(ax, label):
    (line,) = (line for line in ax.get_lines() if line.get_label().startswith(label))
    return line.get_xydata().T


def turning(d, rng):
    """A path of covariances and means by matrix exponentials."""
    generator, factor = rng.normal(size=(d, d)) / 2, rng.normal(size=(d, d))
    flow = np.array([expm(t * generator) for t in TS])
    factors = flow @ factor
    return flow @ rng.normal(size=d), factors @ np.swapaxes(factors, 1, 2)


def distance(m, S, n, R):
    root = sqrtm(S)
    return np.sqrt(np.sum((m - n) ** 2) + max(np.trace(S + R - 2 * np.real(sqrtm(root @ R @ root))), 0.0))


def errors(words="fine", n=21):
    return Errors(TS[:n], np.ones(n), np.full(n, 1e-12), np.full(n, 2e-13), words)


@pytest.mark.parametrize(("d", "panels"), [(1, 5), (2, 6), (4, 5)])
def test_every_dimension_has_its_panels(d, panels, rng):
    mean, cov = turning(d, rng)
    values = np.linalg.eigvalsh(cov)[:, ::-1]
    norms = {"V": TS + 1, "A": 100 * TS + 1, "B": np.zeros(21), "b": np.ones(21)}
    figure = steering(
        TS, mean, cov, Target(mean[-1], cov[-1]), values=values, controls=norms, distance=TS[::-1], errors=errors(),
        title="a plan",
    )  # fmt: skip
    axes = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert len(axes) == panels
    assert figure.get_suptitle() == "a plan"
    spectrum = titled(figure)[f"eigenvalues of the covariance, rank {d}"]
    np.testing.assert_allclose(drawn(spectrum, "target")[1], values[-1], rtol=1e-9)


def test_the_target_is_outlined_where_it_is_and_not_where_the_path_ends(rng):
    mean, cov = turning(2, rng)
    goal = Target(mean[-1] + 3.0, 2.0 * cov[-1])
    from attnflow.report.canvas import axes_or_new

    ax = axes_or_new(None)
    plane(TS, mean, cov, goal, ax=ax)
    outline = drawn(ax, "target").T - goal.mean
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", outline, np.linalg.inv(goal.cov), outline), 1.0, rtol=1e-9)


def test_in_higher_dimension_a_projection_keeps_the_way_of_the_mean(rng):
    from attnflow.report.canvas import axes_or_new

    mean, cov = turning(5, rng)
    mean = mean * 50
    ax = axes_or_new(None)
    goal = Target(mean[-1], cov[-1])
    plane(TS, mean, cov, goal, ax=ax)
    outline = drawn(ax, "target").T
    (path,) = (artist for artist in ax.collections if artist.get_capstyle() == "round")
    segments = np.array(path.get_segments())
    shown = np.linalg.norm(segments[-1][-1] - segments[0][0])
    assert shown == pytest.approx(np.linalg.norm(mean[-1] - mean[0]), rel=1e-2)
    half = np.ptp(outline, axis=0).max() / 2
    assert half <= np.sqrt(np.linalg.eigvalsh(cov[-1]).max()) * (1 + 1e-9)


def test_one_dimension_is_a_band_of_one_standard_deviation(rng):
    from attnflow.report.canvas import axes_or_new

    mean, cov = turning(1, rng)
    ax = axes_or_new(None)
    band(TS, mean, cov, Target(mean[-1], cov[-1]), ax=ax)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), mean[:, 0])


def test_a_control_that_is_zero_is_named_and_a_wide_range_is_logarithmic():
    from attnflow.report.canvas import axes_or_new

    ax = axes_or_new(None)
    lines = norms_over_depth(TS, {"V": np.ones(21), "A": np.linspace(1, 200, 21), "B": np.zeros(21)}, ax=ax)
    assert [line.get_label() for line in lines] == ["|V|", "|A|", "|B| = 0"]
    assert lines[2].get_xdata().size == 0
    assert ax.get_yscale() == "log"
    linear = axes_or_new(None)
    norms_over_depth(TS, {"V": np.ones(21)}, ax=linear)
    assert linear.get_yscale() == "linear"


def test_the_ends_of_the_distances_are_written():
    from attnflow.report.canvas import axes_or_new

    ax = axes_or_new(None)
    found = dataclasses.replace(errors(), distance=np.linspace(1.0, 3.2e-13, 21))
    distance_over_depth(TS, np.linspace(1.0, 4.1e-16, 21), found, ax=ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["reference path, at the end 4.1e-16", "replay, at the end 3.2e-13"]


def pair(d, rank, rng):
    return [af.Gaussian.from_factor(rng.normal(size=d), rng.normal(size=(d, rank))) for _ in range(2)]


def test_the_picture_of_a_plan_shows_its_distance_spectrum_and_controls(rng):
    start, target = pair(3, 3, rng)
    plan = af.steer(start, target, time=2.0, method=af.PaperConstruction())
    panels = titled(plan.plot())
    t, shown = drawn(panels["Bures-Wasserstein distance to the target"], "reference path")
    i = 57
    at = plan.at(t[i])
    assert shown[i] == pytest.approx(distance(at.mean, at.cov, target.mean, target.cov), rel=1e-6)
    lines = panels["eigenvalues of the covariance, rank 3"].get_lines()
    np.testing.assert_allclose([line.get_ydata()[i] for line in lines[:3]], np.linalg.eigvalsh(at.cov)[::-1], rtol=1e-9)
    controls = panels["controls (Frobenius norms)"]
    for name in ("A", "V", "B", "b"):
        norm = np.sqrt(np.sum(np.square(getattr(plan.controls(t[i]), name))))
        assert drawn(controls, f"|{name}|")[1][i] == pytest.approx(norm, rel=1e-9)
    replay = panels["replay (SciPy) against the reference, relative"]
    assert max(line.get_ydata().max() for line in replay.get_lines()) < 1e-8
    assert "against the target" in replay.texts[0].get_text()


def test_a_point_mass_is_drawn_without_a_warning(rng, tmp_path):
    from PIL import Image

    save(af.steer(*pair(2, 0, rng)).plot(), tmp_path / "point.png")
    with Image.open(tmp_path / "point.png") as image:
        assert min(image.size) > 900


def test_controls_that_jump_are_drawn_from_both_sides(rng):
    start, target = pair(2, 2, rng)
    A = rng.normal(size=(2, 2, 2))
    law = Steps(np.array([0.0, 0.37, 1.0]), Controls(A, 0.1 * A, -0.2 * A, rng.normal(size=(2, 2))))
    motion = follow(law, start.mean, start.factor, 1.0).motion
    plan = dataclasses.replace(af.steer(start, target), law=law, motion=motion, basis=af.Basis.NUMERICAL)
    figure = plan.plot()
    assert "target missed (numerical)" in figure.get_suptitle()
    panels = titled(figure)
    labels = [text.get_text() for text in panels["Bures-Wasserstein distance to the target"].get_legend().get_texts()]
    left = distance(plan.end.mean, plan.end.cov, target.mean, target.cov)
    assert [text.endswith(f"at the end {left:.1e}") for text in labels] == [True, True]
    t, norms = drawn(panels["controls (Frobenius norms)"], "|A|")
    at = np.flatnonzero(np.diff(norms))
    assert at.size == 1
    assert t[at[0] + 1] == 0.37
    assert t[at[0]] == np.nextafter(0.37, 0.0)


def test_a_replay_that_stops_is_said(rng):
    start, target = pair(2, 2, rng)
    plan = af.steer(start, target)
    one = Controls(np.zeros((2, 2)), np.eye(2), 50.0 * np.eye(2), np.zeros(2))
    law = Steps(np.array([0.0, 1.0]), Controls(*(part[None] for part in one)))
    panel = titled(dataclasses.replace(plan, law=law).plot())["replay (SciPy) against the reference, relative"]
    assert panel.texts[0].get_text().startswith("the replay stopped at t = 0")
