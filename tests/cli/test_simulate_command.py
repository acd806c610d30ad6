"""`attnflow simulate`: what it prints and writes, and how it exits."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import scipy.integrate
import xarray as xr
from PIL import Image

import attnflow as af
from attnflow.files.problem import read_problem


def scipy_moments(V: float, ts: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the problem of these tests, by SciPy on (2.6) written out."""
    A, B = np.array([[0.5, 0.25], [0.125, -0.5]]), np.array([[1.0, 0.25], [-0.5, 0.75]])
    b = np.array([0.1, -0.2])

    def rate(t: float, y: np.ndarray) -> np.ndarray:
        mean, cov = y[:2], y[2:].reshape(2, 2)
        G = A + V * cov @ B
        return np.concatenate([(G + V * np.eye(2)) @ mean + b, (G @ cov + cov @ G.T).ravel()])

    start = np.array([1.0, 0.5, 0.4, 0.2, 0.2, 0.3])
    y = scipy.integrate.solve_ivp(rate, (0.0, ts[-1]), start, "DOP853", ts, rtol=1e-12, atol=1e-14).y.T
    return y[:, :2], y[:, 2:].reshape(-1, 2, 2)


def test_json_holds_the_moments_with_all_their_digits(command, problem):
    ended = command("simulate", problem(), "--json")
    found = json.loads(ended.out)
    mean, cov = scipy_moments(-1.0, [0.0, 0.5, 2.0])
    assert ended.code == 0
    assert found["schema_version"] == 1
    assert found["status"] == "reached_end"
    assert found["ts"] == [0.0, 0.5, 2.0]
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-7)
    np.testing.assert_allclose(found["cov"], cov, rtol=1e-7)
    run = af.simulate(read_problem(problem()).model, read_problem(problem()).start, [0.0, 0.5, 2.0])
    assert found["cov"] == run.cov.tolist()


def test_the_table_says_how_it_ended_and_shows_moments(command, problem):
    ended = command("simulate", problem())
    assert ended.code == 0
    assert ended.err == ""
    for words in ("reached_end", "closed_form", "d = 2, rank 2", "(1, 0.5)", "eigenvalues"):
        assert words in ended.out


def test_the_command_line_goes_before_the_file(command, problem):
    file = problem(clock="times = [0.0, 0.5, 2.0]\nrtol = 1e-8\nstop_at_rest = true")
    found = json.loads(
        command("simulate", file, "--times", "0:1:0.5", "--rtol", "1e-10", "--no-stop-at-rest", "--json").out
    )
    assert found["requested"] == [0.0, 0.5, 1.0]
    natural = json.loads(command("simulate", file, "--t1", "1.5", "--json").out)
    assert natural["ts"][-1] == 1.5
    assert 0.5 not in natural["ts"]


def test_a_result_file_holds_the_run_and_the_whole_problem(command, problem, tmp_path):
    file, out = problem(), tmp_path / "run.nc"
    ended = command("simulate", file, "--out", out, "--rtol", "1e-9")
    run = af.load(out)
    assert ended.code == 0
    assert f"wrote {out}" in ended.err
    assert run.options.rtol == 1e-9
    np.testing.assert_allclose(run.mean, scipy_moments(-1.0, [0.0, 0.5, 2.0])[0], rtol=1e-7)
    with xr.open_dataset(out) as dataset:
        assert json.loads(dataset.attrs["problem_file"]) == file.read_text()
        assert json.loads(dataset.attrs["title"]) == "A small problem"


def test_a_blow_up_is_a_result(command, problem):
    ended = command("simulate", problem(V="1.0", clock="times = [0.0, 0.1, 50.0]"), "--json")
    found = json.loads(ended.out)
    assert ended.code == 0
    assert found["status"] == "blow_up"
    assert found["reached"] == [True, True, False]
    assert 0.1 < found["blow_up"]["lower"] <= found["blow_up"]["upper"] < 50.0


def test_the_table_shows_the_bracket_of_a_blow_up(command, problem):
    out = command("simulate", problem(V="1.0", clock="times = [0.0, 0.1, 50.0]")).out
    assert "blow-up" in out
    assert "(theorem)" in out
    assert "t = 50 was not reached" in out


def test_the_replay_is_reported(command, problem):
    ended = command("simulate", problem(), "--verify", "--json")
    found = json.loads(ended.out)["verification"]
    assert found["complete"]
    assert found["cov_error"] < 1e-7
    assert found["mean_error"] < 1e-7
    assert "replay" in command("simulate", problem(), "--verify").out


