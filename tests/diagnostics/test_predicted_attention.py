"""R^2 of the Gaussian prediction, its ceiling, its control, and when it is trusted."""

import numpy as np
import pytest

from attnflow.diagnostics.attention import Attention, Keys
from attnflow.diagnostics.attention_trust import verdict
from attnflow.diagnostics.matched_noise import RADII
from attnflow.diagnostics.prediction import predict_attention
from oracles.plain_attention import plain_attention

D = 64


def head(rng, variance, *, dim=D, keys=None, rotary=None):
    """One head of full width with V = I whose logits have this variance at N(0, I)."""
    key, query = rng.standard_normal((2, 1, dim, dim))
    query *= np.sqrt(variance) / np.linalg.norm(key[0].T @ query[0])
    zero, eye = np.zeros((1, dim)), np.eye(dim)[None]
    numbers = (query, key, eye, eye, zero, zero, zero, np.zeros(dim))
    return Attention(*(x.astype(np.float32) for x in numbers), 1.0, keys or Keys(), rotary)


def moved(a, x):
    """All rows of the attention output, in float64."""
    logits = a.scale * (x @ a.query[0].T + a.query_bias[0]) @ (x @ a.key[0].T).T
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (p / p.sum(axis=1, keepdims=True) @ x @ a.value[0].T @ a.output[0].T).astype(np.float32)


def normal(rng, n, dim=D):
    return rng.standard_normal((n, dim)).astype(np.float32)


def two_scales(rng, n, dim=D):
    return normal(rng, n, dim) * rng.choice(RADII, size=(n, 1), p=[0.8, 0.2]).astype(np.float32)


@pytest.mark.parametrize(
    ("variance", "n", "expected"),
    [(1, 256, 0.874), (1, 1024, 0.954), (4, 256, 0.529), (4, 1024, 0.683), (16, 256, 0.202), (16, 1024, 0.297)],
)
def test_gaussian_tokens_have_the_r2_that_was_measured_elsewhere_and_it_is_the_ceiling(rng, variance, n, expected):
    found = []
    for seed in range(3):
        a, x = head(rng, variance), normal(rng, n)
        p = predict_attention(a, x, moved(a, x), seed=seed)
        found.append((p.r2, p.r2_ceiling))
        assert p.logit_variance[0] == pytest.approx(variance, rel=0.15)
    assert np.mean(found, axis=0) == pytest.approx([expected, expected], abs=0.03)


def test_the_correction_for_finitely_many_keys_helps_sharp_heads(rng):
    a, x = head(rng, 16), normal(rng, 512)
    p = predict_attention(a, x, moved(a, x))
    assert p.r2_finite_n > p.r2 + 0.05
    assert p.r2_finite_n == pytest.approx(p.r2_finite_n_ceiling, abs=0.05)
    assert p.two_log_n == pytest.approx(2 * np.log(512))


