"""The picture of a diagnosis: what is drawn is what was given, inside its panel, and no text lies on another."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.text import Text
from PIL import Image

from attnflow._check import BadInput
from attnflow.report.diagnosis import diagnosis_figure
from attnflow.report.diagnosis_bands import band, how_to_read, quantile_band, repeats_in_words
from oracles.diagnosis_data import comparison, diagnosis

CASES = {
    "a probe": (diagnosis(), None),
    "deep, on text, compared": (
        diagnosis(blocks=22, repeats=40, dim=768, kind="text", unpredicted=(0, 3, 6, 9)), comparison(blocks=22)
    ),
    "one batch, one head, nothing predicted": (
        diagnosis(repeats=1, heads=1, unpredicted=tuple(range(6))), comparison()
    ),
    "two blocks": (diagnosis(blocks=2, repeats=3, heads=4, dim=64), None),
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures():
    return {name: diagnosis_figure(*case, title=name) for name, case in CASES.items()}


def titled(figure):
    return {ax.get_title(loc="left").split(":")[0].split(" (")[0]: ax for ax in figure.axes}


def drawn_texts(figure, monkeypatch):
    """Every text that is drawn, with its box in pixels."""
    found, draw = [], Text.draw

    def record(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        return draw(self, renderer, *args, **kwargs)

    monkeypatch.setattr(Text, "draw", record)
    figure.canvas.draw()
    return found


@pytest.mark.parametrize("case", CASES)
def test_no_text_lies_on_another_or_outside_the_picture(case, pictures, monkeypatch):
    texts = drawn_texts(pictures[case], monkeypatch)
    assert len(texts) > 60
    width, height = pictures[case].canvas.get_width_height()
    outside = [text for text, box in texts if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]
    assert not outside
    boxes = [(text, box.padded(-1.0)) for text, box in texts]
    assert not [(one, two) for (one, a), (two, b) in itertools.combinations(boxes, 2) if a.overlaps(b)]


@pytest.mark.parametrize("case", CASES)
def test_every_curve_lies_inside_its_panel_and_every_panel_is_labelled(case, pictures):
    for ax in pictures[case].axes:
        assert ax.get_title(loc="left")
        assert ax.get_xlabel()
        for line in ax.get_lines():
            if line.get_transform() != ax.transData:
                continue
            points = np.ma.masked_invalid(line.get_xydata())
            points = points[~points.mask.any(axis=1)] if np.ma.is_masked(points) else points
            if len(points):
                x, y = ax.transAxes.inverted().transform(ax.transData.transform(np.asarray(points))).T
                assert min(x.min(), y.min()) > -1e-9, (ax.get_title(loc="left"), line.get_label())
                assert max(x.max(), y.max()) < 1 + 1e-9, (ax.get_title(loc="left"), line.get_label())


def test_the_picture_is_wide_enough_to_be_read(tmp_path):
    diagnosis_figure(CASES["a probe"][0], path=tmp_path / "d.png")
    with Image.open(tmp_path / "d.png") as image:
        assert image.width >= 1200
    with pytest.raises(BadInput, match="does not exist"):
        diagnosis_figure(CASES["a probe"][0], path=tmp_path / "nowhere" / "d.png")


def test_a_comparison_goes_first(pictures):
    first = pictures["deep, on text, compared"].axes[:2]
    assert [ax.get_title(loc="left").split()[0] for ax in first] == ["drift", "cosine"]
    drift = CASES["deep, on text, compared"][1]["drift"].values
    np.testing.assert_array_equal(first[0].get_lines()[0].get_ydata(), drift)
    assert sum(bar.get_height() for bar in first[1].patches) == 400
    assert "85 % of the neighbours kept" in pictures["deep, on text, compared"].get_supxlabel()
    assert not any(ax.get_title(loc="left").startswith("drift") for ax in pictures["a probe"].axes)


def test_a_line_is_the_median_and_its_band_leaves_a_tenth_on_either_side(pictures):
    layers = CASES["a probe"][0]
    ax = titled(pictures["a probe"])["trace of the covariance"]
    ordered = np.sort(layers["cov_trace"].values, axis=0)  # 20 batches: 0.1 and 0.9 lie at 1.9 and 17.1
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), (ordered[9] + ordered[10]) / 2)
    outline = ax.collections[0].get_paths()[0].vertices
    low, high = 0.1 * ordered[1] + 0.9 * ordered[2], 0.9 * ordered[17] + 0.1 * ordered[18]
    for x in range(7):
        heights = outline[outline[:, 0] == x, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [low[x], high[x]])


def test_what_is_not_finite_does_not_count_in_a_band(rng):
    values = rng.normal(size=(9, 4, 3))
    values[0, 1, 2], values[4, 1, 2], values[:, 3, 0] = np.inf, np.nan, np.nan
    found = quantile_band(values)
    assert found.low.shape == (4, 3)
    assert np.isnan([found.low[3, 0], found.middle[3, 0], found.high[3, 0]]).all()
    kept = np.delete(values[:, 1, 2], [0, 4])
    assert found.middle[1, 2] == np.sort(kept)[3]
    assert found.middle[2, 1] == np.sort(values[:, 2, 1])[4]


def test_the_axes_of_a_dataset_may_come_in_any_order():
    layers = CASES["a probe"][0]
    np.testing.assert_array_equal(
        band(layers.transpose("layer", "block", "head", ...), "cov_trace").middle, band(layers, "cov_trace").middle
    )


def test_full_marks_are_trusted_and_open_ones_are_not(pictures):
    layers = CASES["a probe"][0]
    ax = titled(pictures["a probe"])["R² of the predicted attention output"]
    middle = np.median(layers["r2_finite_n"].values, axis=0)
    trusted = layers["trusted"].values.mean(axis=0) > 0.5
    assert trusted.any()
    assert (~trusted & (middle > -1)).any()
    squares = [line for line in ax.get_lines() if line.get_marker() == "s" and len(line.get_xdata())]
    full = {float(x) for line in squares if line.get_markerfacecolor() != "white" for x in line.get_xdata()}
    hollow = {float(x) for line in squares if line.get_markerfacecolor() == "white" for x in line.get_xdata()}
    assert {round(x) for x in full} == set(np.flatnonzero(trusted))
    assert {round(x) for x in hollow} == set(np.flatnonzero(~trusted & (middle >= -1)))


def test_an_r2_below_minus_one_is_cut_and_its_number_written(pictures):
    layers = CASES["a probe"][0]
    ax = titled(pictures["a probe"])["R² of the predicted attention output"]
    middle = np.median(layers["r2_finite_n"].values, axis=0)
    written = {round(text.xy[0]): text.get_text() for text in ax.texts}
    assert written == {i: f"{middle[i]:.1f}".replace("-", "−") for i in np.flatnonzero(middle < -1)}
    assert len(written) >= 3
    triangles = [line for line in ax.get_lines() if line.get_marker() == "v"]
    assert all((line.get_ydata() == -1).all() for line in triangles)
    bars = [bar for c in ax.collections if isinstance(c, LineCollection) for bar in c.get_segments()]
    assert min(bar[:, 1].min() for bar in bars) == -1


def test_blocks_without_a_prediction_are_grey(pictures):
    ax = titled(pictures["deep, on text, compared"])["R² of the predicted attention output"]
    grey = [patch.get_x() + patch.get_width() / 2 for patch in ax.patches]
    np.testing.assert_allclose(grey, [0, 3, 6, 9])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels.count("no prediction") == 1
    nothing = titled(pictures["one batch, one head, nothing predicted"])["R² of the predicted attention output"]
    assert [text.get_text() for text in nothing.texts] == ["no prediction for any block"]


def test_every_head_is_a_dot_and_the_line_is_two_log_n(pictures):
    ax = titled(pictures["a probe"])["logit variance of the heads"]
    dots, line = ax.get_lines()
    layers = CASES["a probe"][0]
    np.testing.assert_allclose(dots.get_ydata(), np.median(layers["logit_variance"].values, axis=0).ravel())
    np.testing.assert_allclose(line.get_ydata(), 2 * np.log(8192))
    assert ax.get_yscale() == "log"


def test_distances_stand_over_the_grey_of_their_floor(pictures):
    scaled, mmd = (ax for ax in pictures["a probe"].axes if ax.get_title(loc="left").startswith("distance"))
    for ax, unit in ((scaled, 1.0), (mmd, 0.2)):
        (floor,) = [line for line in ax.get_lines() if line.get_label() == "floor"]
        np.testing.assert_allclose(floor.get_ydata(), unit * np.sqrt(2.03 / 8192))
        grey = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert grey.min() <= ax.get_ylim()[0]
        np.testing.assert_allclose(grey.max(), unit * np.sqrt(2.03 / 8192))
        assert ax.get_yscale() == "log"


def test_saved_states_without_heads_are_drawn():
    bare = diagnosis(kind="states", unpredicted=tuple(range(6)))
    bare = bare.drop_vars(["B_trace_ratio", "V_trace_ratio", "rank_B", "rank_V"]).isel(head=slice(0, 0))
    diagnosis_figure(bare).canvas.draw()


def test_models_of_unequal_width_have_neither_drift_nor_cosine():
    unlike = comparison().drop_vars(["drift", "drift_low", "drift_high"])
    unlike["cosine"] = unlike["cosine"] * np.nan
    figure = diagnosis_figure(CASES["two blocks"][0], unlike)
    figure.canvas.draw()
    assert [len(ax.texts) for ax in figure.axes[:2]] == [1, 1]


def test_a_model_against_itself_is_drawn():
    same = comparison()
    same["cosine"] = same["cosine"] * 0 + 1.0
    for name in ("drift", "drift_low", "drift_high"):
        same[name] = same[name] * 0
    figure = diagnosis_figure(CASES["two blocks"][0], same)
    figure.canvas.draw()
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 400
    assert "all states of the two models agree" in figure.axes[0].texts[0].get_text()


@pytest.mark.parametrize("size", [0.0, 1e77, np.inf])
def test_extreme_sizes_are_drawn_without_a_warning(size):
    layers = diagnosis(repeats=2, heads=2, dim=16)
    for name in ("cov_trace", "mean_norm", "logit_variance", "spectrum"):
        layers[name] = layers[name] * 0 + size
    diagnosis_figure(layers).canvas.draw()


def test_words_on_the_repeats_name_what_was_repeated():
    assert repeats_in_words(CASES["a probe"][0]) == "20 batches of 8192 tokens"
    assert repeats_in_words(CASES["two blocks"][0].isel(batch=[0])) == "1 batch of 8192 tokens"
    text = CASES["deep, on text, compared"][0]
    least, most = text["tokens"].values.min(), text["tokens"].values.max()
    assert repeats_in_words(text) == f"40 sequences of {least} to {most} tokens"
    assert "one cloud" in how_to_read(text)
    assert how_to_read(CASES["one batch, one head, nothing predicted"][0]) == "One batch: no band of noise."
    assert json.loads(text.attrs["model"])["name"] == "tiny"
