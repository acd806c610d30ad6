from __future__ import annotations

import numpy as np
import pytest

from attention_kinds import MASKABLE, make
from attnflow import (
    BadInput,
    Gaussian,
    MaskedAttention,
    MultiHeadAttention,
    SinkhornAttention,
    SoftmaxAttention,
    Transformer,
    simulate,
)
from oracles.kinds import draw, on_tokens

pytestmark = pytest.mark.usefixtures("x64")
D, N = 3, 6


@pytest.mark.parametrize("kind", MASKABLE)
def test_a_token_sees_itself_and_those_before_it(rng, kind):
    p, tokens = draw(kind, rng, D), rng.standard_normal((N, D))
    found = MaskedAttention(make(kind, p)).velocity(tokens, tokens)
    wanted = on_tokens(kind, p, tokens, tokens, visible=range(1, N + 1))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", MASKABLE)
def test_tokens_at_one_position_see_each_other(rng, kind):
    p, tokens = draw(kind, rng, D), rng.standard_normal((N, D))
    found = MaskedAttention(make(kind, p), [0.0, 0.0, 0.4, 0.9, 0.9, 0.9]).velocity(tokens, tokens)
    wanted = on_tokens(kind, p, tokens, tokens, visible=[2, 2, 3, 6, 6, 6])
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


def test_one_position_for_all_is_no_mask(rng):
    p, tokens = draw("l2", rng, D), rng.standard_normal((N, D))
    layer = make("l2", p)
    found = MaskedAttention(layer, np.zeros(N)).velocity(tokens, tokens)
    np.testing.assert_allclose(found, layer.velocity(tokens, tokens), rtol=1e-13)


def test_a_later_token_changes_nothing_before_it(rng):
    p, tokens = draw("softmax", rng, D), rng.standard_normal((N, D))
    layer, other = MaskedAttention(make("softmax", p)), np.array(tokens)
    other[4] += 10.0
    found, changed = layer.velocity(tokens, tokens), layer.velocity(other, other)
    np.testing.assert_array_equal(changed[:4], found[:4])
    assert np.all(np.abs(changed[4:] - found[4:]).max(axis=1) > 1e-3)


LAYER = SoftmaxAttention(np.ones((2, 2)), 1.0)
TOKENS = np.ones((3, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskedAttention(SinkhornAttention(1.0, 1.0)), r"`attention` must be.*Sinkhorn.*use SoftmaxAttention"),
        (lambda: MaskedAttention(MaskedAttention(LAYER)), r"`attention` must be.*: MaskedAttention was found"),
        (lambda: MaskedAttention(Transformer(LAYER)), r"`attention` must be.*: Transformer was found"),
        (lambda: MaskedAttention("causal"), r"`attention` must be an attention.*: str was found"),
        (lambda: MaskedAttention(LAYER, [0.0, 2.0, 1.0]), r"`positions` must not decrease: entry 2 is 1 after 2; sort"),
        (lambda: MaskedAttention(LAYER, [0.0, np.nan, 1.0]), r"`positions` must be finite"),
        (lambda: MaskedAttention(LAYER, [[0.0, 1.0]]), r"`positions` must be a vector"),
        (lambda: MultiHeadAttention([MaskedAttention(LAYER)]), r"`heads\[0\]` must be an attention: MaskedAttention"),
        (
            lambda: MaskedAttention(LAYER, [0.0, 1.0]).velocity(TOKENS, TOKENS),
            r"`positions` must have one entry for each token: 2 positions and 3 tokens were found",
        ),
        (
            lambda: MaskedAttention(LAYER).velocity(TOKENS[:2], TOKENS),
            r"`points` must be the tokens themselves under a mask.*2 points and 3 tokens",
        ),
        (
            lambda: MaskedAttention(LAYER).at_gaussian(Gaussian(np.zeros(2), np.eye(2))),
            r"masked attention cannot move a Gaussian.*give Tokens.*the unmasked SoftmaxAttention itself",
        ),
        (
            lambda: simulate(MaskedAttention(LAYER), Gaussian(np.zeros(2), np.eye(2)), [1.0]),
            r"masked attention cannot move a Gaussian.*unmasked SoftmaxAttention",
        ),
        (
            lambda: simulate(Transformer([LAYER, MaskedAttention(LAYER)]), Gaussian(np.zeros(2), np.eye(2)), layers=2),
            r"masked attention cannot move a Gaussian",
        ),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(BadInput, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
