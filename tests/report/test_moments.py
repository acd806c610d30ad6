import numpy as np
import pytest
from matplotlib.figure import Figure

from attnflow._check import BadInput
from attnflow.report.moments import eigenvalues_over_time, moments_over_time


def test_the_curves_are_the_sum_of_squares_of_the_factor_and_the_length_of_the_mean(rng):
    ts = np.linspace(0.0, 1.0, 7)
    factor, mean = rng.normal(size=(7, 3, 4)), rng.normal(size=(7, 3))
    artists = moments_over_time(ts, mean, factor @ factor.transpose(0, 2, 1))
    np.testing.assert_allclose(artists.trace.get_ydata(), (factor**2).sum(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(artists.mean_norm.get_ydata(), [np.sqrt(sum(m * m)) for m in mean], rtol=1e-12)
    singular = np.linalg.svd(factor, compute_uv=False)
    for line, expected in zip(artists.eigenvalues.lines, (singular**2).T, strict=True):
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-9)


def test_eigenvalues_that_are_rounding_are_not_drawn(low_rank):
    ts, _, cov = low_rank
    artists = eigenvalues_over_time(ts, cov)
    shown = [np.isfinite(line.get_ydata()) for line in artists.lines]
    assert [column.all() for column in shown[:2]] == [True, True]
    assert not np.any(shown[2:])


def test_the_line_of_an_eigenvalue_ends_where_it_falls_below_the_grey_region():
    ts = np.linspace(0.0, 60.0, 121)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    cov = turn @ (np.exp(-ts[:, None] * np.array([0.0, 1.0]))[:, :, None] * np.eye(2)) @ turn.T
    artists = eigenvalues_over_time(ts, cov)
    seen = ts[np.isfinite(artists.lines[1].get_ydata())]
    assert seen[-1] == pytest.approx(-np.log(2 * 2.0**-52), abs=1.0)
    top = artists.floor.get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(2 * 2.0**-52, rel=1e-6)
    assert artists.axes.get_ylim()[0] < top, "the grey region is in the picture"


def test_the_blow_up_time_is_a_line_in_a_band_and_both_are_in_view(planar):
    ts, mean, cov = planar
    for ax in moments_over_time(ts, mean, cov, blow_up=(3.1, 3.4, 3.2)).axes:
        (line,) = [line for line in ax.get_lines() if len(line.get_xdata()) == 2]
        assert list(line.get_xdata()) == [3.2, 3.2]
        band = next(patch for patch in ax.patches if patch.get_width() < 1)
        assert (band.get_x(), band.get_x() + band.get_width()) == (3.1, pytest.approx(3.4))
        assert ax.get_xlim()[1] > 3.4


def test_an_unbounded_bracket_reaches_to_the_edge(planar):
    ts, mean, cov = planar
    for ax in moments_over_time(ts, mean, cov, blow_up=(3.1, np.inf, 3.2)).axes:
        band = ax.patches[-1]
        assert band.get_x() + band.get_width() == pytest.approx(ax.get_xlim()[1])


def test_a_blow_up_far_beyond_the_last_time_is_named_but_does_not_squeeze_the_curves(planar):
    ts, mean, cov = planar
    for ax in moments_over_time(ts, mean, cov, blow_up=(480.0, 520.0, 500.0)).axes:
        assert ax.get_xlim()[1] < 4.0
        assert any("500" in text.get_text() for text in ax.texts)


def test_a_short_transient_is_stretched_and_says_so():
    ts = np.linspace(0.0, 1000.0, 4001)
    mean = np.exp(-ts)[:, None] * np.array([1.0, 2.0, -1.0])
    cov = np.broadcast_to(np.diag([1.0, 2.0, 3.0]) + 0.1, (4001, 3, 3)).copy()
    for ax in moments_over_time(ts, mean, cov).axes:
        edges = ax.transAxes.inverted().transform(ax.transData.transform([(3.0, 1.0), (1000.0, 1.0)]))[:, 0]
        assert 0.1 < edges[0] < 0.4
        assert edges[1] == pytest.approx(1.0)
        assert "logarithmic" in ax.get_xlabel()


def test_a_point_mass_has_no_eigenvalues_to_draw_and_says_so():
    ts, mean = np.linspace(0.0, 1.0, 5), np.ones((5, 3))
    artists = moments_over_time(ts, mean, np.zeros((5, 3, 3)))
    artists.axes[0].figure.canvas.draw()
    assert any("zero" in text.get_text() for text in artists.axes[1].texts)


def test_given_axes_are_used_and_must_be_three(planar):
    ts, mean, cov = planar
    places = Figure().subplots(1, 3)
    assert moments_over_time(ts, mean, cov, axes=list(places)).axes == tuple(places)
    with pytest.raises(BadInput, match="`axes` must be three"):
        moments_over_time(ts, mean, cov, axes=list(places[:2]))
