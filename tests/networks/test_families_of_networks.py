"""Every family: arrays, states and outputs against what transformers itself reports."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow.diagnostics.attention import Attention
from attnflow.networks.encoder import open_encoder
from networks.tiny import CONFIGS, OF_A_FAMILY, inputs, item, tiny, torch

LAYERS = 3


@pytest.fixture(scope="module", params=CONFIGS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def encoder(name):
    return open_encoder(tiny(name))


def seen(encoder, run):
    """Copies of everything a visitor is shown."""
    found = []

    def visit(layer, inside):
        arrays = (inside.state, inside.attended, inside.attention)
        found.append((layer, *(None if array is None else array.copy() for array in arrays)))

    return run(visit), found


def turned(vector, position, rotary):
    """Pairs (i, i + k / 2) of `vector` turned by position times rotary, with 2 x 2 matrices."""
    half = vector.size // 2
    result = vector.copy()
    for i in range(half):
        c, s = np.cos(position * rotary[i]), np.sin(position * rotary[i])
        result[[i, i + half]] = np.array([[c, -s], [s, c]]) @ vector[[i, i + half]]
    return result


def weights_by_hand(attention: Attention, tokens: np.ndarray, h: int, i: int) -> np.ndarray:
    """How much token i attends to each token in head h: one query and one key at a time."""
    n = len(tokens)
    query = attention.query[h] @ tokens[i] + attention.query_bias[h]
    weights = np.zeros(n)
    for j in range(n):
        before, after = attention.keys.before, attention.keys.after
        if (before is not None and j < i - before) or (after is not None and j > i + after):
            continue
        key = attention.key[h] @ tokens[j] + attention.key_bias[h]
        if attention.rotary is None:
            logit = query @ key
        else:
            logit = turned(query, i, attention.rotary) @ turned(key, j, attention.rotary)
        weights[j] = np.exp(attention.scale * logit)
    return weights / weights.sum()


def test_the_arrays_give_the_attention_weights_that_transformers_reports(name, encoder):
    model = tiny(name)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        own = model(**inputs(name), output_attentions=True).attentions
    _, states = seen(encoder, lambda visit: encoder.run(item(name), visit))
    for layer, attention in enumerate(encoder.attentions):
        tokens = states[layer][2].astype(np.float64)
        for h in range(attention.heads):
            found = np.array([weights_by_hand(attention, tokens, h, i) for i in range(0, len(tokens), 4)])
            np.testing.assert_allclose(found, own[layer][0, h, ::4].numpy(), rtol=0, atol=5e-6)


def test_the_arrays_give_what_attention_adds(name, encoder):
    _, states = seen(encoder, lambda visit: encoder.run(item(name), visit))
    for attention, (_, _, tokens, added) in zip(encoder.attentions, states, strict=False):
        tokens = tokens.astype(np.float64)
        i = len(tokens) // 2
        total = attention.output_bias.astype(np.float64)
        for h in range(attention.heads):
            values = tokens @ attention.value[h].T + attention.value_bias[h]
            total = total + attention.output[h] @ (weights_by_hand(attention, tokens, h, i) @ values)
        np.testing.assert_allclose(total, added[i], rtol=0, atol=1e-5 * np.abs(added).max())


def test_states_are_the_hidden_states_of_transformers_in_order(name, encoder):
    with torch.no_grad():
        own = tiny(name)(**inputs(name), output_hidden_states=True)
    _, states = seen(encoder, lambda visit: encoder.run(item(name), visit))
    assert [entry[0] for entry in states] == list(range(LAYERS + 1))
    for layer in range(LAYERS):
        np.testing.assert_allclose(states[layer][1], own.hidden_states[layer][0].numpy(), rtol=0, atol=1e-5)
        assert states[layer][2].shape == states[layer][3].shape == states[layer][1].shape
    assert states[LAYERS][2] is None
    assert states[LAYERS][3] is None


def test_tokens_that_enter_the_first_block_leave_as_the_last_hidden_state(name, encoder):
    with torch.no_grad():
        own = tiny(name)(**inputs(name)).last_hidden_state[0].numpy()
    _, states = seen(encoder, lambda visit: encoder.run(item(name), visit))
    found, again = seen(encoder, lambda visit: encoder.run_tokens(states[0][1], visit))
    np.testing.assert_allclose(found, own, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(again[2][1], states[2][1])
    np.testing.assert_array_equal(encoder.run_tokens(states[0][1]), found)


def test_more_tokens_than_the_model_has_positions_can_enter(name, encoder, rng):
    tokens = rng.standard_normal((75, 24))
    first = encoder.run_tokens(tokens)
    assert first.shape == (75, 24)
    keys = encoder.attentions[0].keys
    if keys.after == 0:  # causal: what comes later changes nothing
        np.testing.assert_allclose(encoder.run_tokens(tokens[:40]), first[:40], rtol=0, atol=1e-5)


def test_the_feed_forward_is_what_a_block_adds_beside_attention(name, encoder):
    """Checked with the residual and the norms written out for both layouts."""
    _, states = seen(encoder, lambda visit: encoder.run(item(name), visit))
    _, state, _, added = states[1]
    block = encoder.layout.blocks(encoder.model)[1]
    if encoder.bounded_by_norm:
        norm, last = block.attention.output.LayerNorm, block.output.LayerNorm
        middle = normed(state + added, norm)
        out = normed(middle + encoder.feed_forward(1, middle), last)
    else:
        norm = next(part for key, part in block.named_children() if key in {"layernorm_after", "mlp_norm", "ln_2"})
        middle = state + added
        out = middle + encoder.feed_forward(1, normed(middle, norm))
    np.testing.assert_allclose(out, states[2][1], rtol=0, atol=2e-5)


def normed(tokens, norm):
    centred = tokens - tokens.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + norm.eps)
    bias = 0.0 if norm.bias is None else norm.bias.detach().numpy()
    return scaled * norm.weight.detach().numpy() + bias


@pytest.mark.parametrize("name", OF_A_FAMILY)
def test_arrays_follow_the_weights_and_cannot_be_written(name):
    model = tiny(name)
    encoder = open_encoder(model)
    before = encoder.attentions[0].output.copy()
    with pytest.raises(ValueError, match="read-only"):
        encoder.attentions[0].output[0, 0, 0] = 1.0
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    np.testing.assert_allclose(encoder.attentions[0].output, 1.5 * before, rtol=1e-6)


def test_rotary_angles_that_depend_on_the_length_give_no_prediction():
    angles = {"rope_type": "dynamic", "rope_theta": 900.0, "factor": 2.0}
    plain = {"rope_type": "default", "rope_theta": 40.0}
    encoder = open_encoder(tiny("modernbert", rope_parameters={"full_attention": angles, "sliding_attention": plain}))
    assert "depend on the length" in encoder.attentions[0]
    assert isinstance(encoder.attentions[1], Attention)
