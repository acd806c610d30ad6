"""Crowds of trajectories in the cone and in the disc, and bars of ranks."""

import numpy as np
import pytest
from PIL import Image

from attnflow._check import BadInput
from attnflow.report.cone import cone_coordinates
from attnflow.report.cone_trajectories import ConePanel, cone_panels
from attnflow.report.disc import DiscPanel, disc_coordinates, disc_panels
from attnflow.report.rank_bars import PublishedRun, RankPanel, rank_bars


@pytest.fixture
def crowd(planar):
    cov = planar[2]
    return [cov, 1.5 * cov[::-1], cov + np.array([[0.3, 0.1], [0.1, 0.2]])]


def test_disc_coordinates_have_the_eigenvalues_in_their_radius(planar):
    cov = planar[2]
    values = np.linalg.eigvalsh(cov)
    radius = np.linalg.norm(disc_coordinates(cov), axis=1)
    np.testing.assert_allclose(radius, (values[:, 1] - values[:, 0]) / values.sum(axis=1), rtol=1e-10)


def test_rank_one_lies_on_the_circle_at_twice_its_angle():
    u = np.array([np.cos(0.4), np.sin(0.4)])
    np.testing.assert_allclose(disc_coordinates(3.0 * np.outer(u, u)[None])[0], [np.cos(0.8), np.sin(0.8)])


def test_each_cone_panel_shows_its_paths_limits_and_guides(crowd, tmp_path):
    limits = np.array([cov[-1] for cov in crowd])
    guide = np.array([[0.0, 0.0, 0.0], [0.1, 0.2, 0.9]])
    panel = ConePanel("one", crowd, np.array([1.0, 2.0, 3.0]), limits, (guide,), "a ray")
    figure = cone_panels([panel, panel, panel], title="t", color_label="c", columns=2, path=tmp_path / "cone.png")
    axes = [ax for ax in figure.axes if ax.name == "3d"]
    assert [ax.get_title() for ax in axes] == ["one"] * 3
    lines = [np.array(line.get_data_3d()).T for line in axes[0].lines]
    for cov in crowd:
        assert any(len(line) == len(cov) and np.allclose(line, cone_coordinates(cov)) for line in lines)
    assert any(np.array_equal(line, guide) for line in lines)
    marked = [np.array(dots._offsets3d).T for dots in axes[0].collections if hasattr(dots, "_offsets3d")]
    assert any(
        len(dots) == 3 and np.allclose(np.sort(dots, 0), np.sort(cone_coordinates(limits), 0)) for dots in marked
    )
    with Image.open(tmp_path / "cone.png") as image:
        assert image.width > 1000


def test_other_dimensions_have_no_cone(low_rank):
    with pytest.raises(BadInput, match=r"\(t, 2, 2\)"):
        cone_panels([ConePanel("", [low_rank[2]], np.ones(1), np.zeros((1, 2, 2)))], title="", color_label="")


def test_disc_panels_are_coloured_by_numbers_or_by_outcome(crowd, tmp_path):
    ends = np.array([cov[-1] for cov in crowd])
    ends[2] = 0.0  # no direction: not marked
    numbers = DiscPanel("numbers", crowd, ends, np.array([0.2, 1.0, 7.0]), "time")
    outcomes = DiscPanel("outcomes", crowd, ends, colors=["red", "blue", "red"], legend={"up": "red"}, note="said")
    figure = disc_panels([numbers, outcomes], title="t", path=tmp_path / "disc.png")
    first, second = (ax for ax in figure.axes if ax.get_title())
    drawn = first.collections[0].get_segments()
    for line, cov in zip(drawn, crowd, strict=True):
        np.testing.assert_allclose(line, disc_coordinates(cov))
    np.testing.assert_allclose(first.collections[2].get_offsets(), disc_coordinates(ends[:2]))
    assert [text.get_text() for text in second.get_legend().get_texts()] == ["up"]
    assert any(text.get_text() == "said" for text in second.texts)
    assert (tmp_path / "disc.png").stat().st_size > 10_000


def test_rank_bars_count_shares(tmp_path):
    panel = RankPanel("d = 3", 3, np.array([2, 2, 2, 2]), np.array([1, 2, 2, 0]))
    run = PublishedRun(
        title="beside",
        ranks=np.array([1, 1, 2, 0]),
        true_ranks=np.array([2, 2, 2, 2]),
        eigenvalues=np.array([[1e-9, 0.01, 0.5]] * 4),
        true_eigenvalues=np.array([[1e-12, 0.2, 0.5], [1e-12, 0.1, 0.6], [1e-12, 0.4, 0.7], [1e-12, 0.3, 2.0]]),
        cut=0.1,
        redrawn=5,
    )
    figure = rank_bars({"softmax": [panel, panel]}, run, title="t", path=tmp_path / "bars.png")
    first = next(ax for ax in figure.axes if ax.get_title() == "d = 3")
    exact, cut = ([bar.get_height() for bar in group] for group in first.containers)
    assert exact == [0.0, 0.0, 1.0, 0.0]
    assert cut == [0.25, 0.25, 0.5, 0.0]
    assert any("5 starts thrown away" in ax.get_title() for ax in figure.axes)
    assert (tmp_path / "bars.png").stat().st_size > 10_000
