"""The DOP853 loop on problems with known solutions: its order, its interpolant, its events and its counters.

The state is [X | mean] of shape (2, 2): X is one column, the mean is another. One form whose right-hand side is chosen
by numbers in `args` serves most tests, so that few programs are compiled.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow.flow import dop853, tableau
from attnflow.flow.dop853 import Code, Span
from attnflow.flow.step import Controls, Form, Watch, evaluate, interpolant, short_step, try_step

pytestmark = pytest.mark.usefixtures("x64")
START = np.array([[0.7, 0.3], [-0.4, 1.1]])
SQUARES, TURN, FORCE, JUMP_TO = 0.0, 1.3, 0.8, 2.5


def field(t, state, gauge, args):
    """state' = squares * state^2 + rate(t) R state + force cos(3 t), with a jump of the rate at args["jump"]."""
    del gauge
    rate = jnp.where(t >= args["jump"], args["after"], args["turn"])
    turned = rate * jnp.stack([-state[1], state[0] - 0.2 * state[1]])
    return args["squares"] * state**2 + turned + args["force"] * jnp.cos(3 * t)


def reference_field(t, flat, args):
    """The same in NumPy, entry by entry."""
    x = flat.reshape(2, 2)
    rate = args["after"] if t >= args["jump"] else args["turn"]
    out = np.empty((2, 2))
    for j in range(2):
        out[0, j] = args["squares"] * x[0, j] ** 2 - rate * x[1, j]
        out[1, j] = args["squares"] * x[1, j] ** 2 + rate * (x[0, j] - 0.2 * x[1, j])
    return (out + args["force"] * np.cos(3 * t)).ravel()


def watch(state, slope, gauge, args):
    """The trace is the sum of squares of X; `rest` measures the slope; `bad` makes the state ill conditioned."""
    trace = jnp.sum(state[:, 0] ** 2)
    return Watch(
        trace=trace,
        trace_rate=2 * jnp.sum(state[:, 0] * slope[:, 0]),
        good=trace < args["bad"],
        speed=jnp.max(jnp.abs(slope)),
        gauge=gauge,
    )


FORM = Form(field, watch, is_factor=False, gauged=False)


def arguments(**changes):
    numbers = {"squares": 0.0, "turn": TURN, "force": FORCE, "jump": np.inf, "after": 0.0, "bad": np.inf} | changes
    return {name: jnp.asarray(value, float) for name, value in numbers.items()}


def controls(*, rtol=1e-9, atol=0.0, rest=-1.0, max_steps=10_000):
    return Controls(
        rtol=jnp.asarray(rtol),
        atol=jnp.asarray(atol),
        floor=jnp.zeros(2),
        rest=jnp.asarray(rest),
        start_trace=jnp.asarray(float(np.sum(START[:, 0] ** 2))),
        max_steps=jnp.asarray(max_steps, jnp.int32),
    )


@functools.partial(jax.jit, static_argnames="record")
def go(args, state, span, controls, t=0.0, *, record=False):
    loop = dop853.begin(FORM, args, state, jnp.asarray(t, float), span, controls)
    return dop853.advance(FORM, args, loop, span, controls, record=record)


def run(args, ts, *, jumps=(), record=False, state=START, end=None, **options):
    ts = jnp.asarray(ts, float)
    span = Span(ts[-1] if end is None else jnp.asarray(float(end)), ts, jnp.asarray(jumps, float))
    return go(args, jnp.asarray(state), span, controls(**options), record=record)


def exact(args, ts, start=START, since=0.0):
    """SciPy at its tightest, restarted at the jump."""
    args = {name: float(value) for name, value in args.items()}
    out, state, now = {}, start.ravel(), since
    for edge in sorted({min(args["jump"], ts[-1]), ts[-1]}):
        inside = np.union1d([t for t in ts if now < t <= edge], edge)
        stop = np.nextafter(edge, now)
        options = dict(method="DOP853", rtol=3e-14, atol=1e-15)
        solution = solve_ivp(
            reference_field, (now, stop), state, t_eval=np.minimum(inside, stop), args=(args,), **options
        )
        out |= dict(zip(inside, solution.y.T, strict=True))
        state, now = solution.y[:, -1], edge
    return np.array([start if t == since else out[t].reshape(2, 2) for t in ts])


