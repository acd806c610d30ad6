import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.report.ellipses import covariance_ellipses


@pytest.mark.parametrize("level", [1.0, 2.5])
def test_every_corner_has_the_mahalanobis_radius_that_was_asked_for(planar, level):
    ts, mean, cov = planar
    artists = covariance_ellipses(mean, cov, ts, level=level)
    polygons = [path.vertices for path in artists.ellipses.get_paths()]
    assert len(polygons) == len(artists.shown)
    for index, polygon in zip(artists.shown, polygons, strict=True):
        offset = polygon - mean[index]
        radius = np.sqrt(np.einsum("ni,ni->n", offset, np.linalg.solve(cov[index], offset.T).T))
        np.testing.assert_allclose(radius, level, rtol=1e-10)
        angles = np.unwrap(np.arctan2(offset[:, 1], offset[:, 0]))
        assert abs(angles[-1] - angles[0]) == pytest.approx(2 * np.pi), "once around, not an arc"


def test_a_covariance_of_rank_one_is_a_segment_along_its_range():
    direction = np.array([3.0, -1.0])
    cov = np.array([np.eye(2) + np.outer(direction, direction) / 7.0, np.outer(direction, direction)])
    artists = covariance_ellipses(np.array([[0.0, 0.0], [1.0, 5.0]]), cov, np.array([0.0, 1.0]), level=1.5)
    offset = artists.ellipses.get_paths()[-1].vertices - np.array([1.0, 5.0])
    np.testing.assert_allclose(offset @ np.array([1.0, 3.0]), 0.0, atol=1e-7)
    assert np.linalg.norm(offset, axis=1).max() == pytest.approx(1.5 * np.linalg.norm(direction))


def test_the_path_is_the_mean_and_its_ends_are_marked(planar):
    ts, mean, cov = planar
    artists = covariance_ellipses(mean, cov, ts)
    segments = np.array(artists.path.get_segments())
    np.testing.assert_array_equal(segments[:, 0], mean[:-1])
    np.testing.assert_array_equal(segments[:, 1], mean[1:])
    np.testing.assert_array_equal(artists.start.get_offsets(), mean[:1])
    np.testing.assert_array_equal(artists.end.get_offsets(), mean[-1:])


def test_the_ellipses_are_spread_over_the_way_and_not_over_time():
    ts = np.linspace(0.0, 100.0, 2001)
    mean = np.stack([1 - np.exp(-3 * ts), np.exp(-3 * ts)], axis=1)
    cov = np.broadcast_to(np.array([[0.2, 0.05], [0.05, 0.1]]), (2001, 2, 2)).copy()
    artists = covariance_ellipses(mean, cov, ts, count=9)
    steps = np.linalg.norm(np.diff(mean[artists.shown], axis=0), axis=1)
    assert len(artists.shown) == 9
    assert artists.shown[0] == 0
    assert artists.shown[-1] == 2000
    assert steps.max() < 3.0 * steps.min()
    assert (ts[artists.shown] < 2.0).sum() == 8


def test_the_labels_of_the_colour_bar_are_times_in_order(planar):
    ts, mean, cov = planar
    bar = covariance_ellipses(mean, cov, ts).colorbar
    labels = [float(text.get_text()) for text in bar.ax.get_yticklabels()]
    assert labels == sorted(labels)
    assert (labels[0], labels[-1]) == (0.0, 3.0)


def test_it_draws_on_the_given_axes_with_equal_scales(planar):
    from matplotlib.figure import Figure

    ts, mean, cov = planar
    ax = Figure().add_subplot()
    artists = covariance_ellipses(mean, cov, ts, ax=ax, colorbar=None)
    assert artists.axes is ax
    assert artists.path.axes is ax
    assert artists.colorbar is None
    assert ax.get_aspect() == 1.0


def test_a_gaussian_that_does_not_move_and_one_time_are_drawn():
    cov = np.array([[0.5, 0.1], [0.1, 0.3]])
    still = covariance_ellipses(np.ones((4, 2)), np.stack([cov] * 4), np.arange(4.0))
    assert list(still.shown) == [0, 3]
    once = covariance_ellipses(np.array([[1.0, 2.0]]), cov[None], np.zeros(1))
    assert list(once.shown) == [0]


def test_another_dimension_than_two_is_refused(low_rank):
    ts, mean, cov = low_rank
    with pytest.raises(BadInput, match=r"`mean` must have shape \(t, 2\)"):
        covariance_ellipses(mean, cov, ts)
