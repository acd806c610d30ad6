"""What heads read and what the Gaussian formulas predict, against definitions, random keys and another module."""

import dataclasses

import numpy as np
import pytest

import attnflow as af
from attnflow.diagnostics.attention import Attention, Keys
from attnflow.diagnostics.gaussian_reading import finite_n_values, logit_variance, mean_field_values, predicted_growth
from attnflow.diagnostics.projected import head_moments, see, stacked_weights
from attnflow.diagnostics.recomputed import attended_values
from attnflow.diagnostics.rotary_reading import rotary_values
from attnflow.diagnostics.spread import spread_of
from attnflow.measures.gaussian import Gaussian
from oracles.plain_attention import plain_attention

D, H, K = 10, 3, 4
KINDS = {
    "all": Keys(), "causal": Keys(after=0), "window": Keys(before=5, after=5), "causal window": Keys(before=7, after=0),
    "lopsided": Keys(before=30, after=3),
}  # fmt: skip


def heads(rng, *, size=0.5, keys=None, rotary=None):
    """Attention with every bias and no symmetry."""
    weights = (size * rng.standard_normal((H, K, D)) for _ in range(3))
    biases = (0.4 * rng.standard_normal((H, K)) for _ in range(3))
    numbers = [*weights, rng.standard_normal((H, D, K)), *biases, rng.standard_normal(D)]
    query, key, value, output, *rest = (x.astype(np.float32) for x in numbers)
    return Attention(query, key, value, output, *rest, 0.6, keys or Keys(), rotary)


def tokens(rng, n):
    mixing = rng.standard_normal((D, D)) / np.sqrt(D)
    return (rng.standard_normal((n, D)) @ mixing + np.linspace(-1, 1, D)).astype(np.float32)


def reading(a, x, places):
    spread = spread_of(x)
    centred = x - spread.mean.astype(np.float32)
    return spread, head_moments(a, spread), see(centred, stacked_weights(a), np.asarray(places), a.heads)


@pytest.mark.parametrize("rotary", [None, np.array([1.0, 0.13])])
@pytest.mark.parametrize("kind", KINDS)
def test_recomputed_attention_is_that_of_the_definition(rng, kind, rotary):
    a, x = heads(rng, keys=KINDS[kind], rotary=rotary), tokens(rng, 37)
    places = np.array([0, 1, 4, 9, 18, 20, 21, 22, 30, 35, 36])
    _, moments, seen = reading(a, x, places)
    averages, collisions = attended_values(a, moments, seen)
    expected, weights = plain_attention(a, x.astype(float), places)
    found = moments.outward(averages) + moments.outward(moments.value[:, None])[0] + a.output_bias
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_allclose(collisions, np.sum(weights**2, axis=2), rtol=1e-4)


