"""The rows of words of a diagnosis."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from attnflow.report.diagnosis_table import (
    BLOCK_HEADERS,
    COMPARISON_HEADERS,
    LAYER_HEADERS,
    NOTHING,
    block_rows,
    comparison_rows,
    head_rows,
    layer_rows,
    short_number,
)
from oracles.diagnosis_data import CAUSAL, comparison, diagnosis


@pytest.fixture(scope="module")
def layers():
    return diagnosis(repeats=5, heads=3, dim=40, unpredicted=(2,))


def column(headers, rows, name, which=0):
    place = [i for i, header in enumerate(headers) if header == name][which]
    return [row[place] for row in rows]


def read(words):
    return np.array([float(word.replace("−", "-")) for word in words])


def test_a_layer_row_holds_the_medians(layers):
    rows = layer_rows(layers)
    assert column(LAYER_HEADERS, rows, "layer") == [str(i) for i in range(7)]
    assert {len(row) for row in rows} == {len(LAYER_HEADERS)}
    for header, which, name in (
        ("trace", 0, "cov_trace"), ("eff. rank", 0, "effective_rank"), ("SW2", 0, "sliced_w2_scaled"),
        ("floor", 1, "mmd_floor"), ("cosine", 0, "token_cosine"),
    ):  # fmt: skip
        middle = np.sort(layers[name].values, axis=0)[2]
        np.testing.assert_allclose(read(column(LAYER_HEADERS, rows, header, which)), middle, rtol=5.1e-3)
    assert column(LAYER_HEADERS, rows, "rank") == ["40"] * 7
    assert column(LAYER_HEADERS, rows, "massive")[0] == "none"
    assert column(LAYER_HEADERS, rows, "massive")[-1] == "8.1 % (channel 99)"


def test_a_missing_value_is_a_dash_and_not_a_number():
    text = diagnosis(kind="text", repeats=4, dim=500)
    assert set(column(LAYER_HEADERS, layer_rows(text), "normality p")) == {NOTHING}
    assert set(column(LAYER_HEADERS, layer_rows(text.drop_vars("mmd")), "MMD")) == {NOTHING}


def test_a_tiny_probability_is_only_said_to_be_tiny(layers):
    small = layers.copy()
    small["normality_p"] = small["normality_p"] * 0 + 1e-138
    assert set(column(LAYER_HEADERS, layer_rows(small), "normality p")) == {"< 1e-06"}


def test_a_block_row_holds_the_prediction_that_counts_and_why(layers):
    rows = block_rows(layers)
    predicted = [i for i in range(6) if i != 2]
    finite = np.sort(layers["r2_finite_n"].values, axis=0)[2]
    shown = column(BLOCK_HEADERS, rows, "R²")
    np.testing.assert_allclose(read([shown[i] for i in predicted]), finite[predicted], rtol=5.1e-3)
    ceiling = column(BLOCK_HEADERS, rows, "ceiling")
    highest = np.sort(layers["r2_finite_n_ceiling"].values, axis=0)[2]
    np.testing.assert_allclose(read([ceiling[i] for i in predicted]), highest[predicted], rtol=5.1e-3)
    largest = np.sort(layers["logit_variance"].values, axis=0)[2].max(axis=1)
    logits = column(BLOCK_HEADERS, rows, "logit var.")
    np.testing.assert_allclose(read([logits[i] for i in predicted]), largest[predicted], rtol=5.1e-3)
    assert rows[2][1:-1] == [NOTHING] * 9
    assert rows[2][-1] == CAUSAL


def test_without_a_finite_n_form_the_mean_field_one_counts(layers):
    rotary = layers.copy()
    rotary["r2_finite_n"] = rotary["r2_finite_n"] * np.nan
    shown = column(BLOCK_HEADERS, block_rows(rotary), "R²")
    np.testing.assert_allclose(read(shown[:2]), np.sort(layers["r2"].values, axis=0)[2][:2], rtol=5.1e-3)


def test_trust_is_counted_over_the_repeats(layers):
    some = layers.copy()
    trusted = np.zeros((5, 6), bool)
    trusted[:, 0], trusted[:3, 1], trusted[:, 2] = True, True, True
    some["trusted"] = (("batch", "block"), trusted)
    assert column(BLOCK_HEADERS, block_rows(some), "trusted") == ["yes", "3 of 5", NOTHING, "no", "no", "no"]


def test_a_head_has_a_row_with_whole_numbers_whole(layers):
    headers, rows = head_rows(layers)
    assert headers[:2] == ["block", "head"]
    assert [row[:2] for row in rows] == [[str(b), str(h)] for b in range(6) for h in range(3)]
    assert set(column(headers, rows, "rank_B")) == {"32"}
    np.testing.assert_allclose(
        read(column(headers, rows, "V_trace_ratio")), layers["V_trace_ratio"].values.ravel(), rtol=5.1e-3
    )
    assert head_rows(layers[["cov_trace"]]) == ([], [])


def test_a_comparison_has_a_row_a_layer_or_none(layers):
    rows = comparison_rows(comparison())
    assert rows[3] == ["3", "0.0500", "0.0465", "0.0540"]
    assert len(COMPARISON_HEADERS) == len(rows[0])
    assert comparison_rows(comparison().drop_vars("drift")) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (-0.0, "0"), (384.2, "384"), (1.0, "1.00"), (-9.13, "−9.13"), (4.5e4, "45000"), (7.9e7, "7.90e+07"),
     (float("nan"), NOTHING), (float("inf"), NOTHING)],
)  # fmt: skip
def test_numbers_have_three_digits(value, words):
    assert short_number(value) == words


def test_rows_of_words_load_no_pictures():
    code = "import sys, attnflow.report.diagnosis_table; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
