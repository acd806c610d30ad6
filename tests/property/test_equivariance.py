"""Symmetries of every attention kind: the order of the tokens, the axes, many tokens at once, and their limit."""

from __future__ import annotations

import functools

import equinox as eqx
import jax
import numpy as np
import pytest

import attnflow as af
from attention_kinds import EXACT, KINDS, make
from oracles.kinds import draw

pytestmark = pytest.mark.usefixtures("x64")
D, N = 3, 6
SEEDS = (1, 2)
TURNED = {"B": 2, "V": 2, "query_bias": 1, "value_bias": 1}  # how many axes of a parameter turn with the space


def turned(kind: str, p: dict, R: np.ndarray) -> dict:
    """The parameters of the same attention in the axes x' = R x; those of the projections Q x and K y keep theirs."""
    if kind == "multihead":
        return {"heads": [turned("softmax", head, R) for head in p["heads"]]}
    out = dict(p)
    for name in p.keys() & TURNED.keys():
        if kind == "l2" and name == "query_bias":
            continue
        out[name] = R @ p[name] @ R.T if TURNED[name] == 2 else R @ p[name]
    return out | {name: p[name] @ R.T for name in p.keys() & {"Q", "K"}}


velocity = eqx.filter_jit(lambda layer, points, tokens: layer.velocity(points, tokens))


@eqx.filter_jit
def at(layer, mean, factor):
    affine = layer.at_gaussian(af.Gaussian(mean, factor))
    return affine.linear(), affine.offset


def rotation(rng) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((D, D)))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_tokens_is_irrelevant(kind):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        layer, tokens, order = make(kind, draw(kind, rng, D)), rng.standard_normal((N, D)), rng.permutation(N)
        found = velocity(layer, tokens, tokens)
        np.testing.assert_allclose(velocity(layer, tokens, tokens[order]), found, rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(velocity(layer, tokens[order], tokens), found[order], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_of_the_axes_rotates_the_velocity_of_tokens(kind):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        p, R, tokens = draw(kind, rng, D), rotation(rng), rng.standard_normal((N, D))
        there = velocity(make(kind, turned(kind, p, R)), tokens @ R.T, tokens @ R.T)
        np.testing.assert_allclose(there, velocity(make(kind, p), tokens, tokens) @ R.T, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_of_the_axes_rotates_the_map_at_a_gaussian(kind):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        p, R, mean, factor = draw(kind, rng, D), rotation(rng), rng.standard_normal(D), rng.standard_normal((D, 2))
        there, here = at(make(kind, turned(kind, p, R)), R @ mean, R @ factor), at(make(kind, p), mean, factor)
        np.testing.assert_allclose(there[0], R @ here[0] @ R.T, rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(there[1], R @ here[1], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_the_columns_of_the_factor_may_be_rotated(kind):
    rng = np.random.default_rng(3)
    layer, mean, factor = make(kind, draw(kind, rng, D)), rng.standard_normal(D), rng.standard_normal((D, 2))
    turn = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    one, two = at(layer, mean, factor), at(layer, mean, factor @ turn)
    np.testing.assert_allclose(two[0], one[0], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(two[1], one[1], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_many_gaussians_at_once_are_the_gaussians_one_by_one(kind):
    rng = np.random.default_rng(4)
    layer, means, factors = make(kind, draw(kind, rng, D)), rng.standard_normal((3, D)), rng.standard_normal((3, D, 2))
    linear, offset = jax.vmap(functools.partial(at, layer))(means, factors)
    for i in range(3):
        wanted = at(layer, means[i], factors[i])
        np.testing.assert_allclose(linear[i], wanted[0], rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(offset[i], wanted[1], rtol=1e-11, atol=1e-12)


SIZES, DRAWS = (100, 400, 1600), 30


@pytest.mark.parametrize("kind", EXACT)
def test_sampled_tokens_come_to_the_gaussian_like_one_over_the_root_of_n(kind):
    """Small logits, where the sampling condition holds; the root mean square over draws, so that the slope is sharp."""
    sizes = SIZES if kind != "sinkhorn" else (40, 320)
    rng = np.random.default_rng(5)
    layer = make(kind, draw(kind, rng, D, size=0.3), **({"tolerance": 1e-8} if kind == "sinkhorn" else {}))
    mean, factor, points = 0.5 * rng.standard_normal(D), 0.5 * rng.standard_normal((D, D)), rng.standard_normal((4, D))
    affine = layer.at_gaussian(af.Gaussian(mean, factor))
    exact = points @ affine.linear().T + affine.offset
    sampled = jax.jit(jax.vmap(lambda tokens: layer.velocity(points, tokens)))
    errors = []
    for n in sizes:
        clouds = mean + rng.standard_normal((DRAWS, n, D)) @ factor.T
        errors.append(float(np.sqrt(np.mean(np.square(sampled(clouds) - exact)))))
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert -0.65 < slope < -0.35
    assert errors[-1] < 0.2 * np.abs(exact).max()


def test_linear_attention_sees_two_moments_only():
    rng = np.random.default_rng(6)
    layer, tokens = make("linear", draw("linear", rng, D)), 2 * rng.standard_normal((N, D)) ** 3
    affine = layer.at_gaussian(af.Gaussian.from_tokens(tokens))
    points = rng.standard_normal((4, D))
    wanted = points @ affine.linear().T + affine.offset
    np.testing.assert_allclose(layer.velocity(points, tokens), wanted, rtol=1e-11, atol=1e-11)