def test_head_moments_are_the_moments_of_what_heads_see(rng):
    a, x = heads(rng), tokens(rng, 50)
    _, moments, _ = reading(a, x, [0])
    for h in range(H):
        q, k, v = (
            x @ w[h].T + b[h] for w, b in ((a.query, a.query_bias), (a.key, a.key_bias), (a.value, a.value_bias))
        )
        for mean, part in ((moments.query, q), (moments.key, k), (moments.value, v)):
            np.testing.assert_allclose(mean[h], part.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(moments.query_cov[h], np.cov(q.T, bias=True), atol=1e-5)
        np.testing.assert_allclose(moments.key_cov[h], np.cov(k.T, bias=True), atol=1e-5)
        np.testing.assert_allclose(moments.cross_cov[h], np.cov(v.T, k.T, bias=True)[:K, K:], atol=1e-5)


def test_the_mean_field_is_what_very_many_gaussian_keys_give(rng):
    a, x = heads(rng, size=0.3), tokens(rng, 300)
    spread, moments, seen = reading(a, x, [3, 77, 200])
    found = mean_field_values(a, moments, seen)
    keys = rng.multivariate_normal(spread.mean, spread.factor @ spread.factor.T, 400_000)
    for h in range(H):
        k, v = keys @ a.key[h].T, keys @ a.value[h].T
        for i, place in enumerate(seen.places):
            p = np.exp(a.scale * k @ (a.query[h] @ x[place] + a.query_bias[h]))
            expected = p @ v / p.sum() - v.mean(axis=0)
            np.testing.assert_allclose(found[h, i], expected, atol=0.03 * np.linalg.norm(v.std(axis=0)))


def test_the_logit_variance_is_that_of_the_logits_of_all_queries(rng):
    a, x = heads(rng), tokens(rng, 60)
    _, moments, _ = reading(a, x, [0])
    for h in range(H):
        logits = a.scale * (x @ a.query[h].T + a.query_bias[h]) @ (x @ a.key[h].T).T
        assert logit_variance(a, moments)[h] == pytest.approx(logits.var(axis=1).mean(), rel=1e-4)


def average_over_others(rng, a, h, one, law, count, draws=40_000):
    """The mean over draws of `count` other keys from `law` of what head h reads at the token `one`, and its error."""
    others = rng.multivariate_normal(*law, (draws, count), method="eigh")
    keys = np.concatenate([others, np.broadcast_to(one, (draws, 1, D))], axis=1)
    logits = a.scale * (keys @ a.key[h].T.astype(float)) @ (a.query[h] @ one + a.query_bias[h])
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    values = np.einsum("sn,snd->sd", p, keys @ a.value[h].T.astype(float)) + a.value_bias[h]
    return values.mean(axis=0), values.std(axis=0) / np.sqrt(draws)


def test_the_finite_prediction_is_that_of_the_moments_of_all_other_tokens(rng):
    """All keys: the mean and the unbiased covariance of the tokens without the query."""
    a, x = heads(rng), tokens(rng, 16)
    _, moments, seen = reading(a, x, [0, 7])
    found = finite_n_values(a, moments, seen) + moments.value[:, None]
    for i, place in enumerate(seen.places):
        others = np.delete(x, place, axis=0).astype(float)
        for h in range(H):
            law = (others.mean(axis=0), np.cov(others.T))
            mean, error = average_over_others(rng, a, h, x[place].astype(float), law, 15)
            assert np.all(np.abs(found[h, i] - mean) < 5 * error + 1e-4)


def test_the_finite_prediction_counts_the_keys_that_a_query_sees(rng):
    """Causal: the query at position 15 and 15 others; the first token sees itself only."""
    a, x = heads(rng, size=0.9, keys=Keys(after=0)), tokens(rng, 3000)
    spread, moments, seen = reading(a, x, [0, 15])
    found = finite_n_values(a, moments, seen) + moments.value[:, None]
    law = (spread.mean, spread.factor @ spread.factor.T)
    for h in range(H):
        np.testing.assert_allclose(found[h, 0], a.value[h] @ x[0] + a.value_bias[h], atol=1e-3)
        mean, error = average_over_others(rng, a, h, x[15].astype(float), law, 15)
        assert np.all(np.abs(found[h, 1] - mean) < 5 * error + 3e-3)
        mean_field = mean_field_values(a, moments, seen)[h, 1] + moments.value[h]
        assert np.linalg.norm(mean_field - mean) > 10 * np.linalg.norm(found[h, 1] - mean)


def test_the_rotary_mean_field_is_what_very_many_keys_at_each_position_give(rng):
    angles = np.array([1.0, 0.2])
    a, x = heads(rng, size=0.22, keys=Keys(before=4, after=2), rotary=angles), tokens(rng, 40)
    spread, moments, seen = reading(a, x, [0, 17])
    found, draws = rotary_values(a, moments, seen), 100_000
    for i, place in enumerate(seen.places):
        positions = np.arange(max(0, place - 4), min(40, place + 3))
        keys = rng.multivariate_normal(spread.mean, spread.factor @ spread.factor.T, (draws, positions.size))
        for h in range(H):
            k, v = keys @ a.key[h].T.astype(float) + a.key_bias[h], keys @ a.value[h].T.astype(float)
            q = a.query[h] @ x[place].astype(float) + a.query_bias[h]
            logits = np.empty((draws, positions.size))
            for j, position in enumerate(positions):
                half = K // 2
                c, s = np.cos((place - position) * angles), np.sin((place - position) * angles)
                relative = np.concatenate([c * q[:half] - s * q[half:], s * q[:half] + c * q[half:]])
                logits[:, j] = a.scale * k[:, j] @ relative
            p = np.exp(logits)
            expected = np.einsum("sj,sjk->k", p, v) / p.sum() - a.value[h] @ spread.mean
            np.testing.assert_allclose(found.values[h, i], expected, atol=0.02 * np.linalg.norm(v.std(axis=(0, 1))))
            assert found.variance[h, i] == pytest.approx(logits.var(axis=0).mean(), rel=0.02)


def test_rotary_positions_that_do_not_turn_change_nothing(rng):
    a, x = heads(rng, keys=Keys(after=0)), tokens(rng, 60)
    still = dataclasses.replace(a, rotary=np.zeros(K // 2))
    _, moments, seen = reading(a, x, [2, 30, 59])
    found = rotary_values(still, moments, seen)
    np.testing.assert_allclose(found.values, mean_field_values(a, moments, seen), rtol=1e-3, atol=1e-4)


def test_a_key_bias_is_of_no_effect_without_rotary_positions(rng):
    a, x = heads(rng), tokens(rng, 60)
    other = dataclasses.replace(a, key_bias=a.key_bias + 3)
    for f in (mean_field_values, finite_n_values):
        one, two = (f(b, *reading(b, x, [5, 40])[1:]) for b in (a, other))
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_the_predicted_growth_is_that_of_the_gaussian_flow(rng):
    a, x = heads(rng), tokens(rng, 60)
    spread, moments, _ = reading(a, x, [0])
    layer = af.MultiHeadAttention.from_qkvo(
        a.query, a.key, a.value, a.output, scale=0.6, query_bias=a.query_bias, value_bias=a.value_bias
    )
    G = np.asarray(layer.at_gaussian(Gaussian(spread.mean, spread.factor)).linear())
    cov = spread.factor @ spread.factor.T
    rate = np.trace(G @ cov + cov @ G.T) / np.trace(cov)
    assert predicted_growth(a, moments, spread.factor) == pytest.approx(rate, rel=1e-4)
