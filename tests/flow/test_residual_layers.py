"""The discrete Transformer x + step Gamma(x), against NumPy loops and covariances carried by hand."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af
from attention_kinds import KINDS, make
from attnflow.flow.tokens import token_velocity
from oracles.kinds import draw, on_tokens

N, D, LAYERS, STEP = 4, 2, 4, 0.4
A, BIAS = np.array([[-0.3, 0.6], [-0.4, 0.1]]), np.array([0.2, -0.5])


def tokens() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((N, D))


def parameters(kind: str, seed: int = 5) -> dict:
    return draw(kind, np.random.default_rng(seed), D)


def stacked(velocities, step: float, start) -> np.ndarray:
    """The states (layers + 1, ...) of x + step velocity(x)."""
    states = [start]
    for velocity in velocities:
        states.append(states[-1] + step * velocity(states[-1]))
    return np.array(states)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_go_through_the_layers_one_by_one(kind):
    """Attention and feed-forward are read at the same x."""
    p = parameters(kind)
    model = af.Transformer(make(kind, p), af.Affine(A, BIAS))
    run = af.simulate(model, af.Tokens(tokens()), layers=LAYERS, step=STEP)
    wanted = stacked([lambda x: on_tokens(kind, p, x, x) + x @ A.T + BIAS] * LAYERS, STEP, tokens())
    assert run.status == "reached_end"
    np.testing.assert_allclose(run.tokens, wanted, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(run.ts, STEP * np.arange(LAYERS + 1), rtol=1e-15)
    np.testing.assert_array_equal(run.requested, run.ts)
    assert run.reached.all()
    assert (run.accepted, run.evaluations, run.until) == (LAYERS, LAYERS, run.ts[-1])
    assert run.statements["tokens"].startswith("exact")


def test_a_masked_stack_is_causal():
    p = parameters("softmax")
    run = af.simulate(af.MaskedAttention(make("softmax", p)), af.Tokens(tokens()), layers=LAYERS)
    wanted = stacked([lambda x: on_tokens("softmax", p, x, x, range(1, N + 1))] * LAYERS, 1.0, tokens())
    np.testing.assert_allclose(run.tokens, wanted, rtol=1e-11)


def test_the_step_is_one_unless_given():
    p = parameters("l2")
    run = af.simulate(make("l2", p), af.Tokens(tokens()), layers=1)
    np.testing.assert_allclose(run.tokens[1], tokens() + on_tokens("l2", p, tokens(), tokens()), rtol=1e-12)


def moments(p: dict, mean, cov) -> tuple[np.ndarray, np.ndarray]:
    """G and c of softmax attention with its feed-forward at N(mean, cov)."""
    linear = p["V"] @ cov @ p["B"] + A
    return linear, p["V"] @ (mean + cov @ p["query_bias"]) + p["value_bias"] + BIAS


def recursion(ps, mean, cov, step):
    """mean + h (G mean + c) and (1 + h G) cov (1 + h G)^T, layer by layer."""
    means, covs = [mean], [cov]
    for p in ps:
        linear, offset = moments(p, means[-1], covs[-1])
        full = np.eye(len(mean)) + step * linear
        means.append(full @ means[-1] + step * offset)
        covs.append(full @ covs[-1] @ full.T)
    return np.array(means), np.array(covs)


@pytest.mark.parametrize("rank", [1, 2])
def test_a_gaussian_goes_through_the_layers_one_by_one(rank):
    p, factor = parameters("softmax"), np.array([[0.7, 0.2], [-0.4, 0.5]])[:, :rank]
    model = af.Transformer(make("softmax", p), af.Affine(A, BIAS))
    run = af.simulate(model, af.Gaussian.from_factor([0.3, -0.6], factor), layers=LAYERS, step=STEP)
    means, covs = recursion([p] * LAYERS, np.array([0.3, -0.6]), factor @ factor.T, STEP)
    np.testing.assert_allclose(run.mean, means, rtol=1e-12)
    np.testing.assert_allclose(run.cov, covs, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(run.ts, STEP * np.arange(LAYERS + 1), rtol=1e-15)
    assert run.numerical_rank.tolist() == [rank] * (LAYERS + 1)
    assert run.status == "reached_end"


def test_the_rank_drops_where_a_layer_is_singular():
    """A step at which 1 + h V cov B has a kernel."""
    B, V = np.array([[1.0, 0.4], [-0.3, 0.6]]), np.array([[-1.0, 0.2], [0.3, -0.8]])
    cov = np.array([[0.9, 0.3], [0.3, 0.5]])
    values, vectors = np.linalg.eig(V @ cov @ B)
    assert np.isrealobj(values)
    step = -1 / values[np.argmin(values)]
    start = af.Gaussian.from_moments([0.0, 0.0], cov)
    run = af.simulate(af.SoftmaxAttention(B, V), start, layers=3, step=step)
    assert run.rank == 2
    eigenvalues = np.linalg.eigvalsh(run.cov)
    assert np.all(np.abs(eigenvalues[1:, 0]) <= 1e-14 * eigenvalues[1:, 1])
    assert run.numerical_rank.tolist()[0] == 2
    assert run.numerical_rank.tolist()[-1] == 1
    left = np.linalg.eig((np.eye(2) + step * V @ cov @ B).T)
    lost = left[1][:, np.argmin(np.abs(left[0]))]
    assert np.abs(lost @ run.cov[1] @ lost) < 1e-14


STEPS = pytest.mark.parametrize("step", [0.1, 0.7])


@STEPS
def test_each_layer_of_a_piecewise_depth_has_its_own_parameters(step):
    """Jumps at the multiples of a step that is no binary fraction: rounding must not pick the wrong layer."""
    ps = [parameters("softmax", seed) for seed in range(7)]
    depth = af.Depth.piecewise([make("softmax", p) for p in ps], [round(i * step, 6) for i in range(7)])
    by_tokens = af.simulate(depth, af.Tokens(tokens()), layers=7, step=step)
    wanted = stacked([lambda x, p=p: on_tokens("softmax", p, x, x) for p in ps], step, tokens())
    np.testing.assert_allclose(by_tokens.tokens, wanted, rtol=1e-11, atol=1e-12)


def test_a_gaussian_meets_the_same_layers():
    ps = [parameters("softmax", seed) for seed in range(3)]
    layers = [af.Transformer(make("softmax", p), af.Affine(A, BIAS)) for p in ps]
    depth = af.Depth.piecewise(layers, [0.0, 0.1, 0.2, 0.3])
    cov = np.array([[0.9, 0.3], [0.3, 0.5]])
    run = af.simulate(depth, af.Gaussian.from_moments([0.3, -0.6], cov), layers=3, step=0.1)
    means, covs = recursion(ps, np.array([0.3, -0.6]), cov, 0.1)
    np.testing.assert_allclose(run.mean, means, rtol=1e-12)
    np.testing.assert_allclose(run.cov, covs, rtol=1e-12)


def test_a_function_of_depth_is_read_where_the_layer_starts():
    p = parameters("softmax")
    depth = af.Depth.function(lambda t: af.SoftmaxAttention(**(p | {"V": (1 + t) * p["V"]})))
    run = af.simulate(depth, af.Tokens(tokens()), layers=3, step=STEP)
    velocities = [lambda x, i=i: on_tokens("softmax", p | {"V": (1 + i * STEP) * p["V"]}, x, x) for i in range(3)]
    np.testing.assert_allclose(run.tokens, stacked(velocities, STEP, tokens()), rtol=1e-11, atol=1e-12)


def test_one_program_serves_all_layers():
    p = parameters("softmax", seed=8)
    before = token_velocity._cached._cache_size()
    af.simulate(make("softmax", p), af.Tokens(np.ones((3, D))), layers=5)
    assert token_velocity._cached._cache_size() <= before + 1


def test_small_steps_come_to_the_continuous_flow():
    p = parameters("softmax")
    model, end = make("softmax", p), 0.8
    exact = af.simulate(model, af.Tokens(tokens()), [end], rtol=1e-11).tokens[-1]
    errors = [
        np.abs(af.simulate(model, af.Tokens(tokens()), layers=n, step=end / n).tokens[-1] - exact).max()
        for n in (20, 40)
    ]
    assert 1.8 < errors[0] / errors[1] < 2.2


class TestEnds:
    @pytest.mark.parametrize("start", [af.Tokens(tokens()), af.Gaussian.from_tokens(tokens())])
    def test_growth_beyond_float64_is_an_overflow_without_inf(self, start):
        run = af.simulate(af.Affine(1e60), start, layers=6)
        assert run.status == "overflow"
        assert run.ts.tolist() == [0, 1] or run.ts.tolist() == [0, 1, 2]
        assert not run.reached[-1]
        assert len(run.requested) == 7
        assert np.all(np.isfinite(run.cov))

    @pytest.mark.parametrize("start", [af.Tokens(tokens()), af.Gaussian.from_tokens(tokens())])
    def test_an_interrupt_keeps_the_layers_that_were_done(self, start):
        told = []

        def stop(t):
            told.append(t)
            if len(told) == 2:
                raise KeyboardInterrupt

        run = af.simulate(af.Affine(A), start, layers=9, step=0.5, progress=stop)
        assert run.status == "interrupted"
        assert told == [0.5, 1.0]
        assert run.ts.tolist() == [0.0, 0.5, 1.0]
        assert run.reached.sum() == 3

    def test_sinkhorn_that_does_not_converge_ends_the_stack(self):
        layer = make("sinkhorn", parameters("sinkhorn"), max_iterations=2)
        run = af.simulate(layer, af.Tokens(tokens()), layers=3)
        assert run.status == "not_converged"
        assert run.ts.tolist() == [0.0]

    def test_a_blow_up_of_the_flow_is_none_of_the_layers(self):
        start = af.Gaussian.from_moments([0.0], [[1.0]])
        assert af.simulate(af.SoftmaxAttention(1.0, 1.0), start, [1.0]).status == "blow_up"
        run = af.simulate(af.SoftmaxAttention(1.0, 1.0), start, layers=2, step=0.5)
        assert (run.status, run.blow_up) == ("reached_end", None)
        np.testing.assert_allclose(run.cov.ravel(), [1.0, 2.25, 2.25 * (1 + 2.25 / 2) ** 2])


def test_between_two_layers_there_is_nothing():
    run = af.simulate(af.Affine(A), af.Tokens(tokens()), layers=2)
    np.testing.assert_array_equal(run.at(1.0), run.tokens[1])
    with pytest.raises(af.BadInput, match=r"`t` = 0\.5 cannot be evaluated: it lies between two layers"):
        run.at(0.5)
    with pytest.raises(af.BadInput, match=r"`t` = 2\.5 was not reached"):
        run.at(2.5)


@pytest.mark.parametrize("start", [af.Tokens(tokens()), af.Gaussian.from_tokens(tokens())])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ts": [1.0]}, r"`layers` replaces `ts` and `t1`"),
        ({"t1": 1.0}, r"`layers` replaces `ts` and `t1`"),
        ({"engine": "factor_ode"}, r"`layers` excludes `engine` and `stop_at_rest`"),
        ({"stop_at_rest": True}, r"`layers` excludes `engine` and `stop_at_rest`"),
        ({"layers": 0}, r"`layers` must be a positive whole number: 0 was found"),
        ({"layers": 1.5}, r"`layers` must be a positive whole number: 1\.5"),
        ({"layers": "all"}, r"`layers` must be a positive whole number: 'all'"),
        ({"step": 0.0}, r"`step` must be positive: 0 was found"),
        ({"step": -1.0}, r"`step` must be positive"),
        ({"step": np.nan}, r"`step` must be finite"),
    ],
)
def test_bad_input_is_named(start, options, message):
    with pytest.raises(af.BadInput, match=message):
        af.simulate(af.Affine(A), start, **({"layers": 2} | options))


def test_layers_beyond_the_parameters_are_refused():
    depth = af.Depth.interpolated([af.Affine(A), af.Affine(-A)], [0.0, 1.0])
    assert af.simulate(depth, af.Tokens(tokens()), layers=3, step=0.5).status == "reached_end"
    with pytest.raises(af.BadInput, match=r"defined up to depth 1: the last layer is at 1\.5; give fewer `layers`"):
        af.simulate(depth, af.Tokens(tokens()), layers=4, step=0.5)