def test_the_numbers_are_those_of_their_definitions(rng):
    dim, h, k, n = 9, 2, 4, 70
    shapes = [(h, k, dim)] * 3 + [(h, dim, k)] + [(h, k)] * 3 + [(dim,)]
    numbers = (0.5 * rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    a = Attention(*numbers, scale=0.7)
    x = (rng.standard_normal((n, dim)) @ rng.standard_normal((dim, dim)) / 3 + 1).astype(np.float32)
    out, weights = plain_attention(a, x.astype(float))
    p = predict_attention(a, x, out.astype(np.float32))
    mean, cov = x.astype(float).mean(axis=0), np.cov(x.astype(float).T, bias=True)
    G = sum(a.scale * a.output[i] @ a.value[i] @ cov @ a.key[i].T @ a.query[i] for i in range(h))
    tilt = sum(a.scale * a.output[i] @ a.value[i] @ cov @ a.key[i].T @ a.query_bias[i] for i in range(h))
    constant = sum(a.output[i] @ (a.value[i] @ mean + a.value_bias[i]) for i in range(h)) + a.output_bias
    spread = np.sum((out - out.mean(axis=0)) ** 2)
    assert p.queries == n
    assert p.recomputed < 1e-5
    assert p.r2 == pytest.approx(1 - np.sum((out - constant - tilt - x @ G.T) ** 2) / spread, abs=1e-4)
    assert p.r2_mean_only == pytest.approx(1 - np.sum((out - constant) ** 2) / spread, abs=1e-4)
    np.testing.assert_allclose(p.effective_keys, np.median(1 / np.sum(weights**2, axis=2), axis=1), rtol=1e-3)
    covariance = (x - mean).T @ (out - out.mean(axis=0)) / n
    assert p.measured_growth == pytest.approx(2 * np.trace(covariance) / np.trace(cov), rel=1e-4)
    assert p.predicted_growth == pytest.approx(2 * np.trace(G @ cov) / np.trace(cov), rel=1e-4)
    other = predict_attention(a, x, 2 * out.astype(np.float32))
    assert other.recomputed == pytest.approx(0.5, abs=1e-3)


def test_tiny_logits_fit_and_are_no_evidence_for_a_gaussian(rng):
    a, x = head(rng, 0.01), two_scales(rng, 2048)
    p = predict_attention(a, x, moved(a, x))
    assert p.trusted
    assert p.r2 > 0.9
    assert "no evidence for Gaussianity" in p.reason


def test_gaussian_tokens_with_some_logit_variance_are_trusted_on_evidence(rng):
    a, x = head(rng, 1.0), normal(rng, 2048)
    p = predict_attention(a, x, moved(a, x))
    assert p.trusted
    assert p.r2_control < 0.5 < 0.9 * p.r2_ceiling
    assert "tokens of another law" in p.reason


def test_tokens_of_two_sizes_are_not_trusted_and_fit_as_badly_as_the_control(rng):
    a, x = head(rng, 1.0), two_scales(rng, 2048)
    p = predict_attention(a, x, moved(a, x))
    assert not p.trusted
    assert p.r2_finite_n == pytest.approx(p.r2_finite_n_control, abs=0.08)
    assert p.reason.startswith("the tokens are not Gaussian enough")


def test_a_layer_that_few_keys_decide_is_told_apart(rng):
    a, x = head(rng, 60.0, dim=256), normal(rng, 400, 256)
    p = predict_attention(a, x, moved(a, x))
    assert not p.trusted
    assert p.reason.startswith("even for Gaussian tokens R^2 is only")
    assert "logit variance" in p.reason


def test_the_mean_must_not_do_as_well():
    assert verdict(0.5, 0.52, 0.6, 0.1, logit_variance=1, two_log_n=10) == (
        False, "the mean alone predicts as well: R^2 is 0.50, and 0.60 from the mean",
    )  # fmt: skip
    quiet = verdict(0.05, 0.05, -0.1, 0.0, logit_variance=0.1, two_log_n=10)
    assert "hides the little that varies between queries" in quiet.reason


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_tokens_have_no_r2_but_a_reason(rng, n):
    a, x = head(rng, 1.0), normal(rng, n)
    p = predict_attention(a, x, moved(a, x))
    assert (p.r2, p.r2_finite_n, p.r2_ceiling, p.r2_control, p.r2_mean_only) == (None,) * 5
    assert not p.trusted
    assert p.reason.startswith(f"{n} tokens are too few")
    assert np.isfinite([p.predicted_growth, p.measured_growth, p.recomputed]).all()


def test_a_constant_output_is_nothing_to_predict(rng):
    a, x = head(rng, 0.0), normal(rng, 40)
    p = predict_attention(a, x, np.tile(x.mean(axis=0), (40, 1)))
    assert p.r2 is None
    assert "the same for all tokens" in p.reason
    assert p.effective_keys[0] == pytest.approx(40, rel=1e-4)


@pytest.mark.parametrize("n", [12, 64, 65])
def test_fewer_tokens_than_dimensions_are_compared_with_as_few_gaussian_ones(rng, n):
    found = []
    for seed in range(6):
        a, x = head(rng, 1.0), normal(rng, n)
        p = predict_attention(a, x, moved(a, x), seed=seed)
        found.append(p.r2_finite_n - p.r2_finite_n_ceiling)
    assert abs(np.mean(found)) < 0.06


@pytest.mark.parametrize("keys", [Keys(after=0), Keys(before=60, after=60)])
def test_masked_gaussian_tokens_reach_their_ceiling(rng, keys):
    a, x = head(rng, 1.0, dim=16, keys=keys), normal(rng, 600, 16)
    out, _ = plain_attention(a, x.astype(float))
    p = predict_attention(a, x, out.astype(np.float32), queries=200)
    assert p.queries == 200
    assert p.recomputed < 1e-5
    assert p.r2_finite_n == pytest.approx(p.r2_finite_n_ceiling, abs=0.06)
    assert p.r2_finite_n > p.r2


def test_rotary_gaussian_tokens_reach_their_ceiling_and_need_their_positions(rng):
    a = head(rng, 1.0, dim=16, keys=Keys(before=40, after=40), rotary=0.03 * 0.8 ** np.arange(8))
    x = normal(rng, 500, 16)
    out, _ = plain_attention(a, x.astype(float))
    p = predict_attention(a, x, out.astype(np.float32), queries=150)
    assert p.r2_finite_n is None
    assert p.recomputed < 1e-5
    assert p.r2 == pytest.approx(p.r2_ceiling, abs=0.08)
    assert p.r2 > 0.5
    assert p.predicted_growth == pytest.approx(p.measured_growth, abs=0.1 * abs(p.measured_growth) + 0.02)


def test_the_same_seed_gives_the_same_numbers(rng):
    a, x = head(rng, 1.0), normal(rng, 300)
    one, two, other = (predict_attention(a, x, moved(a, x), seed=seed, queries=100) for seed in (4, 4, 5))
    assert one.r2 == two.r2
    assert one.r2_control == two.r2_control
    assert one.r2 != other.r2