TS = np.array([0.0, 0.4, 1.0, 2.0, 3.0])


class TestAccuracy:
    def test_the_solution_is_that_of_scipy_at_every_requested_time(self):
        loop = run(arguments(), TS, rtol=1e-11)
        assert int(loop.code) == Code.END
        assert int(loop.written) == TS.size
        np.testing.assert_allclose(loop.out, exact(arguments(), TS), rtol=1e-9, atol=1e-10)
        np.testing.assert_array_equal(loop.out[0], START)

    @pytest.mark.parametrize("squares", [0.0, -0.3])
    def test_the_error_falls_with_the_tolerance(self, squares):
        args, errors = arguments(squares=squares), []
        wanted = exact(args, TS)
        for rtol in (1e-4, 1e-7, 1e-10):
            errors.append(np.abs(run(args, TS, rtol=rtol).out - wanted).max())
            assert errors[-1] < 20 * rtol
        assert errors[0] > 10 * errors[1] > 100 * errors[2]

    def test_a_tighter_tolerance_costs_steps_like_its_eighth_root(self):
        steps = [int(run(arguments(), [40.0], rtol=rtol).accepted) for rtol in (1e-6, 1e-12)]
        assert 3.0 < steps[1] / steps[0] < 8.0  # 10^(6/8) = 5.6

    def test_scaling_the_state_changes_nothing_but_the_scale(self):
        """The tolerance is relative to the present size: no absolute one enters."""
        plain, tiny = (run(arguments(force=0.0), TS, state=s * START) for s in (1.0, 1e-120))
        np.testing.assert_allclose(1e120 * tiny.out, plain.out, rtol=1e-12)
        assert int(tiny.accepted) == int(plain.accepted)


def rate(t, state):
    """The field of the order tests."""
    return field(t, state, None, arguments(squares=-0.2))


@jax.jit
def step(state, t, h):
    """A step of length h, as it is."""
    return try_step(rate, t, t + h, h, state, rate(t, state))._replace(field=None)


def end_of(count: int) -> np.ndarray:
    """The state at t = 2 after `count` equal steps."""
    state, h = jnp.asarray(START), 2.0 / count
    for i in range(count):
        state = step(state, i * h, h).state
    return np.asarray(state)


def slope_of(errors, counts) -> float:
    return float(-np.polyfit(np.log(counts), np.log(errors), 1)[0])