def test_pictures_are_drawn_from_many_times_though_few_are_printed(command, problem, tmp_path):
    picture, film = tmp_path / "run.png", tmp_path / "run.gif"
    file = problem(clock="times = [0.0, 2.0]")
    ended = command("simulate", file, "--plot", picture, "--animate", film, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["ts"] == [0.0, 2.0]
    with Image.open(picture) as image:
        assert image.width > 500
    with Image.open(film) as image:
        assert image.n_frames > 50


def test_pictures_of_a_blow_up_end_before_it(command, problem, tmp_path, monkeypatch):
    from attnflow.report import overview

    drawn = {}
    monkeypatch.setattr(overview, "overview", lambda ts, mean, cov, **more: drawn.update(ts=ts, cov=cov, **more))
    ended = command("simulate", problem(V="1.0", clock="t1 = 50.0"), "--plot", tmp_path / "run.png", "--json")
    estimate = json.loads(ended.out)["blow_up"]["estimate"]
    assert 0.99 * estimate < drawn["ts"][-1] < estimate
    assert drawn["ts"].size > 200
    assert np.all(np.isfinite(drawn["cov"]))
    assert drawn["blow_up"][2] == estimate


def test_a_used_up_budget_is_not_finished(command, problem):
    ended = command("simulate", problem(), "--engine", "factor_ode", "--max-steps", "2", "--json")
    assert ended.code == 4
    assert json.loads(ended.out)["status"] == "budget"
    assert "--max-steps" in ended.err


@pytest.mark.parametrize("strict", [True, False])
def test_strict_refuses_an_undetermined_blow_up(command, problem, monkeypatch, strict):
    import attnflow.cli.simulate as room

    def undetermined(*arguments, **options):
        run = af.simulate(*arguments, **options)
        return dataclasses.replace(run, blow_up=af.BlowUp(1.0, 9.0, 5.0, af.Basis.UNDETERMINED, "nothing"))

    monkeypatch.setattr(room, "flow", undetermined)
    assert command("simulate", problem(), *["--strict"] * strict).code == (5 if strict else 0)


def test_an_interrupted_run_is_kept_and_exits_with_130(command, problem, monkeypatch, tmp_path):
    import attnflow.cli.simulate as room

    def stopped(*arguments, **options):
        return dataclasses.replace(af.simulate(*arguments, **options), status=af.Status.INTERRUPTED)

    monkeypatch.setattr(room, "flow", stopped)
    ended = command("simulate", problem(), "--out", tmp_path / "run.nc", "--verify")
    assert ended.code == 130
    assert af.load(tmp_path / "run.nc").status == "interrupted"
    assert "interrupted" in ended.err


def test_an_interrupt_elsewhere_leaves_no_file_and_no_traceback(command, problem, monkeypatch, tmp_path):
    import attnflow.cli.simulate as room

    def pressed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "flow", pressed)
    ended = command("simulate", problem(), "--out", tmp_path / "run.nc")
    assert (ended.code, ended.out, ended.err) == (130, "", "")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["problem.toml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--t1", "-1"], "`t1` must be positive"),
        (["--t1", "1", "--times", "1"], "exclude each other"),
        (["--times", "2,1"], "`--times` must be strictly increasing"),
        (["--rtol", "3"], "`rtol` must lie between"),
        (["--engine", "euler"], "`engine` must be one of"),
        (["--out", "run.csv"], "`--out` must end in .nc"),
        (["--plot", "run.xyz"], "`--plot` must end in"),
        (["--animate", "run.mp4"], "`--animate` must end in .gif"),
        (["--out", "missing/run.nc"], "the folder `missing` does not exist"),
        (["--plot", "missing/run.png"], "the folder `missing` does not exist"),
    ],
)
def test_bad_input_is_one_line_before_any_computation(command, problem, monkeypatch, arguments, words):
    import attnflow.flow.gaussian as engine

    monkeypatch.setattr(engine, "_leg", lambda *all: pytest.fail("something was computed"))
    ended = command("simulate", problem(), *arguments)
    assert ended.code == 3
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert words in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such file"),
        ("[start\nmean = 1", "must be a TOML file"),
        ("[start]\nmean = [0.0]\ncov = [[1.0]]\nfrom = 3\n[model.feedforward]\nA = 1.0", "`start.from`"),
        ("[start]\nmean = [0.0]\ncov = [[-1.0]]\n[model.feedforward]\nA = 1.0", "positive semidefinite"),
        ("[start]\nmean = [0.0]\ncov = [[1.0]]\n[model.feedforward]\nA = 1.0", "give --t1"),
    ],
)
def test_a_wrong_file_is_one_line(command, tmp_path, text, words):
    file = tmp_path / "wrong.toml"
    if text is not None:
        file.write_text(text)
    ended = command("simulate", file)
    assert ended.code == 3
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    assert words in ended.err


def test_an_unforeseen_error_keeps_its_traceback(command, problem, monkeypatch):
    import attnflow.cli.simulate as room

    def broken(*arguments, **options):
        raise ValueError("not foreseen")

    monkeypatch.setattr(room, "flow", broken)
    with pytest.raises(ValueError, match="not foreseen"):
        command("simulate", problem())


def test_a_problem_of_fifty_dimensions_and_rank_three_from_an_archive(command, tmp_path, rng):
    d = 50
    arrays = {"A": 0.1 * rng.normal(size=(d, d)), "B": np.eye(d) + rng.normal(size=(d, d)) / d, "m": rng.normal(size=d)}
    np.savez(tmp_path / "params.npz", **arrays, L=rng.normal(size=(d, 3)))
    file = tmp_path / "problem.toml"
    file.write_text(
        '[start]\nmean = "params.npz:m"\nfactor = "params.npz:L"\n'
        '[model.attention]\nB = "params.npz:B"\nV = -0.5\n[model.feedforward]\nA = "params.npz:A"\n'
    )
    ended = command("simulate", file, "--times", "0,0.25,1", "--verify", "--json")
    found = json.loads(ended.out)
    assert ended.code == 0
    assert found["rank"] == 3
    assert found["numerical_rank"] == [3, 3, 3]
    assert max(found["verification"]["mean_error"], found["verification"]["cov_error"]) < 1e-6
    assert "d = 50, rank 3" in command("simulate", file, "--times", "0,0.25,1").out
