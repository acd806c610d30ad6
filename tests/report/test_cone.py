import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.report.cone import cone_coordinates, cone_trajectory


def test_the_coordinates_hold_the_eigenvalues_as_height_plus_and_minus_radius(planar):
    _, _, cov = planar
    x, y, z = cone_coordinates(cov).T
    values = np.linalg.eigvalsh(cov)
    np.testing.assert_allclose(z + np.hypot(x, y), values[:, 1], rtol=1e-12)
    np.testing.assert_allclose(z - np.hypot(x, y), values[:, 0], rtol=1e-12)


def test_the_direction_around_the_axis_is_twice_the_angle_of_the_largest_eigenvector():
    angle = 0.3
    direction = np.array([np.cos(angle), np.sin(angle)])
    ((x, y, z),) = cone_coordinates(np.outer(direction, direction)[None])
    assert np.arctan2(y, x) == pytest.approx(2 * angle)
    assert z == pytest.approx(0.5)


def test_each_trajectory_is_a_line_with_its_start_and_end_marked(planar):
    _, _, cov = planar
    covs = [cov, 2.0 * cov[::-1] + np.array([[0.1, 0.02], [0.02, 0.3]])]
    artists = cone_trajectory(covs)
    for line, start, end, series in zip(artists.lines, artists.starts, artists.ends, covs, strict=True):
        drawn = np.array(line.get_data_3d()).T
        np.testing.assert_allclose(drawn[:, 2], np.trace(series, axis1=1, axis2=2) / 2)
        np.testing.assert_allclose(drawn[:, 1], series[:, 0, 1])
        np.testing.assert_allclose(drawn[:, 0] + drawn[:, 2], series[:, 0, 0])
        np.testing.assert_allclose(np.ravel(start._offsets3d), drawn[0])
        np.testing.assert_allclose(np.ravel(end._offsets3d), drawn[-1])
    colors = {line.get_color() for line in artists.lines}
    assert len(colors) == 2
    low, high = artists.axes.get_zlim()
    assert low <= 0.0
    assert high >= max(np.trace(series, axis1=1, axis2=2).max() for series in covs) / 2


def test_the_surface_holds_matrices_of_rank_one(planar):
    artists = cone_trajectory([planar[2]])
    x, y, z = np.concatenate([np.asarray(face) for face in artists.surface._faces]).T
    np.testing.assert_allclose(np.hypot(x, y), z, atol=1e-12)
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], z.max() * np.array([-1, 1, -1, 1]))


def test_other_dimensions_are_refused(low_rank):
    with pytest.raises(BadInput, match=r"\(t, 2, 2\)"):
        cone_trajectory([low_rank[2]])