class TestOrder:
    def test_the_method_has_order_eight(self):
        counts = [4, 6, 8, 12]
        wanted = exact(arguments(squares=-0.2), [2.0])[-1]
        assert slope_of([np.abs(end_of(n) - wanted).max() for n in counts], counts) == pytest.approx(8.0, abs=0.6)

    @pytest.mark.parametrize("inside", [0.21, 0.5, 0.83])
    def test_the_interpolant_has_order_seven(self, inside):
        """The error inside one step of length h is O(h^8)."""
        lengths, errors = np.array([0.2, 0.3, 0.4, 0.5]), []
        for h in lengths:
            trial = step(jnp.asarray(START), 0.0, float(h))._replace(field=rate)
            found = evaluate(jnp.asarray(START), interpolant(jnp.asarray(0.0), jnp.asarray(START), trial), inside)
            errors.append(np.abs(found - exact(arguments(squares=-0.2), [inside * h])[-1]).max())
        assert slope_of(errors, 1 / lengths) == pytest.approx(8.0, abs=0.6)

    def test_the_interpolant_meets_the_ends_of_the_step_and_its_slopes(self):
        start = jnp.asarray(START)
        trial = step(start, 0.3, 0.4)._replace(field=rate)
        polynomial = interpolant(jnp.asarray(0.3), start, trial)
        np.testing.assert_array_equal(evaluate(start, polynomial, 0.0), START)
        np.testing.assert_allclose(evaluate(start, polynomial, 1.0), trial.state, rtol=1e-14)
        at_start, at_end = (jax.jacfwd(lambda x: evaluate(start, polynomial, x))(x) for x in (0.0, 1.0))
        np.testing.assert_allclose(at_start, 0.4 * rate(0.3, start), rtol=1e-12)
        np.testing.assert_allclose(at_end, 0.4 * rate(0.7, trial.state), rtol=1e-12)

    def test_a_short_step_is_a_step(self):
        start = jnp.asarray(START)
        found = short_step(rate, jnp.asarray(0.3), jnp.asarray(0.4), start, rate(0.3, start))
        np.testing.assert_allclose(found, step(start, 0.3, 0.4).state, rtol=1e-14)

    def test_the_stages_of_the_tableau_sum_to_their_nodes(self):
        for node, row in zip(tableau.NODES, tableau.STAGES, strict=True):
            assert sum(row.values()) == pytest.approx(node, abs=1e-14)
        assert sum(tableau.WEIGHTS.values()) == pytest.approx(1.0, abs=1e-14)
        assert sum(tableau.ERROR_5.values()) == pytest.approx(0.0, abs=1e-14)
        assert sum(tableau.ERROR_3.values()) == pytest.approx(0.0, abs=1e-14)


