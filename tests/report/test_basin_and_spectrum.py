"""The basin of 2x2 covariances and the spectra with their margins."""

import numpy as np
import pytest
import scipy.linalg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from PIL import Image

from attnflow._check import BadInput
from attnflow.report.basin import Basin, basin_picture, cone_starts, separatrix_size, unit_trace
from attnflow.report.canvas import ACCENT, WARNING
from attnflow.report.cone import cone_coordinates
from attnflow.report.spectrum import Spectrum, spectrum_panel, spectrum_with_margins

GRAMIAN = np.array([[4.0, 4.0], [4.0, 8.0]])


@pytest.fixture
def basin():
    starts = cone_starts([0.2, 0.4, 0.6], rings=2)
    names = ["zero" if separatrix_size(GRAMIAN, start) < 1 else "blow-up" for start in starts]
    equilibria = np.array([np.zeros((2, 2)), np.linalg.inv(GRAMIAN)])
    return Basin(starts, names, equilibria, np.array([True, False]), GRAMIAN)


def test_starts_fill_each_slice_up_to_rank_one():
    starts = cone_starts([0.5, 2.0], rings=3)
    assert len(starts) == 2 * (1 + 8 + 16 + 24)
    values = np.linalg.eigvalsh(starts)
    np.testing.assert_allclose(values.sum(axis=1), np.repeat([0.5, 2.0], 49))
    assert values.min() > -1e-15
    assert np.count_nonzero(values[:, 0] < 1e-12) == 2 * 24


def test_the_size_of_the_separatrix_is_the_largest_generalised_eigenvalue(rng):
    factor = rng.normal(size=(20, 2, 2))
    covs = factor @ factor.transpose(0, 2, 1)
    wanted = [scipy.linalg.eigh(GRAMIAN, np.linalg.inv(cov), eigvals_only=True)[-1] for cov in covs]
    np.testing.assert_allclose(separatrix_size(GRAMIAN, covs), wanted, rtol=1e-10)
    u, v = np.array([1.0, -2.0]), np.array([0.5, 1.5])
    flat = separatrix_size(np.outer(u, u), np.outer(v, v))
    np.testing.assert_allclose(flat, (u @ v) ** 2)  # both of rank one


def test_unit_trace_inverts_the_coordinates_of_the_disc(rng):
    x, y = rng.uniform(-0.7, 0.7, size=(2, 5))
    found = unit_trace(x, y)
    np.testing.assert_allclose(np.trace(found, axis1=1, axis2=2), 1.0)
    np.testing.assert_allclose(found[:, 0, 0] - found[:, 1, 1], x)
    np.testing.assert_allclose(2 * found[:, 1, 0], y)


def test_the_picture_has_a_cone_and_a_slice_for_each_trace(basin, tmp_path):
    figure = basin_picture(basin, title="t", path=tmp_path / "basin.png")
    solid = [ax for ax in figure.axes if ax.name == "3d"]
    flat = [ax for ax in figure.axes if ax.name != "3d"]
    assert len(solid) == 1
    assert [ax.get_title().split("= ")[1] for ax in flat] == ["0.2", "0.4", "0.6"]
    shown = [c for ax in flat for c in ax.collections if isinstance(c, PathCollection)]
    assert sum(len(c.get_offsets()) for c in shown) == len(basin.starts)
    with Image.open(tmp_path / "basin.png") as image:
        assert image.width > 1000


def test_blow_up_is_a_warning_and_zero_the_main_colour(basin):
    figure = basin_picture(basin)
    colors = {mark.get_label(): mark.get_color() for mark in figure.legends[0].legend_handles}
    assert colors["blow-up"] == WARNING
    assert colors["zero"] == ACCENT
    assert {"stable equilibrium", "unstable equilibrium"} < set(colors)


def test_the_separatrix_in_a_slice_parts_the_starts(basin):
    figure = basin_picture(basin)
    ax = next(ax for ax in figure.axes if ax.get_title().endswith("= 0.2"))
    (line,) = [c for c in ax.collections if type(c).__name__ == "QuadContourSet"]
    points = line.get_paths()[0].vertices
    sizes = separatrix_size(GRAMIAN, 0.2 * unit_trace(points[:, 0], points[:, 1]))
    np.testing.assert_allclose(sizes, 1.0, atol=1e-3)


