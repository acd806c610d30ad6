"""The picture of a mixture: tokens, ellipses, errors."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.report.mixture import mixture_figure


@pytest.fixture
def problem(rng):
    ts = np.array([0.0, 0.5, 1.5])
    means = rng.normal(size=(3, 2, 2))
    factors = rng.normal(size=(3, 2, 2, 2))
    rows = {"whole": (ts[:2], *rng.random((3, 2))), "components": (ts, *rng.random((3, 3)))}
    labels = np.repeat([0, 1], [300, 5000])
    tokens = rng.normal(size=(2, 5300, 2)) + means[[0, -1]][:, labels]
    return ts, means, factors @ factors.transpose(0, 1, 3, 2), rows, tokens, labels


def test_the_plane_shows_tokens_and_an_ellipse_of_two_deviations_for_each_component(problem):
    ts, means, covs, rows, tokens, labels = problem
    left, middle, right = mixture_figure(ts, means, covs, rows, tokens=tokens, labels=labels).axes
    for ax, at in ((left, 0), (middle, -1)):
        ellipses = ax.lines[1::2]
        assert len(ellipses) == 2
        for j, line in enumerate(ellipses):
            apart = line.get_xydata() - means[at, j]
            radius = np.sqrt(np.sum(apart * np.linalg.solve(covs[at, j], apart.T).T, axis=1))
            np.testing.assert_allclose(radius, 2.0, rtol=1e-8)
        assert sum(len(cloud.get_offsets()) for cloud in ax.collections) <= 3000 + 2
    assert "t = 1.5" in middle.get_title()
    assert right.get_yscale() == "log"


def test_errors_are_drawn_at_the_times_that_each_closure_reached(problem):
    ts, means, covs, rows, tokens, labels = problem
    right = mixture_figure(ts, means, covs, rows, tokens=tokens, labels=labels).axes[-1]
    np.testing.assert_array_equal(right.lines[0].get_xdata(), ts[:2])
    np.testing.assert_array_equal(right.lines[4].get_ydata(), rows["components"][1])
    words = [text.get_text() for text in right.get_legend().get_texts()]
    assert words[:2] == ["closure of the whole", "closure of the components"]


def test_outside_the_plane_only_the_errors_are_drawn(problem, rng):
    ts, _, _, rows, _, labels = problem
    means, covs = rng.normal(size=(3, 2, 3)), np.broadcast_to(np.eye(3), (3, 2, 3, 3))
    figure = mixture_figure(ts, means, covs, rows, tokens=rng.normal(size=(2, 5300, 3)), labels=labels)
    assert len(figure.axes) == 1


def test_nothing_reached_is_refused(problem):
    _, means, covs, rows, tokens, labels = problem
    with pytest.raises(BadInput, match="at least one time"):
        mixture_figure(np.zeros(0), means[:0], covs[:0], rows, tokens=tokens, labels=labels)
