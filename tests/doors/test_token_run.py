"""What a simulation of tokens gives back, its files and its replay, and what `simulate` refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import attnflow as af
from attention_kinds import make
from oracles.kinds import draw

N, D, TS = 4, 2, (0.0, 0.3, 1.0)


def tokens() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((N, D))


def model(kind: str = "l2") -> af.Transformer:
    rng = np.random.default_rng(5)
    return af.Transformer(make(kind, draw(kind, rng, D)), af.Affine(0.5 * rng.standard_normal((D, D)), [0.2, -0.5]))


def run_of(ts=TS, **options) -> af.TokenRun:
    return af.simulate(model(), af.Tokens(tokens()), ts, **options)


class TestContract:
    def test_every_field_is_there_in_numpy_and_float64(self):
        run = run_of(seed=17)
        assert isinstance(run, af.TokenRun)
        assert run.status is af.Status.REACHED_END
        for array, shape in [
            (run.ts, (3,)),
            (run.tokens, (3, N, D)),
            (run.mean, (3, D)),
            (run.cov, (3, D, D)),
            (run.requested, (3,)),
        ]:
            assert type(array) is np.ndarray
            assert (array.dtype, array.shape) == (np.float64, shape)
        assert run.reached.dtype == bool
        assert run.reached.tolist() == [True] * 3
        np.testing.assert_array_equal(run.ts, TS)
        np.testing.assert_array_equal(run.tokens[0], tokens())
        np.testing.assert_allclose(run.mean, [x.mean(axis=0) for x in run.tokens], rtol=1e-13)
        np.testing.assert_allclose(run.cov, [np.cov(x.T, bias=True) for x in run.tokens], rtol=1e-12, atol=1e-14)
        assert (run.until, run.seed, run.blow_up) == (1.0, 17, None)
        assert run.accepted >= 1
        assert run.evaluations > run.accepted
        assert "DOP853" in run.statements["tokens"]
        assert {"python", "jax", "numpy", "attnflow"} <= set(run.provenance)
        assert run.model is not None
        np.testing.assert_array_equal(run.start.points, tokens())

    def test_the_moments_make_a_gaussian(self):
        run = run_of()
        np.testing.assert_allclose(run.gaussian(1).cov, run.cov[1], rtol=1e-12)
        np.testing.assert_allclose(run.gaussian().mean, run.mean[-1], rtol=1e-12)

    def test_the_repr_is_one_line_that_says_how_it_ended(self):
        text = repr(run_of())
        assert "\n" not in text
        for word in ("reached_end", "n = 4", "d = 2", "3 times"):
            assert word in text

    def test_the_progress_is_told_the_time_that_was_reached(self):
        told: list[float] = []
        run_of(progress=told.append)
        assert told == sorted(told)
        assert told[-1] == 1.0

    def test_a_time_zero_alone_is_the_start(self):
        run = run_of([0.0])
        assert run.status == "reached_end"
        np.testing.assert_array_equal(run.tokens, tokens()[None])

    def test_without_times_the_natural_steps_are_returned(self):
        run = af.simulate(model(), af.Tokens(tokens()), t1=1.0)
        assert (run.ts[0], run.ts[-1]) == (0.0, 1.0)
        assert np.all(np.diff(run.ts) > 0)
        assert run.ts.size == run.accepted + 1
        np.testing.assert_array_equal(run.requested, run.ts)
        dense = run_of(run.ts[1:])
        np.testing.assert_allclose(dense.tokens, run.tokens[1:], rtol=1e-12, atol=1e-12)

    def test_float32_tokens_and_jax_tokens_are_taken_as_the_numbers_that_they_are(self):
        slim = tokens().astype(np.float32)
        for given in (slim, jax.numpy.asarray(slim)):
            run = af.simulate(model(), af.Tokens(given), [1.0], rtol=1e-10)
            wide = af.simulate(model(), af.Tokens(slim.astype(np.float64)), [1.0], rtol=1e-10)
            np.testing.assert_allclose(run.tokens, wide.tokens, rtol=1e-12)

    def test_it_computes_in_float64_although_jax_is_told_not_to(self):
        code = (
            "import jax, numpy as np\n"
            "from doors.test_token_run import run_of\n"
            "print(repr(run_of(rtol=1e-11).tokens.ravel().tolist()))\n"
            "assert not jax.config.jax_enable_x64\n"
        )
        environment = os.environ | {"JAX_ENABLE_X64": "0", "PYTHONPATH": str(Path(__file__).parent.parent)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with jax.enable_x64(True):
            wanted = run_of(rtol=1e-11).tokens
        np.testing.assert_allclose(json.loads(done.stdout), wanted.ravel(), rtol=1e-12)


class TestAt:
    def test_it_answers_at_before_and_between_the_times(self):
        run, fine = run_of([0.3, 1.0], rtol=1e-10), run_of([0.1, 0.6], rtol=1e-10)
        np.testing.assert_allclose(run.at(0.1), fine.tokens[0], rtol=1e-8)
        np.testing.assert_allclose(run.at(0.6), fine.tokens[1], rtol=1e-8)
        np.testing.assert_array_equal(run.at(0.3), run.tokens[0])
        np.testing.assert_array_equal(run.at(0.0), tokens())

    def test_what_it_gives_is_a_copy(self):
        run = run_of()
        run.at(0.3)[:] = 0.0
        assert np.all(run.tokens[1] != 0)

    @pytest.mark.parametrize(
        ("t", "message"),
        [
            (1.5, r"`t` = 1\.5 was not reached: the run ended with status reached_end at t = 1"),
            (-1.0, r"`t` must be at least 0"),
            (np.nan, r"`t` must be finite"),
        ],
    )
    def test_a_time_that_is_none_raises(self, t, message):
        with pytest.raises(af.BadInput, match=message):
            run_of().at(t)


class TestVerify:
    def test_a_run_agrees_with_its_replay_and_a_wrong_one_does_not(self):
        run = run_of(rtol=1e-9)
        found = run.verify(rtol=1e-9)
        assert found.complete
        assert found.ts.tolist() == list(TS)
        assert found.token_error < 1e-7
        run.tokens[-1, 0, 0] += 1e-3
        assert run.verify(rtol=1e-9).token_error > 1e-4

    def test_layers_are_replayed(self):
        run = af.simulate(model(), af.Tokens(tokens()), layers=3, step=0.3)
        assert run.verify().token_error < 1e-14
        run.tokens[-1] += 1e-3
        assert run.verify().token_error > 1e-4

    def test_a_replay_over_pieces(self):
        depth = af.Depth.piecewise([model("l2"), model("linear")], [0.0, 0.5])
        found = af.simulate(depth, af.Tokens(tokens()), [0.0, 0.5, 0.8], rtol=1e-9).verify(rtol=1e-8)
        assert found.complete
        assert found.ts.tolist() == [0.0, 0.5, 0.8]
        assert found.token_error < 1e-6


def assert_same(one: af.TokenRun, two: af.TokenRun) -> None:
    for name in ("ts", "tokens", "mean", "cov", "requested", "reached"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    plain = ("status", "until", "blow_up", "statements", "notes", "accepted", "evaluations", "options", "seed")
    for name in (*plain, "provenance", "description"):
        assert getattr(one, name) == getattr(two, name), name
    np.testing.assert_array_equal(one.start.points, two.start.points)


class TestFiles:
    def test_a_run_is_the_same_after_save_and_load(self, tmp_path):
        run = run_of(seed=3)
        run.save(tmp_path / "run.nc")
        again = af.load(tmp_path / "run.nc")
        assert isinstance(again, af.TokenRun)
        assert_same(again, run)
        np.testing.assert_allclose(again.at(0.7), run.at(0.7), rtol=1e-13)

    @pytest.mark.parametrize(
        "make_run",
        [
            lambda: af.simulate(af.LinearAttention(1.0, 1.0), af.Tokens(tokens()), [0.01, 5.0], rtol=1e-5),
            lambda: af.simulate(af.Affine(0.5), af.Tokens(tokens()), layers=3, step=0.5),
            lambda: af.simulate(af.Affine(0.5), af.Tokens(tokens()), [5.0, 6.0], max_steps=1),
        ],
        ids=["blow-up", "layers", "nothing reached"],
    )
    def test_however_it_ended(self, tmp_path, make_run):
        run = make_run()
        run.save(tmp_path / "run.nc")
        assert_same(af.load(tmp_path / "run.nc"), run)

    def test_the_dataset_is_labelled_and_the_dict_is_json(self):
        run = run_of()
        dataset = run.to_dataset()
        assert dataset["tokens"].dims == ("time", "token", "coord")
        np.testing.assert_array_equal(dataset["cov"], run.cov)
        told = json.loads(json.dumps(run.to_dict()))
        assert told["status"] == "reached_end"
        assert told["n"] == N
        np.testing.assert_array_equal(told["mean"], run.mean)

    def test_a_file_of_a_function_of_depth_answers_at_its_times_only(self, tmp_path):
        run = af.simulate(af.Depth.function(lambda t: af.Affine(-0.1 * t)), af.Tokens(tokens()), TS)
        run.save(tmp_path / "run.nc")
        again = af.load(tmp_path / "run.nc")
        assert again.model is None
        np.testing.assert_array_equal(again.at(0.3), run.tokens[1])
        with pytest.raises(af.BadInput, match=r"`t` = 0\.5 cannot be evaluated"):
            again.at(0.5)
        with pytest.raises(af.BadInput, match="cannot be replayed"):
            again.verify()


MODEL, START = model(), af.Tokens(tokens())
MASKED = af.MaskedAttention(af.SoftmaxAttention(np.ones((D, D)), 1.0), [0.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (MODEL, tokens(), TS),
            {},
            r"`start` must be a Gaussian or Tokens: ndarray was found; .* give Tokens\(points\)",
        ),
        ((MODEL, af.Tokens(np.ones((4, 3))), TS), {}, r"`model` and `start` must share one dimension d: 2 and 3"),
        (
            (MODEL, START, TS),
            {"engine": "factor_ode"},
            r"`engine` is for Gaussians: 'factor_ode' was found with Tokens",
        ),
        ((MODEL, START), {}, r"`ts` or `t1` is needed"),
        ((MODEL, START, [1.0, 0.5]), {}, r"`ts` must be strictly increasing"),
        ((MODEL, START, TS), {"t1": 1.0}, r"`ts` and `t1` exclude each other"),
        ((MODEL, START, TS), {"rtol": 0.5}, r"`rtol` must lie between"),
        ((MODEL, START, TS), {"max_steps": 0}, r"`max_steps` must be a positive whole number"),
        ((MODEL, START, TS), {"layers": 3}, r"`layers` replaces `ts` and `t1`"),
        ((MASKED, START, TS), {}, r"`positions` must have one entry for each token: 2 positions and 4 tokens"),
        ((MASKED, START), {"layers": 2}, r"`positions` must have one entry for each token"),
        (
            (af.Depth.piecewise([af.SoftmaxAttention(1.0, 1.0), MASKED], [0.0, 0.5]), START, TS),
            {},
            r"`positions` must have one entry for each token",
        ),
        (
            (af.Depth.interpolated([MODEL, MODEL], [0.0, 0.5]), START, TS),
            {},
            r"the parameters are defined up to depth 0\.5: the last time is 1",
        ),
    ],
)
def test_bad_input_is_named_in_one_line_before_any_computation(arguments, options, message):
    with pytest.raises(af.BadInput, match=message) as caught:
        af.simulate(*arguments, **options, progress=lambda t: pytest.fail("computed"))
    assert "\n" not in str(caught.value)