def test_stable_equilibria_are_full_and_unstable_ones_open(basin):
    figure = basin_picture(basin)
    ax = next(ax for ax in figure.axes if ax.name == "3d")
    diamonds = [c for c in ax.collections if hasattr(c, "_offsets3d") and c.get_sizes()[0] > 50]
    places = np.array([np.ravel(c._offsets3d) for c in diamonds])
    np.testing.assert_allclose(places, cone_coordinates(basin.equilibria))
    faces = [tuple(c.get_facecolor()[0]) for c in diamonds]
    assert faces[1] == to_rgba("white")
    assert faces[0] != faces[1]


def test_given_colours_are_kept_and_equilibria_may_be_missing(basin):
    bare = Basin(basin.starts, basin.regimes, np.zeros((0, 2, 2)), np.zeros(0, bool), colors={"zero": "#112233"})
    labels = {m.get_label(): m.get_color() for m in basin_picture(bare).legends[0].legend_handles}
    assert labels == {"zero": "#112233", "blow-up": WARNING}


def test_other_dimensions_and_missing_regimes_are_refused(basin):
    with pytest.raises(BadInput, match="`equilibria` must have shape"):
        basin_picture(Basin(basin.starts, basin.regimes, np.zeros((1, 3, 3)), np.ones(1, bool)))
    with pytest.raises(BadInput, match="`regimes` must name one regime for each start"):
        basin_picture(Basin(basin.starts, ["zero"], basin.equilibria, basin.stable))


@pytest.fixture
def spectra(rng):
    A = rng.normal(size=(4, 4))
    return [
        Spectrum("A", np.linalg.eigvals(A).astype(complex)),
        Spectrum("M", np.linalg.eigvals(A - 3 * np.eye(4)).astype(complex)),
        Spectrum("K", np.array([0.5j, -0.5j, -1.0])),
    ]


def test_every_eigenvalue_is_drawn(spectra):
    panel = spectrum_panel(spectra)
    for points, spectrum in zip(panel.points, spectra, strict=True):
        drawn = np.asarray(points.get_offsets())
        np.testing.assert_allclose(drawn[:, 0] + 1j * drawn[:, 1], spectrum.values)
    (left, right), (low, high) = panel.axes.get_xlim(), panel.axes.get_ylim()
    values = np.concatenate([s.values for s in spectra])
    assert left < min(values.real.min(), 0)
    assert right > max(values.real.max(), 0)
    assert low < values.imag.min() < values.imag.max() < high


def test_the_bar_is_as_long_as_the_margin(spectra):
    panel = spectrum_panel(spectra)
    for margin, spectrum in zip(panel.margins, spectra, strict=True):
        np.testing.assert_allclose(margin.get_xdata(), [0.0, spectrum.values.real.max()])


def test_the_legend_says_the_margins_and_zero_within_rounding(spectra):
    words = [text.get_text() for text in spectrum_panel(spectra).axes.get_legend().get_texts()]
    assert words[0].startswith("A: max Re = ")
    assert words[2] == "K: max Re = 0"
    assert str(Spectrum("J", np.array([-0.25 + 1j, -0.25 - 1j]))) == "J: max Re = \u22120.25"
    assert str(Spectrum("J", np.array([1e-16 + 1j, 1e-16 - 1j]))) == "J: max Re = 0"


def test_the_linearisation_has_its_own_panel(spectra, tmp_path):
    figure = spectrum_with_margins(spectra, Spectrum("F'", np.array([-1.0 + 0j])), path=tmp_path / "s.png")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["generators", "linearisation on symmetric matrices"]
    assert len(spectrum_with_margins(spectra[:1]).axes) == 1
    with Image.open(tmp_path / "s.png") as image:
        assert image.width > 800


def test_spectra_without_eigenvalues_are_left_out_or_refused(spectra):
    empty = Spectrum("none", np.zeros(0, complex))
    assert len(spectrum_panel([empty, spectra[0]]).points) == 1
    with pytest.raises(BadInput, match="at least one eigenvalue"):
        spectrum_panel([empty])
