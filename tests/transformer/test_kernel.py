"""Averages in blocks: the same numbers as at once, whatever the blocks, in every kind."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_kinds import KINDS, make
from attnflow import MaskedAttention
from attnflow.transformer import kernel, sinkhorn
from oracles.kinds import draw, on_tokens

pytestmark = pytest.mark.usefixtures("x64")
D = 3
SIZES = [(1, 1), (10, 7), (8, 9)]  # of queries and keys; the blocks hold 4 and 3


@pytest.fixture
def blocked(monkeypatch):
    """Every average in blocks of 4 queries and 3 keys."""
    monkeypatch.setattr(kernel, "DIRECT", 0)
    monkeypatch.setattr(kernel, "QUERY_BLOCK", 4)
    monkeypatch.setattr(kernel, "KEY_BLOCK", 3)
    monkeypatch.setattr(sinkhorn, "_compiled", sinkhorn._sinkhorn)  # not what was compiled for other blocks


def problem(rng, m: int, n: int, *, bias: bool, visible: bool) -> dict:
    drawn = {"queries": rng.standard_normal((m, 2)), "keys": rng.standard_normal((n, 2))}
    drawn["values"] = rng.standard_normal((n, D))
    drawn["key_bias"] = rng.standard_normal(n) if bias else None
    drawn["visible"] = np.sort(rng.integers(1, n + 1, m)) if visible else None
    return drawn


def written_out(queries, keys, values, key_bias, visible, weigh=math.exp):
    """Sums of weights (m,), and of the weighted values (m, v), by loops."""
    totals, sums = [], []
    for i, q in enumerate(queries):
        seen = range(len(keys) if visible is None else visible[i])
        weights = [weigh(math.fsum(q * keys[j]) + (0.0 if key_bias is None else key_bias[j])) for j in seen]
        totals.append(math.fsum(weights))
        sums.append([math.fsum(w * values[j][c] for w, j in zip(weights, seen, strict=True)) for c in range(D)])
    return np.array(totals), np.array(sums)


@pytest.mark.parametrize(("bias", "visible"), [(False, True), (True, False)])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_softmax_average_in_blocks_is_the_sum_written_out(rng, blocked, sizes, bias, visible):
    p = problem(rng, *sizes, bias=bias, visible=visible)
    averages, logs = kernel.softmax_average(**p)
    totals, sums = written_out(**p)
    np.testing.assert_allclose(averages, sums / totals[:, None], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(logs, np.log(totals), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("bias", "visible"), [(False, False), (True, True)])
@pytest.mark.parametrize("sizes", SIZES[1:])
def test_the_weighted_mean_in_blocks_is_the_sum_written_out(rng, blocked, sizes, bias, visible):
    """A weight that is not zero at a logit of zero: padding must not count."""
    p = problem(rng, *sizes, bias=bias, visible=visible)
    _, sums = written_out(**p, weigh=math.cos)
    counts = np.full(sizes[0], sizes[1]) if p["visible"] is None else p["visible"]
    np.testing.assert_allclose(kernel.weighted_mean(jnp.cos, **p), sums / counts[:, None], rtol=1e-13, atol=1e-14)


def test_the_blocks_of_the_package_itself_are_entered(rng):
    """Sizes behind the threshold that are no multiples of the blocks; SciPy-free NumPy as the judge."""
    m, n = kernel.QUERY_BLOCK + 37, kernel.KEY_BLOCK * 4 + 11
    assert m * n > kernel.DIRECT
    p = problem(rng, m, n, bias=True, visible=True)
    weights = np.exp(p["queries"] @ p["keys"].T + p["key_bias"]) * (np.arange(n) < p["visible"][:, None])
    wanted = weights @ p["values"] / weights.sum(axis=1)[:, None]
    averages, logs = kernel.softmax_average(**p)
    np.testing.assert_allclose(averages, wanted, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(logs, np.log(weights.sum(axis=1)), rtol=1e-12)


@pytest.mark.parametrize("shift", [-1e8, 800.0])
def test_logits_beyond_the_range_of_exp_give_finite_averages(rng, blocked, shift):
    p = problem(rng, 5, 7, bias=False, visible=False)
    plain, logs = kernel.softmax_average(**p)
    moved, moved_logs = kernel.softmax_average(**(p | {"key_bias": np.full(7, shift)}))
    np.testing.assert_allclose(moved, plain, rtol=1e-14 * max(abs(shift), 100))
    np.testing.assert_allclose(moved_logs, logs + shift, rtol=1e-12)


def test_sinkhorn_is_the_same_in_blocks(rng, blocked):
    p, tokens, points = draw("sinkhorn", rng, D), rng.standard_normal((7, D)), rng.standard_normal((5, D))
    found = make("sinkhorn", p).velocity(points, tokens)
    np.testing.assert_allclose(found, on_tokens("sinkhorn", p, points, tokens), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["softmax", "l2", "sigmoid", "linear"])
def test_every_kind_is_the_same_in_blocks_under_a_mask(rng, blocked, kind):
    p, tokens, positions = draw(kind, rng, D), rng.standard_normal((7, D)), [0.0, 0.2, 0.2, 0.5, 0.7, 0.7, 0.7]
    found = MaskedAttention(make(kind, p), positions).velocity(tokens, tokens)
    wanted = on_tokens(kind, p, tokens, tokens, visible=[1, 3, 3, 4, 7, 7, 7])
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["softmax", "l2", "sigmoid"])
def test_values_and_gradients_pass_through_the_blocks(rng, blocked, kind):
    """The slope in every parameter, the points and the tokens, against differences of the loops."""
    p, points, tokens = draw(kind, rng, D), rng.standard_normal((5, D)), rng.standard_normal((7, D))
    weights = rng.standard_normal((5, D))
    where = (p, points, tokens)

    def total(where):
        return jnp.sum(weights * make(kind, where[0]).velocity(*where[1:]))

    value, slopes = jax.jit(jax.value_and_grad(total))(jax.tree.map(jnp.asarray, where))
    assert value == pytest.approx(np.sum(weights * on_tokens(kind, *where)), rel=1e-12)
    slopes = jax.tree.leaves(slopes)
    leaves, structure = jax.tree.flatten(where)
    for i, (leaf, slope) in enumerate(zip(leaves, slopes, strict=True)):
        change, sums = rng.standard_normal(np.shape(leaf)), []
        for step in (1e-5, -1e-5):
            moved = jax.tree.unflatten(structure, [*leaves[:i], leaf + step * change, *leaves[i + 1 :]])
            sums.append(np.sum(weights * on_tokens(kind, *moved)))
        wanted = (sums[0] - sums[1]) / 2e-5
        np.testing.assert_allclose(np.sum(slope * change), wanted, rtol=2e-7, atol=2e-8, err_msg=str(i))


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_stays_single(rng, kind):
    p, tokens = draw(kind, rng, D), rng.standard_normal((6, D))
    slim = jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), p)
    found = make(kind, slim).velocity(jnp.asarray(tokens, jnp.float32), jnp.asarray(tokens, jnp.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, on_tokens(kind, p, tokens, tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["l2", "sinkhorn", "sigmoid"])
def test_the_defaults_of_a_kind_do_not_widen_single_precision(rng, kind):
    """Temperature, epsilon and bias left out: still the precision of the tokens and matrices."""
    optional = ("temperature", "epsilon", "bias")
    drawn = {name: value for name, value in draw(kind, rng, D, biases=False).items() if name not in optional}
    slim = jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), drawn)
    tokens = rng.standard_normal((6, D))
    found = make(kind, slim).velocity(jnp.asarray(tokens, jnp.float32), jnp.asarray(tokens, jnp.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, on_tokens(kind, drawn, tokens, tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["softmax", "l2", "sinkhorn", "sigmoid"])
def test_huge_logits_do_not_overflow(rng, blocked, kind):
    p, tokens = draw(kind, rng, D, size=0.3), 60 * rng.standard_normal((5, D))
    layer = make(kind, p, **({"tolerance": 1e-9, "max_iterations": 20_000} if kind == "sinkhorn" else {}))
    found = np.asarray(layer.velocity(tokens, tokens))
    assert np.all(np.isfinite(found))
    if kind != "sinkhorn":
        np.testing.assert_allclose(found, on_tokens(kind, p, tokens, tokens), rtol=1e-10, atol=1e-11)
