import numpy as np
import pytest
from PIL import Image

from attnflow._check import BadInput
from attnflow.report.figure1 import regimes
from attnflow.report.overview import overview


def titles(figure):
    return {ax.get_title(loc="left") for ax in figure.axes}


def test_a_planar_run_shows_the_ellipses_the_cone_and_the_moments(planar):
    figure = overview(*planar, title="turning")
    assert sum(ax.name == "3d" for ax in figure.axes) == 1
    assert sum(ax.get_aspect() == 1.0 for ax in figure.axes) == 1
    assert {"trace of the covariance", "eigenvalues of the covariance", "norm of the mean"} <= titles(figure)
    assert figure.get_suptitle() == "turning"


def test_another_dimension_shows_the_moments_only(low_rank):
    figure = overview(*low_rank)
    assert len(figure.axes) == 3
    assert "eigenvalues of the covariance" in titles(figure)


def test_the_file_is_an_image_in_the_format_of_its_suffix(planar, tmp_path):
    overview(*planar, path=tmp_path / "run.png")
    overview(*planar, path=str(tmp_path / "run.svg"))
    with Image.open(tmp_path / "run.png") as image:
        assert min(image.size) > 500
    assert "<svg" in (tmp_path / "run.svg").read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.png", "run.svg"]


def test_a_missing_folder_is_named(planar, tmp_path):
    with pytest.raises(BadInput, match=r"the folder `.*nowhere` does not exist"):
        overview(*planar, path=tmp_path / "nowhere" / "run.png")


def test_regimes_draws_the_distance_to_the_target_of_each_panel(planar):
    ts, mean, cov = planar
    targets = [np.array([0.4, -0.7]), np.array([1.0, -2.0])]
    panels = [{"title": f"case {i}", "ts": ts, "mean": mean, "cov": cov, "target": targets[i]} for i in range(2)]
    figure = regimes(panels)
    rows = np.array([ax for ax in figure.axes if ax.get_label() != "<colorbar>"]).reshape(3, 2)
    assert [ax.get_title() for ax in rows[0]] == ["case 0", "case 1"]
    for column, target in enumerate(targets):
        drawn = rows[2, column].get_lines()[0].get_ydata()
        expected = [np.hypot(m[0] - target[0], m[1] - target[1]) for m in mean]
        np.testing.assert_allclose(np.nan_to_num(drawn), expected, rtol=1e-12, atol=1e-300)
        assert rows[2, column].get_yscale() == rows[1, column].get_yscale() == "log"
    assert rows[0, 0].get_xlim() == rows[0, 1].get_xlim()
    assert rows[1, 0].get_ylim() == rows[1, 1].get_ylim()


def test_drawing_does_not_import_pyplot():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from attnflow.report.overview import overview;"
        "overview(np.arange(3.0), np.arange(6.0).reshape(3, 2), np.stack([np.eye(2)] * 3)).canvas.draw();"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_that_reached_no_requested_time_cannot_be_drawn(tmp_path):
    from attnflow.report.animation import animate

    nothing = np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2, 2))
    with pytest.raises(BadInput, match="no requested time was reached"):
        overview(*nothing)
    with pytest.raises(BadInput, match="no requested time was reached"):
        animate(*nothing, tmp_path / "run.gif")


@pytest.mark.parametrize("size", [1e-200, 1e150])
def test_extreme_sizes_and_a_single_time_are_drawn_without_a_warning(planar, size):
    ts, mean, cov = planar
    overview(ts, mean * np.sqrt(size), cov * size).canvas.draw()
    overview(ts[:1], mean[:1], cov[:1]).canvas.draw()
