"""Modified blocks against loops, against many drawn clouds, and what happens when numbers run away."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

from attnflow.networks.modified import Modified, attended, fed_forward, modified_states, own_weights
from attnflow.networks.modified_flow import Place, behind_attention, modified_flow


@dataclasses.dataclass
class Lender:
    """Feed-forwards of a made-up network: x -> W s(U x + u) with another W, U, u in each block."""

    weights: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    linear: bool = False

    @property
    def layers(self) -> int:
        return len(self.weights)

    def feed_forward(self, layer: int, tokens: np.ndarray) -> np.ndarray:
        W, U, u = self.weights[layer]
        hidden = tokens @ U.T + u
        return ((hidden if self.linear else np.tanh(hidden)) @ W.T).astype(tokens.dtype)


def lender(rng: np.random.Generator, dim: int, layers: int, *, linear: bool = False) -> Lender:
    def draw() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return 0.4 * rng.normal(size=(dim, 7)), 0.5 * rng.normal(size=(7, dim)), rng.normal(size=7)

    return Lender([draw() for _ in range(layers)], linear)


def averaged(tokens: np.ndarray, B: float) -> tuple[np.ndarray, np.ndarray]:
    """Weighted averages and each token's weight for itself, one query at a time."""
    rows, own = [], []
    for i, x in enumerate(tokens):
        logits = B * tokens @ x
        weights = np.exp(logits - logits.max())
        rows.append(weights @ tokens / weights.sum())
        own.append(weights[i] / weights.sum())
    return np.array(rows), np.array(own)


@pytest.mark.parametrize(("V", "B"), [(-0.5, 0.3), (0.7, -0.4), (0.5, 2.0)])
def test_attention_is_the_weighted_average_of_the_tokens(V, B, rng):
    tokens = rng.normal(size=(60, 5)) + 0.3
    average, own = averaged(tokens, B)
    np.testing.assert_allclose(attended(tokens, Modified(V, B)), tokens + V * average, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(own_weights(tokens, B, 60), own, rtol=1e-12)
    single = attended(tokens.astype(np.float32), Modified(V, B))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, tokens + V * average, atol=3e-6)


def test_a_block_is_attention_and_then_the_damped_feed_forward_of_that_block(rng):
    network, tokens = lender(rng, 4, 3), rng.normal(size=(30, 4))
    rule = Modified(-0.6, 0.4, 0.25)
    states = list(modified_states(network, tokens, rule))
    assert len(states) == 4
    for (W, U, u), before, after in zip(network.weights, states, states[1:], strict=False):
        middle = before - 0.6 * averaged(before, 0.4)[0]
        np.testing.assert_allclose(after, middle + 0.25 * np.tanh(middle @ U.T + u) @ W.T, rtol=1e-12, atol=1e-12)


def test_tokens_that_may_not_be_written_are_taken_without_a_warning(rng):
    tokens = rng.normal(size=(10, 3))
    tokens.setflags(write=False)
    assert len(list(modified_states(lender(rng, 3, 2), tokens, Modified(0.5, 0.1)))) == 3


def test_the_course_ends_before_the_first_tokens_that_are_not_finite(rng):
    big = 1e15 * np.eye(3)
    network = Lender([(big, big, np.zeros(3))] * 4, linear=True)
    tokens = rng.normal(size=(8, 3)).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        states = list(modified_states(network, tokens, Modified(0.5, 1e-3)))
    assert len(states) == 2
    assert np.isfinite(states[-1]).all()
    places = list(modified_flow(network, 3, Modified(0.5, 1e-3)))
    assert len(places) == 2


def test_the_mean_field_is_what_many_tokens_do(rng):
    network, rule = lender(rng, 3, 3, linear=True), Modified(-0.5, 0.2, 0.5)
    tokens = np.random.default_rng(5).standard_normal((12_000, 3))
    for state, place in zip(modified_states(network, tokens, rule), modified_flow(network, 3, rule), strict=True):
        np.testing.assert_allclose(state.mean(axis=0), place.mean, atol=0.06)
        np.testing.assert_allclose(np.cov(state.T, bias=True), place.cov, atol=0.06 * np.trace(place.cov) / 3)


@pytest.mark.parametrize(("V", "B"), [(0.6, 0.2), (-0.6, 0.2), (0.6, -0.2)])
def test_few_keys_are_what_many_clouds_do_on_average(V, B, rng):
    """The mean over the keys is taken as affine in the query, which is the better the higher the dimension."""
    mean, root = 0.2 * rng.normal(size=24), 0.1 * rng.normal(size=(24, 24)) + np.eye(24)
    clouds = mean + rng.standard_normal((1500, 32, 24)) @ root.T
    moved = np.concatenate([attended(cloud, Modified(V, B)) for cloud in clouds])
    few = behind_attention(Place(mean, root @ root.T), Modified(V, B), 32)
    many = behind_attention(Place(mean, root @ root.T), Modified(V, B), None)
    found = np.cov(moved.T)
    assert np.linalg.norm(few.mean - moved.mean(axis=0)) < 4 * np.sqrt(np.trace(found) / 1500)
    assert np.linalg.norm(few.cov - found) < 0.08 * np.linalg.norm(found)
    assert abs(np.trace(few.cov) / np.trace(found) - 1) < 0.05
    assert abs(np.trace(many.cov) / np.trace(found) - 1) > 0.1


def test_a_feed_forward_moves_the_moments_as_quadrature_says(rng):
    W, U, u = (
        x.astype(np.float64) for x in (0.5 * rng.normal(size=(2, 2)), rng.normal(size=(2, 2)), rng.normal(size=2))
    )
    rule = Modified(0.3, 0.2, 0.8)
    place = list(modified_flow(Lender([(W, U, u)]), 2, rule))[-1]
    start = behind_attention(Place(np.zeros(2), np.eye(2)), rule, None)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.outer(weights, weights).ravel() / weights.sum() ** 2
    x = start.mean + grid @ np.linalg.cholesky(start.cov).T
    y = x + 0.8 * np.tanh(x @ U.T + u) @ W.T
    mean = mass @ y
    np.testing.assert_allclose(place.mean, mean, atol=0.03)
    np.testing.assert_allclose(place.cov, (y - mean).T @ (mass[:, None] * (y - mean)), atol=0.06)


def test_the_feed_forward_alone_leaves_attention_out(rng):
    network, tokens = lender(rng, 4, 2), rng.normal(size=(9, 4))
    W, U, u = network.weights[1]
    wanted = tokens + 0.1 * np.tanh(tokens @ U.T + u) @ W.T
    np.testing.assert_allclose(fed_forward(network, 1, tokens, Modified(9.0, 9.0, 0.1)), wanted, rtol=1e-12)
