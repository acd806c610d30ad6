"""The flow of tokens, with SciPy's integrators on loops over the tokens as the judge."""

from __future__ import annotations

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import attnflow as af
from attention_kinds import KINDS, make
from attnflow.flow.evolve_tokens import evolve_tokens
from attnflow.flow.leg import Options
from attnflow.flow.tokens import flow_tokens
from oracles.kinds import draw, on_tokens

N, D, TS = 4, 2, (0.3, 1.0)
A, BIAS = np.array([[-0.3, 0.6], [-0.4, 0.1]]), np.array([0.2, -0.5])


def tokens(seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, D))


def parameters(kind: str, seed: int = 5) -> dict:
    return draw(kind, np.random.default_rng(seed), D, size=0.5)


def replay(velocity, start, ts, *, method="DOP853", since=0.0) -> np.ndarray:
    """Tokens (t, n, d) of x' = velocity(t, x)."""

    def rate(t, flat):
        return velocity(t, flat.reshape(start.shape)).ravel()

    ts = np.asarray(ts, float)
    found = solve_ivp(rate, (since, ts[-1]), start.ravel(), method, ts, rtol=1e-12, atol=1e-13)
    assert found.success
    return found.y.T.reshape(len(ts), *start.shape)


def field(kind: str, p: dict):
    return lambda t, x: on_tokens(kind, p, x, x) + x @ A.T + BIAS


def with_feedforward(kind: str, p: dict) -> af.Transformer:
    return af.Transformer(make(kind, p), af.Affine(A, BIAS))


def assert_close(found, wanted, tolerance: float = 1e-8) -> None:
    assert np.shape(found) == np.shape(wanted)
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_move_as_the_replay_says_under_every_kind(kind):
    p = parameters(kind)
    run = af.simulate(with_feedforward(kind, p), af.Tokens(tokens()), TS, rtol=1e-10)
    assert run.status == "reached_end"
    assert run.ts.tolist() == list(TS)
    wanted = replay(field(kind, p), tokens(), TS)
    assert_close(run.tokens, wanted)
    np.testing.assert_allclose(run.mean, wanted.mean(axis=1), atol=1e-8)
    np.testing.assert_allclose(run.cov, [np.cov(x.T, bias=True) for x in wanted], atol=1e-7)


def test_a_masked_flow_keeps_the_order_of_its_tokens():
    p = parameters("softmax")
    run = af.simulate(af.MaskedAttention(make("softmax", p), [0.0, 1.0, 1.0, 2.0]), af.Tokens(tokens()), TS, rtol=1e-10)
    assert_close(run.tokens, replay(lambda t, x: on_tokens("softmax", p, x, x, [1, 3, 3, 4]), tokens(), TS))


def test_a_stiff_feed_forward_is_followed():
    """Radau, an implicit method, as the judge."""
    p, stiff = parameters("l2"), np.array([[-25.0, 1.0], [0.5, -0.4]])
    run = af.simulate(af.Transformer(make("l2", p), af.Affine(stiff, BIAS)), af.Tokens(tokens()), TS, rtol=1e-9)
    wanted = replay(lambda t, x: on_tokens("l2", p, x, x) + x @ stiff.T + BIAS, tokens(), TS, method="Radau")
    assert_close(run.tokens, wanted, 1e-7)


@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
def test_the_tolerance_is_kept(rtol):
    p = parameters("softmax")
    run = af.simulate(with_feedforward("softmax", p), af.Tokens(tokens()), TS, rtol=rtol)
    assert_close(run.tokens, replay(field("softmax", p), tokens(), TS), 10 * rtol)


class TestDepth:
    """Parameters that change on the way; softmax with one set of shapes compiles once."""

    P, Q = parameters("softmax", 5), parameters("softmax", 6)

    def models(self) -> list[af.SoftmaxAttention]:
        return [make("softmax", p) for p in (self.P, self.Q)]

    def mixed(self, weight: float) -> dict:
        return {name: (1 - weight) * self.P[name] + weight * self.Q[name] for name in self.P}

    def test_pieces_follow_one_another(self):
        run = af.simulate(af.Depth.piecewise(self.models(), [0.0, 0.45]), af.Tokens(tokens()), [0.3, 0.45, 1.0])
        first = replay(lambda t, x: on_tokens("softmax", self.P, x, x), tokens(), [0.3, 0.45])
        last = replay(lambda t, x: on_tokens("softmax", self.Q, x, x), first[-1], [1.0], since=0.45)
        assert_close(run.tokens, np.concatenate([first, last]), 1e-7)
        assert_close(
            run.at(0.7), replay(lambda t, x: on_tokens("softmax", self.Q, x, x), first[-1], [0.7], since=0.45)[0], 1e-7
        )

    def test_interpolated_parameters_are_followed(self):
        run = af.simulate(af.Depth.interpolated(self.models(), [0.0, 1.0]), af.Tokens(tokens()), TS, rtol=1e-10)
        assert_close(run.tokens, replay(lambda t, x: on_tokens("softmax", self.mixed(t), x, x), tokens(), TS))

    def test_a_function_of_depth_is_followed(self):
        p = self.P

        def model(t):
            return af.SoftmaxAttention(**(p | {"B": jnp.cos(4 * t) * p["B"]}))

        def velocity(t, x):
            return on_tokens("softmax", p | {"B": np.cos(4 * t) * p["B"]}, x, x)

        run = af.simulate(af.Depth.function(model), af.Tokens(tokens()), TS, rtol=1e-10)
        assert_close(run.tokens, replay(velocity, tokens(), TS))
        assert_close(run.at(0.6), replay(velocity, tokens(), [0.6])[0])