class TestJumps:
    def test_a_jump_of_the_parameters_is_two_solves(self):
        args = arguments(jump=1.3, after=-JUMP_TO)
        loop = run(args, [1.0, 1.3, 2.0, 3.0], jumps=[1.3], rtol=1e-11)
        first = run(arguments(), [1.0, 1.3], rtol=1e-11)
        wanted = exact(args, [1.0, 1.3, 2.0, 3.0])
        np.testing.assert_allclose(loop.out, wanted, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(loop.out[:2], first.out, rtol=1e-9, atol=1e-10)

    def test_a_jump_costs_no_rejected_steps(self):
        """A step across it would be rejected many times."""
        args = arguments(jump=1.3, after=-JUMP_TO)
        aware, unaware = run(args, [3.0], jumps=[1.3]), run(args, [3.0])
        assert int(aware.rejected) <= 2
        assert int(unaware.rejected) >= 4
        assert int(aware.code) == int(unaware.code) == Code.END

    def test_jumps_outside_the_span_do_not_matter(self):
        plain, more = run(arguments(), TS), run(arguments(), TS, jumps=[50.0])
        np.testing.assert_allclose(more.out, plain.out, rtol=1e-13)


class TestRecord:
    def test_every_accepted_step_is_written(self):
        room = np.full(64, np.inf)
        loop = run(arguments(), room, record=True, end=3.0)
        n = int(loop.written)
        assert int(loop.code) == Code.END
        assert n == int(loop.accepted) > 3
        times = np.asarray(loop.times[:n])
        assert np.all(np.diff(times) > 0)
        assert times[-1] == 3.0
        np.testing.assert_allclose(loop.out[:n], exact(arguments(), times), rtol=1e-7, atol=1e-8)

    def test_a_full_buffer_stops_the_loop_and_it_can_go_on(self):
        span = Span(jnp.asarray(3.0), jnp.full(4, jnp.inf), jnp.zeros(0))
        loop = go(arguments(), jnp.asarray(START), span, controls(), record=True)
        assert int(loop.code) == Code.BUDGET
        assert int(loop.written) == 4
        assert float(loop.t) == float(loop.times[3]) < 3.0


class TestEvents:
    def test_a_pole_is_a_blow_up_with_its_time(self):
        """x' = x^2 from 0.7 ends at 1 / 0.7; the second entry is negative and harmless."""
        args = arguments(squares=1.0, turn=0.0, force=0.0)
        loop = run(args, [1.0, 2.0], state=np.array([[0.7, 0.0], [-0.4, 0.0]]))
        assert int(loop.code) == Code.BLOW_UP
        assert int(loop.written) == 1
        remaining = float(loop.trace / loop.trace_rate)
        # the trace is x^2 here, a double pole: half of it remains
        assert float(loop.t) + 2 * remaining == pytest.approx(1 / 0.7, rel=1e-8)
        assert np.all(np.isfinite(loop.out))

    def test_growth_beyond_float64_is_an_overflow(self):
        args = arguments(turn=-300.0, force=0.0)
        loop = run(args, [1.0, 50.0], rtol=1e-6, max_steps=10**6)
        assert int(loop.code) == Code.OVERFLOW
        assert np.all(np.isfinite(loop.state))

    def test_a_spent_budget_says_so_and_keeps_what_was_reached(self):
        loop = run(arguments(), [1e-3, 50.0], max_steps=5)
        assert int(loop.code) == Code.BUDGET
        assert int(loop.accepted + loop.rejected) == 5
        assert int(loop.written) == 1
        assert 1e-3 < float(loop.t) < 50.0

    def test_the_budget_counts_rejected_steps(self):
        args = arguments(jump=1.3, after=-40 * JUMP_TO)
        free = run(args, [3.0])
        used = int(free.accepted + free.rejected)
        assert int(free.rejected) > 0
        assert int(run(args, [3.0], max_steps=used).code) == Code.END
        assert int(run(args, [3.0], max_steps=used - 1).code) == Code.BUDGET

    def test_rest_stops_the_loop_when_asked(self):
        args = arguments(squares=-1.0, turn=0.0, force=0.0)
        state = np.array([[0.7, 0.3], [0.4, 1.1]])
        assert int(run(args, [1e5], state=state).code) == Code.END
        loop = run(args, [1e5], state=state, rest=1e-6)
        assert int(loop.code) == Code.AT_REST
        # the slope of 1 / (1/x + t) is 1e-6 at t = 1e3
        assert 9e2 < float(loop.t) < 1e4

    def test_a_state_that_leaves_its_domain_is_not_accepted(self):
        args = arguments(squares=0.0, turn=0.0, force=1.0, bad=1.0)
        loop = run(args, [3.0])
        assert int(loop.code) == Code.ILL_CONDITIONED
        assert np.sum(np.square(loop.state[:, 0])) < 1.0
        assert int(run(arguments(bad=0.1), [3.0]).code) == Code.ILL_CONDITIONED

    def test_a_field_that_is_not_finite_stalls(self):
        """The root of a negative number: no step passes t = 1, the state stays small."""

        def rooted(t, state, gauge, args):
            del gauge, args
            return jnp.full_like(state, -1.0) / jnp.sqrt(1.0 - t)

        form = Form(rooted, watch, is_factor=False, gauged=False)
        span = Span(jnp.asarray(2.0), jnp.asarray([0.5, 2.0]), jnp.zeros(0))
        loop = dop853.begin(form, arguments(), jnp.asarray(START), jnp.asarray(0.0), span, controls())
        loop = dop853.advance(form, arguments(), loop, span, controls(), record=False)
        assert int(loop.code) == Code.STALLED
        assert int(loop.written) == 1
        np.testing.assert_allclose(loop.out[0], START - 2 + 2 * np.sqrt(0.5), rtol=1e-8)
        assert int(loop.rejected) > 10

    def test_rejected_steps_are_counted_and_do_not_move_the_state(self):
        args = arguments(jump=1.3, after=-40 * JUMP_TO)
        loop = run(args, [1.2, 3.0], rtol=1e-10)
        assert int(loop.rejected) > 0
        np.testing.assert_allclose(loop.out, exact(args, [1.2, 3.0]), rtol=1e-6, atol=1e-7)

    def test_at_the_end_of_the_span_there_is_nothing_to_do(self):
        loop = run(arguments(), [0.0])
        assert int(loop.code) == Code.END
        assert int(loop.written) == 1
        np.testing.assert_array_equal(loop.out[0], START)
