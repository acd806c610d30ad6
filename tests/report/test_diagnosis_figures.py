"""The pictures of several models: distances, marginals, regimes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
from scipy.stats import expon, norm, t

from attnflow.report.diagnosis_distances import distances_figure
from attnflow.report.diagnosis_drawing import written
from attnflow.report.diagnosis_marginals import densities, marginals_figure, moments_of
from attnflow.report.diagnosis_regimes import Regimes, regimes_figure
from oracles.diagnosis_data import LEVELS, diagnosis

FINE = (np.arange(4001) + 0.5) / 4001


@pytest.fixture(scope="module")
def models():
    return {
        "small": diagnosis(repeats=3, dim=32),
        "a model with a very long name": diagnosis(blocks=12, repeats=3, dim=48),
    }


def test_a_model_is_a_row_of_three_distances(models, tmp_path):
    figure = distances_figure(models, title="distances", path=tmp_path / "f.png")
    axes = np.array(figure.axes).reshape(2, 3)
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["small", "a model with a very lon…"]
    for row, layers in zip(axes, models.values(), strict=True):
        for ax, name in zip(row, ("sliced_w2_scaled", "mmd", "sliced_w2"), strict=True):
            line = next(line for line in ax.get_lines() if line.get_label() != "floor")
            np.testing.assert_allclose(line.get_ydata(), np.sort(layers[name].values, axis=0)[1])


@pytest.mark.parametrize("law", [norm(0.7, 2.0), expon(scale=1.5), t(9)])
def test_moments_come_from_the_quantiles(law):
    mean, spread = moments_of(FINE, law.ppf(FINE))
    np.testing.assert_allclose([mean, spread], [law.mean(), law.std()], rtol=0.01, atol=1e-12)


def test_the_spread_of_outermost_levels_is_that_of_a_law_cut_there():
    """Mass outside the levels sits at the outermost quantiles: the second moment of a clipped normal."""
    a = norm.ppf(LEVELS[-1])
    inside, _ = scipy.integrate.quad(lambda x: x * x * norm.pdf(x), -a, a)
    _, spread = moments_of(LEVELS, norm.ppf(LEVELS))
    np.testing.assert_allclose(spread**2, inside + 2 * (1 - LEVELS[-1]) * a * a, rtol=2e-3)
    assert moments_of(LEVELS, np.full(LEVELS.size, 0.4)) == (0.4, pytest.approx(0.0, abs=1e-12))


def test_three_levels_of_the_uniform_law_give_its_clipped_spread():
    """By hand: a fifth of the mass at 0.2 and at 0.8, the rest even between: 0.4 0.3^2 + 2 0.3^3 / 3 = 0.054."""
    levels = np.array([0.2, 0.5, 0.8])
    np.testing.assert_allclose(moments_of(levels, levels), (0.5, np.sqrt(0.054)))


def test_densities_are_those_of_the_law():
    edges = np.linspace(-1.0, 3.0, 33)
    law = norm(0.9, 0.8)
    np.testing.assert_allclose(densities(FINE, law.ppf(FINE), edges), np.diff(law.cdf(edges)) / 0.125, atol=2e-4)


def test_a_marginal_is_drawn_for_chosen_layers_beside_its_normal(models, tmp_path):
    figure = marginals_figure(models, columns=4, title="marginals", path=tmp_path / "f.svg")
    shown = [ax for ax in figure.axes if ax.axison]
    titles = [ax.get_title(loc="left") for ax in shown]
    assert [title.split(",")[0].split()[1] for title in titles] == ["0", "2", "4", "6", "0", "4", "8", "12"]
    small = models["small"]
    for ax, layer in zip(shown[:4], (0, 2, 4, 6), strict=True):
        assert f"coordinate {int(small['marginal_coordinate'][layer])}" in ax.get_title(loc="left")
        x, y = ax.get_lines()[0].get_data()
        np.testing.assert_allclose(scipy.integrate.trapezoid(y, x), 1.0, atol=1e-3)
        (histogram,) = ax.patches
        mass = histogram.get_data().values @ np.diff(histogram.get_data().edges)
        assert 0.95 < mass <= 1.0


def test_spreads_that_are_alike_share_their_axis(models):
    figure = marginals_figure({"small": models["small"]}, columns=7)
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    wide = models["small"].copy()
    wide["marginal"] = wide["marginal"] * np.geomspace(1.0, 3.0, 7)[:, None]
    assert len({ax.get_xlim() for ax in marginals_figure({"wide": wide}, columns=7).axes}) == 7


def test_a_point_has_no_density(models):
    flat = models["small"].copy()
    flat["marginal"] = flat["marginal"] * np.where(np.arange(7) == 3, 0.0, 1.0)[:, None]
    figure = marginals_figure({"flat": flat}, columns=7)
    figure.canvas.draw()
    assert [text.get_text() for text in figure.axes[3].texts] == ["no spread"]


@pytest.fixture
def curves(rng):
    return {
        sign: 384 * np.exp(rate * np.arange(7) + 0.05 * rng.normal(size=(5, 7)))
        for sign, rate in {"(−, +)": -0.3, "(+, −)": -0.07, "(+, +)": 0.8, "(−, −)": 0.3}.items()
    }


def test_regimes_are_medians_with_bands_in_two_rows_and_a_column_a_case(curves, tmp_path):
    means = {name: np.sqrt(values) for name, values in curves.items()}
    case = Regimes(curves, means, {"(+, +)": np.geomspace(384, 4e4, 7)})
    figure = regimes_figure({"damped": case, "undamped": case}, title="t", note="n", path=tmp_path / "f.png")
    trace, _, mean, _ = figure.axes
    assert trace.get_title(loc="left") == "damped: trace of the covariance"
    assert trace.get_yscale() == "log"
    lines = {line.get_label(): line.get_ydata() for line in trace.get_lines()}
    for name, values in curves.items():
        np.testing.assert_allclose(lines[name], np.sort(values, axis=0)[2])
    assert len({(line.get_color(), line.get_marker(), str(line.get_linestyle())) for line in mean.get_lines()}) == 4
    assert figure.get_supxlabel().endswith("n")


def test_a_curve_that_overflows_ends_with_a_cross(curves):
    curves["(+, +)"][:, 5:] = np.inf
    curves["(−, −)"][:1, 3] = np.nan  # one batch only: the median goes on
    figure = regimes_figure({"undamped": Regimes(curves, curves)})
    figure.canvas.draw()
    (cross,) = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    np.testing.assert_allclose(cross.get_xydata(), [[4, np.median(curves["(+, +)"][:, 4])]])


@pytest.mark.parametrize(
    ("value", "words"), [(0.002, "0.002"), (500.0, "500"), (1e-4, "$10^{-4}$"), (2e6, "$2\\cdot10^{6}$")]
)
def test_ticks_are_short(value, words):
    assert written(value) == words