class TestEnds:
    def test_the_second_moment_of_linear_attention_gives_the_blow_up_time(self):
        """V = 1: M' = M (B + B^T) M, so that M(t) = (M_0^{-1} - t (B + B^T))^{-1}."""
        B = np.array([[0.8, 0.5], [-0.3, 0.4]])
        moment = tokens().T @ tokens() / N
        root = np.linalg.cholesky(moment)
        time = 1 / np.linalg.eigvalsh(root.T @ (B + B.T) @ root)[-1]
        run = af.simulate(af.LinearAttention(B, 1.0), af.Tokens(tokens()), [0.5 * time, 2 * time])
        assert run.status == "blow_up"
        assert run.reached.tolist() == [True, False]
        assert run.blow_up.lower <= time <= run.blow_up.upper
        assert run.blow_up.estimate == pytest.approx(time, rel=1e-6)
        assert run.blow_up.upper - run.blow_up.lower < 1e-4 * time
        assert run.blow_up.basis == "numerical"
        assert run.statements["blow_up"] == run.blow_up.statement
        exact = np.linalg.inv(np.linalg.inv(moment) - 0.5 * time * (B + B.T))
        np.testing.assert_allclose(run.tokens[0].T @ run.tokens[0] / N, exact, rtol=1e-6)

    def test_attention_with_normalised_weights_does_not_blow_up_where_its_gaussian_does(self):
        """B = V = 1 in one dimension: the Gaussian ends at t = 1 / (2 cov); tokens grow as exp(t) at most."""
        start = tokens()[:, :1]
        model, end = af.SoftmaxAttention(1.0, 1.0), 1 / np.var(start)
        run = af.simulate(model, af.Tokens(start), [end])
        assert run.status == "reached_end"
        assert np.abs(run.tokens[-1]).max() <= np.exp(end) * np.abs(start).max()
        assert af.simulate(model, af.Gaussian.from_tokens(start), [end]).status == "blow_up"

    def test_growth_beyond_float64_is_an_overflow_without_inf(self):
        run = af.simulate(
            af.Transformer(af.SoftmaxAttention(np.array([[0.3, 0.2], [-0.1, 0.2]]), 1.0), af.Affine(9.0)),
            af.Tokens(tokens()), [1.0, 500.0], rtol=1e-4,
        )  # fmt: skip
        assert run.status == "overflow"
        assert run.reached.tolist() == [True, False]
        assert run.blow_up is None
        assert np.all(np.isfinite(run.tokens))

    def test_a_small_budget_is_a_status(self):
        run = af.simulate(with_feedforward("l2", parameters("l2")), af.Tokens(tokens()), [1e-4, 90.0], max_steps=4)
        assert run.status == "budget"
        assert run.reached.tolist() == [True, False]
        assert run.accepted == 4
        assert 1e-4 < run.until < 90
        assert np.all(np.isfinite(run.at(0.5 * run.until)))

    def test_rest_is_a_status_when_asked_for(self):
        """All tokens run into the one point x with -x + b + 0.3 x = 0."""
        model = af.Transformer(af.SoftmaxAttention(np.array([[0.3, 0.2], [-0.1, 0.2]]), 0.3), af.Affine(-1.0, BIAS))
        run = af.simulate(model, af.Tokens(tokens()), [1.0, 500.0], rtol=1e-6, stop_at_rest=True)
        assert run.status == "at_rest"
        assert run.reached.tolist() == [True, False]
        assert 5 < run.until < 100
        assert_close(run.at(run.until), np.tile(BIAS / 0.7, (N, 1)), 1e-5)

    def test_an_interrupt_keeps_what_was_reached(self):
        calls = []

        def stop(t):
            calls.append(t)
            if len(calls) == 3:
                raise KeyboardInterrupt

        run = af.simulate(
            with_feedforward("l2", parameters("l2")), af.Tokens(tokens()), np.linspace(0, 60, 3000), progress=stop
        )
        assert run.status == "interrupted"
        assert len(calls) == 3
        assert calls[0] < calls[1] < calls[2] == run.until
        assert run.ts.size == run.reached.sum() == len(run.tokens) > 1
        assert run.ts[-1] <= run.until < 60

    def test_sinkhorn_that_cannot_converge_at_the_start_moves_nothing(self):
        layer = make("sinkhorn", parameters("sinkhorn"), max_iterations=2)
        run = af.simulate(layer, af.Tokens(tokens()), [0.0, 1.0])
        assert run.status == "not_converged"
        assert run.reached.tolist() == [True, False]
        np.testing.assert_array_equal(run.tokens[0], tokens())
        assert any("raise max_iterations or epsilon" in note for note in run.notes)
        assert run.until == 0

    def test_sinkhorn_that_stops_to_converge_on_the_way_is_reported_there(self):
        """Tokens that spread need ever more iterations."""
        layer = af.SinkhornAttention(np.array([[1.0, 0.4], [-0.2, 0.7]]), 1.5, 3.0, max_iterations=60)
        run = af.simulate(layer, af.Tokens(tokens()), t1=30.0, rtol=1e-5)
        assert run.status == "not_converged"
        assert 0 < run.until < 30
        assert layer.converged(run.tokens[0])
        assert run.reached[:-1].all()
        assert not run.reached[-1]


