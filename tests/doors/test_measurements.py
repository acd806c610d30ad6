"""`af.measurements`: what `diagnose` measures, as functions of arrays."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

import attnflow as af
from attnflow import BadInput


def some_heads(rng, h=3, k=4, d=10):
    def drawn(*shape):
        return 0.3 * rng.standard_normal(shape)

    return af.measurements.Attention(
        query=drawn(h, k, d), key=drawn(h, k, d), value=drawn(h, k, d), output=drawn(h, d, k), query_bias=drawn(h, k),
        key_bias=drawn(h, k), value_bias=drawn(h, k), output_bias=drawn(d), scale=0.5,
    )  # fmt: skip


def attended(heads, x):
    """The output of the heads, by loops over heads and queries."""
    out = np.tile(heads.output_bias, (len(x), 1))
    for h in range(len(heads.query)):
        keys = x @ heads.key[h].T + heads.key_bias[h]
        values = x @ heads.value[h].T + heads.value_bias[h]
        for i, token in enumerate(x):
            logits = heads.scale * keys @ (heads.query[h] @ token + heads.query_bias[h])
            weights = np.exp(logits - logits.max())
            out[i] += heads.output[h] @ (weights @ values / weights.sum())
    return out


def test_attention_of_gaussian_tokens_is_predicted_and_its_weights_agree():
    rng = np.random.default_rng(2)
    heads, x = some_heads(rng), rng.standard_normal((900, 10))
    found = af.measurements.predicted(heads, x, attended(heads, x), seed=1)
    assert found.recomputed < 1e-10
    assert found.r2_finite_n > 0.95
    assert found.trusted
    wrong = dataclasses.replace(heads, value=heads.value[::-1])
    assert af.measurements.predicted(wrong, x, attended(heads, x), seed=1).recomputed > 0.1


def test_a_state_holds_the_moments_of_its_tokens():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((300, 6)) * np.arange(1, 7) + 2
    found = af.measurements.state(af.Tokens(x))
    cov = np.cov(x.T, bias=True)
    assert found.cov_trace == pytest.approx(np.trace(cov))
    assert np.allclose(found.spectrum, np.linalg.eigvalsh(cov)[::-1])
    assert af.measurements.state(x, key=1).sliced_w2 != found.sliced_w2


def test_the_table_of_heads_has_the_trace_ratios_of_dense_matrices():
    heads = some_heads(np.random.default_rng(4))
    table = af.measurements.heads(heads)
    for h in range(3):
        B = heads.scale * heads.key[h].T @ heads.query[h]
        values = np.linalg.eigvalsh((B + B.T) / 2)
        assert table["B_trace_ratio"][h] == pytest.approx(values.sum() / np.abs(values).sum())
        assert (table["B_positive"][h], table["B_negative"][h]) == (4, 4)


def test_two_networks_are_compared_by_their_arrays():
    rng = np.random.default_rng(5)
    states = rng.standard_normal((30, 4, 5))
    other = states.copy()
    other[:, 2:] += rng.standard_normal((30, 2, 5))
    found = af.measurements.compared(other[:, -1], states[:, -1], states=other, reference_states=states)
    assert found.drift.start == 2
    assert found.cosine.shape == (30,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a, x: af.measurements.state(x[:1]), "at least two tokens"),
        (lambda a, x: af.measurements.state(x * np.nan), "must be finite"),
        (lambda a, x: af.measurements.predicted(a, x[:, :9], x), "to agree with `attention`"),
        (lambda a, x: af.measurements.predicted(a, x, x[:5]), "to agree with `tokens`"),
        (lambda a, x: af.measurements.predicted("heads", x, x), "must be an Attention"),
        (lambda a, x: af.measurements.heads(dataclasses.replace(a, key=a.key[:2])), "`attention.key` must have shape"),
        (lambda a, x: af.measurements.heads(dataclasses.replace(a, scale=0)), "`attention.scale` must be positive"),
        (lambda a, x: af.measurements.heads(dataclasses.replace(a, rotary=np.ones(3))), "half the width"),
        (lambda a, x: af.measurements.compared(x, x[:9]), "same inputs"),
        (lambda a, x: af.measurements.compared(x, x, states=x), "array of three axes"),
    ],
)
def test_bad_input_names_the_argument(call, words):
    rng = np.random.default_rng(6)
    with pytest.raises(BadInput, match=words):
        call(some_heads(rng), rng.standard_normal((20, 10)))


def test_measuring_arrays_loads_no_torch():
    script = (
        "import sys, numpy as np, attnflow as af; af.measurements.state(np.eye(3)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
