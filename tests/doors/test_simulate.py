"""The public contract of `simulate`, with SciPy's replay as the judge. d = 3 and two times keep the programs few."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow import Affine, BadInput, Depth, Gaussian, SoftmaxAttention, Transformer, simulate
from oracles import highprec
from oracles.replay import blow_up_time, replay_moments

D, TS = 3, (0.4, 1.0)


def parts(seed=11, *, eta=None, size=0.4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    A, B, V = size * rng.standard_normal((3, D, D))
    b, mean = rng.standard_normal((2, D))
    return {
        "A": A,
        "B": B,
        "V": V if eta is None else eta,
        "b": b,
        "mean": mean,
        "factor": 0.6 * rng.standard_normal((D, 2)),
    }


def model(p) -> Transformer:
    return Transformer(attention=SoftmaxAttention(B=p["B"], V=p["V"]), feedforward=Affine(A=p["A"], b=p["b"]))


def start(p) -> Gaussian:
    return Gaussian.from_factor(p["mean"], p["factor"])


def oracle(p, ts=TS):
    V = p["V"] * np.eye(len(p["A"])) if np.ndim(p["V"]) == 0 else p["V"]
    return replay_moments((p["A"], p["b"], [(p["B"], V, None, None)]), p["mean"], p["factor"], ts)


def run_of(p, ts=TS, **options) -> af.Run:
    return simulate(model(p), start(p), ts, **options)


def assert_replayed(run: af.Run, p, ts=TS, tolerance=1e-6) -> None:
    mean, cov = oracle(p, ts)
    np.testing.assert_allclose(run.mean, mean, rtol=tolerance, atol=tolerance * np.abs(mean).max())
    np.testing.assert_allclose(run.cov, cov, rtol=tolerance, atol=tolerance * np.abs(cov).max())


class TestContract:
    @pytest.mark.parametrize("eta", [None, -0.8, 0.3])
    def test_every_field_is_there_in_numpy_and_float64(self, eta):
        p = parts(eta=eta)
        run = run_of(p)
        assert run.status is af.Status.REACHED_END
        assert run.status == "reached_end"
        assert_replayed(run, p)
        for array, shape in [
            (run.ts, (2,)),
            (run.mean, (2, D)),
            (run.cov, (2, D, D)),
            (run.factor, (2, D, 2)),
            (run.requested, (2,)),
        ]:
            assert type(array) is np.ndarray
            assert (array.dtype, array.shape) == (np.float64, shape)
        np.testing.assert_array_equal(run.ts, TS)
        np.testing.assert_array_equal(run.requested, TS)
        assert run.reached.dtype == bool
        assert run.reached.tolist() == [True, True]
        assert (run.rank, run.numerical_rank.tolist()) == (2, [2, 2])
        assert run.engine == ("factor_ode" if eta is None else "closed_form")
        assert run.mean_engine == "integrated"
        assert run.exact is True
        assert {"rank", "cov", "mean"} <= set(run.statements)
        assert all(isinstance(text, str) and text for text in run.statements.values())
        assert isinstance(run.notes, tuple)
        np.testing.assert_array_equal(run.cov, np.swapaxes(run.cov, 1, 2))
        assert {"python", "jax", "numpy", "attnflow"} <= set(run.provenance)

    def test_the_mean_has_its_closed_form_where_theorem_c_gives_one(self):
        p = parts(eta=-0.8) | {"A": 0.3 * np.eye(D), "b": np.zeros(D)}
        p["B"] = p["B"] + p["B"].T
        run = run_of(p)
        assert run.mean_engine == "closed_form"
        assert "Theorem C" in run.statements["mean"]
        assert_replayed(run, p, tolerance=1e-10)

    @pytest.mark.parametrize("engine", ["factor_ode", "covariance_ode", "closed_form"])
    def test_every_engine_can_be_asked_for_and_gives_the_same(self, engine):
        p = parts(eta=-0.8)
        p["factor"] = np.hstack([p["factor"], [[0.1], [0.4], [0.6]]])
        run = run_of(p, engine=engine)
        assert run.engine == engine
        assert_replayed(run, p)

    def test_a_covariance_of_full_rank_is_integrated_as_a_covariance(self):
        p = parts()
        p["factor"] = np.hstack([p["factor"], [[0.1], [0.4], [0.6]]])
        run = run_of(p)
        assert run.engine == "covariance_ode"
        assert run.rank == 3
        assert_replayed(run, p)

    def test_the_tolerance_is_kept_and_can_be_chosen(self):
        p = parts()
        errors = []
        for rtol in (1e-4, 1e-8, 1e-12):
            run = run_of(p, rtol=rtol)
            mean, cov = oracle(p)
            errors.append(np.abs(run.cov - cov).max() / np.abs(cov).max())
            assert errors[-1] < 10 * rtol
            assert np.abs(run.mean - mean).max() < 10 * rtol * np.abs(mean).max()
        assert errors[0] > errors[1] > errors[2]

    def test_a_single_time_may_be_a_number_and_time_zero_is_the_start(self):
        p = parts()
        assert run_of(p, 0.4).ts.tolist() == [0.4]
        run = run_of(p, [0.0])
        assert run.status == "reached_end"
        np.testing.assert_array_equal(run.mean[0], p["mean"])
        np.testing.assert_allclose(run.cov[0], p["factor"] @ p["factor"].T, rtol=1e-15)

    def test_the_repr_is_one_line_that_says_how_it_ended(self):
        text = repr(run_of(parts()))
        assert "\n" not in text
        for word in ("reached_end", "d = 3", "rank 2", "factor_ode"):
            assert word in text


class TestNaturalSteps:
    @pytest.mark.parametrize("eta", [None, -0.8])
    def test_without_times_the_natural_steps_up_to_t1_are_returned(self, eta):
        p = parts(eta=eta)
        run = simulate(model(p), start(p), t1=1.0)
        assert run.ts[0] == 0.0
        assert run.ts[-1] == 1.0
        assert np.all(np.diff(run.ts) > 0)
        assert run.reached.all()
        assert run.requested.tolist() == run.ts.tolist()
        assert_replayed(run, p, run.ts)

    def test_a_natural_run_that_blows_up_did_not_reach_its_end(self):
        p = parts(eta=1.0) | {"B": np.eye(D) + 0.2 * parts()["B"]}
        run = simulate(model(p), start(p), t1=50.0)
        assert run.status == "blow_up"
        assert run.requested[-1] == 50.0
        assert not run.reached[-1]
        assert run.reached[:-1].all()


class TestAt:
    @pytest.fixture
    def run(self) -> af.Run:
        return run_of(parts())

    @pytest.mark.parametrize("t", [0.0, 0.25, 0.4, 0.7, 1.0])
    def test_between_before_the_first_and_at_the_times_it_answers(self, run, t):
        mean, cov = oracle(parts(), [t])
        found = run.at(t)
        np.testing.assert_allclose(found.mean, mean[0], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(found.cov, cov[0], rtol=1e-6, atol=1e-7)
        assert found.rank == 2

    def test_beyond_the_end_it_raises(self, run):
        with pytest.raises(
            BadInput, match=r"`t` = 1\.5 was not reached: the run ended with status reached_end at t = 1"
        ):
            run.at(1.5)

    @pytest.mark.parametrize(("t", "message"), [(-1.0, "`t` must be at least 0"), (np.nan, "`t` must be finite")])
    def test_a_time_that_is_none_raises(self, run, t, message):
        with pytest.raises(BadInput, match=message):
            run.at(t)

    @pytest.mark.parametrize("eta", [-0.8])
    def test_it_answers_by_the_closed_form_as_well(self, eta):
        p = parts(eta=eta)
        mean, cov = oracle(p, [0.7])
        found = run_of(p).at(0.7)
        np.testing.assert_allclose(found.mean, mean[0], rtol=1e-6)
        np.testing.assert_allclose(found.cov, cov[0], rtol=1e-10)


class TestEnds:
    @pytest.mark.parametrize("eta", [1.0, None])
    def test_a_blow_up_is_a_bracket_and_the_times_behind_it_are_absent(self, eta):
        p = parts(eta=eta) | {"B": np.eye(D) + 0.2 * parts()["B"]}
        p["V"] = 1.0 if eta else np.eye(D) + 0.2 * p["V"]
        V = np.eye(D) if eta else p["V"]
        true = blow_up_time((p["A"], p["b"], [(p["B"], V, None, None)]), p["factor"])
        run = run_of(p, [0.5 * true, 2 * true])
        assert run.status == "blow_up"
        assert run.reached.tolist() == [True, False]
        assert run.ts.tolist() == [0.5 * true]
        assert run.mean.shape == (1, D)
        assert run.cov.shape == (1, D, D)
        assert run.numerical_rank.shape == (1,)
        blow_up = run.blow_up
        # the replay's own time is good to some 1e-11
        assert blow_up.lower * (1 - 1e-10) <= true <= blow_up.upper * (1 + 1e-10)
        assert blow_up.estimate == pytest.approx(true, rel=1e-10 if eta else 1e-6)
        assert blow_up.basis == ("theorem" if eta else "numerical")
        assert blow_up.statement == run.statements["blow_up"]
        assert_replayed(run, p, run.ts)
        near = run.at(0.9 * true)
        np.testing.assert_allclose(near.cov, oracle(p, [0.9 * true])[1][0], rtol=1e-5)
        with pytest.raises(BadInput, match=r"was not reached: the run ended with status blow_up.*; blow-up at"):
            run.at(1.01 * true)

    def test_a_blow_up_beyond_the_end_is_reported_where_it_is_known(self):
        """S definite: A = 0 and B = I give 1 / (2 lambda_max(cov))."""
        p = parts(eta=1.0) | {"B": np.eye(D), "A": np.zeros((D, D))}
        true = 1 / (2 * np.linalg.eigvalsh(p["factor"] @ p["factor"].T)[-1])
        run = run_of(p, [0.25 * true, 0.5 * true])
        assert run.status == "reached_end"
        assert run.blow_up.lower <= true <= run.blow_up.upper

    @pytest.mark.parametrize("eta", [None, 0.0])
    def test_growth_beyond_float64_is_an_overflow_without_inf(self, eta):
        p = parts(eta=eta)
        p |= {"A": 9 * np.eye(D) + p["A"], "B": np.zeros((D, D))}
        run = run_of(p, [1.0, 500.0], rtol=1e-5)
        assert run.status == "overflow"
        assert run.reached.tolist() == [True, False]
        assert run.blow_up is None
        for array in (run.mean, run.cov, run.factor):
            assert np.all(np.isfinite(array))

    def test_a_small_budget_is_a_status(self):
        p = parts()
        run = run_of(p, [1e-3, 90.0], rtol=1e-12, max_steps=6)
        assert run.status == "budget"
        assert run.reached.tolist() == [True, False]
        assert run.accepted + run.rejected == 6
        assert run.at(0.5 * (1e-3 + run.until)).rank == 2

    @pytest.mark.parametrize("eta", [None, -1.0])
    def test_rest_is_a_status_when_asked_for(self, eta):
        p = parts(eta=eta)
        p |= {
            "A": p["A"] - 3 * np.eye(D),
            "b": np.zeros(D),
            "B": np.zeros((D, D)),
            "V": np.zeros((D, D)) if eta is None else 0.0,
        }
        p["mean"] = np.zeros(D)
        settled = simulate(
            Transformer(
                SoftmaxAttention(B=np.eye(D), V=-1.0 if eta else -np.eye(D)), Affine(A=np.diag([0.5, 0.4, 0.3]))
            ),
            start(p | {"factor": np.eye(D) * 0.8}),
            [1.0, 500.0],
            stop_at_rest=True,
        )
        assert settled.status == "at_rest"
        assert settled.reached.tolist() == [True, False]
        assert 5 < settled.until < 500
        np.testing.assert_allclose(settled.at(settled.until).cov, np.diag([0.5, 0.4, 0.3]), atol=1e-5)

    @pytest.mark.parametrize("eta", [None, -0.8])
    def test_an_interrupt_from_the_progress_callback_keeps_what_was_reached(self, eta):
        calls = []

        def stop(t):
            calls.append(t)
            raise KeyboardInterrupt

        run = run_of(parts(eta=eta), np.linspace(1e-2, 60.0, 2000), progress=stop)
        assert run.status == "interrupted"
        assert calls
        assert not run.reached[-1]
        assert run.ts.size == run.reached.sum() == len(run.mean)
        assert np.all(np.isfinite(run.cov))

    def test_the_progress_is_told_the_time_that_was_reached(self):
        told: list[float] = []
        run_of(parts(), TS, progress=told.append)
        assert told
        assert told[-1] == 1.0


class TestHardProblems:
    def test_fifty_dimensions_of_rank_three(self):
        rng = np.random.default_rng(4)
        A, B, V = rng.standard_normal((3, 50, 50)) / np.sqrt(50)
        b, mean = rng.standard_normal((2, 50))
        p = {"A": A, "B": 0.3 * B, "V": V, "b": b, "mean": mean, "factor": 0.3 * rng.standard_normal((50, 3))}
        run = run_of(p)
        assert run.status == "reached_end"
        assert run.engine == "factor_ode"
        assert (run.rank, run.numerical_rank.tolist()) == (3, [3, 3])
        assert_replayed(run, p)

    @pytest.mark.parametrize("eta", [None, 0.4])
    def test_a_point_moves_by_its_linear_equation(self, eta):
        p = parts(eta=eta) | {"factor": np.zeros((D, 0))}
        run = run_of(p)
        assert (run.rank, run.numerical_rank.tolist()) == (0, [0, 0])
        wanted, _ = oracle(p | {"factor": np.zeros((D, 1))})
        np.testing.assert_allclose(run.mean, wanted, rtol=1e-7)
        assert not np.any(run.cov)
        assert run.at(0.7).rank == 0

    @pytest.mark.parametrize("eta", [None, -0.8])
    def test_one_dimension(self, eta):
        p = parts(eta=eta)
        p = {name: np.atleast_1d(np.asarray(x).ravel()[:1]) for name, x in p.items()}
        p |= {name: p[name].reshape(1, 1) for name in ("A", "B", "factor")}
        p["V"] = eta or p["V"].reshape(1, 1)
        run = run_of(p)
        assert run.status == "reached_end"
        assert_replayed(run, p)

    @pytest.mark.parametrize("rank", [1, 2])
    def test_a_long_time_neither_overflows_nor_loses_its_limit(self, rank):
        """Two unstable directions and one stable: at rank 2 the shifted form runs, at rank 1 it must not."""
        rng = np.random.default_rng(6)
        P = np.eye(D) + 0.25 * rng.uniform(-1, 1, (D, D))
        A = P @ np.diag([0.9, 0.3, -0.7]) @ np.linalg.inv(P)
        B = np.eye(D) + 0.2 * rng.standard_normal((D, D))
        factor = np.eye(D, rank) + 0.3 * rng.standard_normal((D, rank))
        p = parts(eta=-1.0) | {"A": A, "B": B, "factor": factor, "mean": np.zeros(D), "b": np.zeros(D)}
        run = run_of(p, [60.0, 1e3])
        assert run.status == "reached_end"
        wanted = highprec.closed_form_cov(A, B, -1.0, 60.0, factor=factor, dps=110)
        for cov in run.cov:  # at 60 the limit is reached to rounding
            assert highprec.relative_error(cov, wanted) < 1e-12
        assert run.numerical_rank.tolist() == [rank, rank]

    def test_biases_and_heads_reach_the_flow(self):
        p, q = parts(1), parts(2)
        heads = [
            SoftmaxAttention(B=p["B"], V=-0.5, query_bias=p["b"], value_bias=q["b"]),
            SoftmaxAttention(B=q["B"], V=0.3, query_bias=q["mean"]),
        ]
        run = simulate(Transformer(heads, Affine(A=p["A"])), start(p), TS)
        eye = np.eye(D)
        parameters = (p["A"], np.zeros(D), [(p["B"], -0.5 * eye, p["b"], q["b"]), (q["B"], 0.3 * eye, q["mean"], None)])
        mean, cov = replay_moments(parameters, p["mean"], p["factor"], TS)
        assert run.engine == "closed_form"
        np.testing.assert_allclose(run.mean, mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(run.cov, cov, rtol=1e-10)

    def test_a_value_matrix_that_is_a_multiple_of_the_identity_is_noticed(self):
        p = parts(eta=-0.8)
        run = run_of(p | {"V": -0.8 * np.eye(D)})
        assert run.engine == "closed_form"
        assert_replayed(run, p)


class TestDepth:
    def test_pieces_are_solved_one_after_the_other(self):
        p, q = parts(1, eta=-0.5), parts(2)
        depth = Depth.piecewise([model(p), model(q)], [0.0, 0.6])
        run = simulate(depth, start(p), TS)

        def at(t):
            if t < 0.6:
                return p["A"], p["b"], [(p["B"], -0.5 * np.eye(D), None, None)]
            return q["A"], q["b"], [(q["B"], q["V"], None, None)]

        mean, cov = replay_moments(at, p["mean"], p["factor"], TS, breaks=[0.6])
        np.testing.assert_allclose(run.mean, mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(run.cov, cov, rtol=1e-6, atol=1e-7)
        assert [(s.start, s.end, s.engine) for s in run.stretches] == [
            (0, 0.6, "closed_form"),
            (0.6, 1.0, "factor_ode"),
        ]
        _, cov = replay_moments(at, p["mean"], p["factor"], [0.8], breaks=[0.6])
        np.testing.assert_allclose(run.at(0.8).cov, cov[0], rtol=1e-6, atol=1e-7)

    def test_a_function_of_depth_is_followed(self):
        p = parts()
        depth = Depth.function(lambda t: model(p | {"B": jnp.cos(3 * t) * p["B"]}))
        run = simulate(depth, start(p), TS)

        def at(t):
            return p["A"], p["b"], [(np.cos(3 * t) * p["B"], p["V"], None, None)]

        mean, cov = replay_moments(at, p["mean"], p["factor"], TS)
        np.testing.assert_allclose(run.mean, mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(run.cov, cov, rtol=1e-6, atol=1e-7)

    def test_parameters_that_end_too_early_are_refused(self):
        p = parts()
        with pytest.raises(BadInput, match=r"the parameters are defined up to depth 0\.5: the last time is 1"):
            simulate(Depth.interpolated([model(p), model(p)], [0.0, 0.5]), start(p), TS)


class TestPrecision:
    def test_it_computes_in_float64_although_jax_is_told_not_to(self):
        """In a fresh interpreter, with JAX's setting from the environment; the setting is left as it was."""
        code = (
            "import jax, numpy as np, attnflow as af\n"
            "from doors.test_simulate import parts, run_of, oracle\n"
            "for eta in (None, -0.8):\n"
            "    p = parts(eta=eta); run = run_of(p, rtol=1e-11); mean, cov = oracle(p)\n"
            "    assert np.abs(run.cov - cov).max() < 1e-10 and np.abs(run.mean - mean).max() < 1e-9, eta\n"
            "assert not jax.config.jax_enable_x64\n"
        )
        environment = os.environ | {"JAX_ENABLE_X64": "0", "PYTHONPATH": str(Path(__file__).parent.parent)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def test_the_global_setting_is_left_alone(self):
        before = jax.config.jax_enable_x64
        run_of(parts())
        assert jax.config.jax_enable_x64 == before

    def test_float32_input_is_taken_as_the_numbers_that_it_is(self):
        p = {name: np.asarray(x, np.float32) for name, x in parts().items()}
        run = run_of(p, rtol=1e-11)
        mean, cov = oracle({name: np.asarray(x, np.float64) for name, x in p.items()})
        np.testing.assert_allclose(run.mean, mean, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(run.cov, cov, rtol=1e-9, atol=1e-10)


MODEL, START = model(parts()), start(parts())


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.eye(3), START, TS), {}, r"`model` must be a layer, a Transformer or a Depth: ndarray was found"),
        ((MODEL, np.zeros(3), TS), {}, r"`start` must be a Gaussian or Tokens: ndarray was found"),
        ((MODEL, Gaussian.from_factor([1.0, 2.0], np.eye(2)), TS), {}, r"`model` and `start`.* 3 and 2 were found"),
        ((MODEL, START, [0.0, 2.0, 1.0]), {}, r"`ts` must be strictly increasing: entry 2 is 1 after 2"),
        ((MODEL, START, [0.0, 1.0, 1.0]), {}, r"`ts` must be strictly increasing"),
        ((MODEL, START, [-1.0, 1.0]), {}, r"`ts` must not be negative"),
        ((MODEL, START, []), {}, r"`ts` must hold at least one time"),
        ((MODEL, START, [0.0, np.inf]), {}, r"`ts` must be finite: entry \(1,\) is inf"),
        ((MODEL, START, "soon"), {}, r"`ts` must be a rectangular array of numbers"),
        ((MODEL, START, [[0.0, 1.0]]), {}, r"`ts` must be a number or a vector"),
        ((MODEL, START), {}, r"`ts` or `t1` is needed"),
        ((MODEL, START, TS), {"t1": 2.0}, r"`ts` and `t1` exclude each other"),
        ((MODEL, START), {"t1": 0.0}, r"`t1` must be positive"),
        ((MODEL, START), {"t1": "late"}, r"`t1` must be a rectangular array of numbers"),
        ((MODEL, START, TS), {"rtol": 0.0}, r"`rtol` must be positive"),
        ((MODEL, START, TS), {"rtol": 0.5}, r"`rtol` must lie between 1e-14 and 1e-2: 0\.5 was found"),
        ((MODEL, START, TS), {"atol": -1.0}, r"`atol` must be at least 0"),
        ((MODEL, START, TS), {"max_steps": 0}, r"`max_steps` must be a positive whole number: 0 was found"),
        ((MODEL, START, TS), {"max_steps": 1.5}, r"`max_steps` must be a positive whole number: 1\.5"),
        ((MODEL, START, TS), {"max_steps": "many"}, r"`max_steps` must be a positive whole number: 'many'"),
        ((MODEL, START, TS), {"max_steps": np.inf}, r"`max_steps` must be a positive whole number: inf"),
        ((MODEL, START, TS), {"engine": "magic"}, r"`engine` must be one of closed_form, factor_ode, covariance_ode"),
        ((MODEL, START, TS), {"engine": "closed_form"}, r"`engine` = 'closed_form' needs constant parameters"),
        ((MODEL, START, TS), {"engine": "covariance_ode"}, r"`engine` = 'covariance_ode' needs a well-conditioned"),
    ],
)
def test_bad_input_is_named_in_one_line_before_any_computation(arguments, options, message):
    with pytest.raises(BadInput, match=message) as caught:
        simulate(*arguments, **options, progress=lambda t: pytest.fail("computed"))
    assert "\n" not in str(caught.value)


def test_the_seed_is_stored():
    assert run_of(parts(), seed=17).seed == 17