def test_a_permutation_of_the_tokens_is_carried_along():
    p, order = parameters("softmax"), np.array([2, 0, 3, 1])
    model = with_feedforward("softmax", p)
    one, two = (af.simulate(model, af.Tokens(x), TS, rtol=1e-10) for x in (tokens(), tokens()[order]))
    assert_close(two.tokens, one.tokens[:, order], 1e-9)


class TestFunctionalCore:
    @pytest.fixture(autouse=True)
    def double(self, x64):
        """The core follows the dtype of its input."""

    def test_it_agrees_with_the_replay_and_with_the_host(self):
        p = parameters("l2")
        found = evolve_tokens(with_feedforward("l2", p), tokens(), TS, rtol=1e-10)
        assert found.reached.tolist() == [True, True]
        assert_close(found.tokens, replay(field("l2", p), tokens(), TS))

    def test_gradients_and_vmap_pass_through_it(self):
        p, weights = parameters("l2"), np.random.default_rng(1).standard_normal((N, D))

        def total(V, start):
            run = evolve_tokens(af.L2Attention(**(p | {"V": V})), start, [0.5], rtol=1e-9, solver=diffrax.Tsit5())
            return jnp.sum(weights * run.tokens[-1])

        def judged(V, start):
            return np.sum(weights * replay(lambda t, x: on_tokens("l2", p | {"V": V}, x, x), start, [0.5])[-1])

        rng = np.random.default_rng(2)
        starts, changes = np.stack([tokens(3), tokens(4)]), (rng.standard_normal((D, D)), rng.standard_normal((N, D)))
        both = jax.jit(jax.vmap(jax.value_and_grad(total, argnums=(0, 1)), in_axes=(None, 0)))
        values, slopes = both(p["V"], starts)
        np.testing.assert_allclose(values, [judged(p["V"], x) for x in starts], rtol=1e-7)
        s = 1e-5
        ahead, behind = (judged(p["V"] + e * changes[0], starts[1] + e * changes[1]) for e in (s, -s))
        slope = sum(float(jnp.sum(g[1] * c)) for g, c in zip(slopes, changes, strict=True))
        assert slope == pytest.approx((ahead - behind) / (2 * s), rel=1e-6)

    def test_times_that_were_not_reached_are_flagged(self):
        found = evolve_tokens(af.LinearAttention(1.0, 1.0), 2 * tokens(), [0.01, 9.0], rtol=1e-4, max_steps=64)
        assert found.reached.tolist() == [True, False]
        assert np.all(np.isfinite(found.tokens))

    def test_dimensions_that_differ_are_named(self):
        with pytest.raises(af.BadInput, match=r"`model` and `start` must share one dimension d: 2 and 3"):
            evolve_tokens(with_feedforward("l2", parameters("l2")), np.ones((N, 3)), TS)

    def test_a_flow_may_start_later(self):
        p = parameters("softmax")
        model = af.Depth.function(lambda t: af.SoftmaxAttention(**(p | {"B": jnp.cos(4 * t) * p["B"]})))
        ts = np.array([0.5, 0.9])
        found = flow_tokens(model, tokens(), 0.9, ts, Options(rtol=1e-10), lambda t: None, since=0.5)
        wanted = replay(
            lambda t, x: on_tokens("softmax", p | {"B": np.cos(4 * t) * p["B"]}, x, x), tokens(), [0.9], since=0.5
        )
        np.testing.assert_array_equal(found.tokens[0], tokens())
        assert_close(found.tokens[1], wanted[0])
