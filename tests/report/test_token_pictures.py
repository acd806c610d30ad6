"""Tokens in the plane, and the picture of a comparison."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.report.comparison import comparison_figure
from attnflow.report.overview import overview
from attnflow.report.tokens import token_cloud


@pytest.fixture
def tokens(rng):
    start = rng.normal(size=(6000, 2))
    return np.array([start * np.exp(-0.3 * t) + [t, 0.0] for t in range(4)])


def test_the_first_and_the_last_tokens_are_drawn_and_some_paths(tokens):
    artists = token_cloud(tokens)
    *paths, start, end = artists
    assert len(paths) == 3
    assert len(paths[0].get_segments()) == 150
    assert len(start.get_offsets()) == len(end.get_offsets()) == 4000
    np.testing.assert_allclose(np.asarray(end.get_offsets())[0], tokens[-1, 0])


def test_one_time_has_no_paths(tokens):
    assert len(token_cloud(tokens[:1, :5])) == 2


def test_the_overview_shows_the_tokens_instead_of_ellipses(tokens, planar):
    ts, mean, cov = (x[:4] for x in planar)
    figure = overview(ts, mean, cov, tokens=tokens)
    assert any(ax.get_title() == "6000 tokens" for ax in figure.axes)


def comparison(**changes):
    ts, n = np.linspace(0.0, 1.0, 5), np.array([10, 100])
    rows = np.array([[0.3] * 5, [0.1] * 5])
    given = dict(
        errors=dict.fromkeys(("mean", "cov", "sliced"), rows * (1 + ts)),
        floors=dict.fromkeys(("mean", "cov", "sliced"), 0.8 * rows),
        titles={name: f"error of the {name}" for name in ("mean", "cov", "sliced")},
        tolerance=0.1, times=ts, traces={10: 1 + ts, 100: 1 + 2 * ts}, gaussian=(ts, 1 + 3 * ts), blow_up=1.1,
    )  # fmt: skip
    return comparison_figure(changes.pop("ts", ts), n, **(given | changes))


def test_a_comparison_shows_traces_errors_and_their_fall():
    figure = comparison()
    titles = {ax.get_title() for ax in figure.axes}
    assert {"trace of the covariance", "error of the cov", "largest error over the times"} <= titles
    fall = next(ax for ax in figure.axes if ax.get_title() == "largest error over the times")
    assert [tick.get_text() for tick in fall.get_xticklabels()] == ["10", "100"]
    np.testing.assert_allclose(fall.lines[0].get_ydata(), [0.6, 0.2])


def test_nothing_to_draw_is_said():
    with pytest.raises(BadInput, match="`ts` must hold at least one time"):
        comparison(ts=np.zeros(0))
