"""`attnflow classify` on the command line."""

from __future__ import annotations

import json

import pytest
from PIL import Image


def test_classify_prints_the_verdict_on_stdout_and_what_did_not_apply_on_stderr(command, problem):
    ended = command("classify", problem(V="[[-1.0, 0.0], [0.0, -2.0]]"))
    assert ended.code == 0
    assert "covariance" in ended.out
    assert "(numerical)" in ended.out
    assert "not Theorem A: V = eta I: fails" in ended.err


def test_classify_by_theorem_as_json(command, problem):
    ended = command("classify", problem(), "--json")
    found = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert found["covariance"]["regime"] == "rank-deficient limit"
    assert (found["covariance"]["basis"], found["mean"]["basis"]) == ("theorem", "theorem")
    assert len(found["covariance"]["limit"]) == 2


def test_classify_of_every_start_and_as_latex(command, problem):
    ended = command("classify", problem(V="1.0"), "--every-start", "--latex")
    assert ended.code == 0
    assert ended.out.startswith(r"\begin{description}")
    assert "blow-up" in ended.out


def test_classify_draws_spectra(command, problem, tmp_path):
    ended = command("classify", problem(), "--plot", tmp_path / "spectra.png")
    assert ended.code == 0
    with Image.open(tmp_path / "spectra.png") as image:
        assert min(image.size) > 400


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--json", "--latex"), "exclude each other"),
        (("--budget", "0"), "`budget` must be positive"),
        (("--plot", "/nowhere/x.png"), "/nowhere"),
    ],
)
def test_bad_arguments_end_with_3_and_one_line(command, problem, options, words):
    ended = command("classify", problem(), *options)
    assert ended.code == 3
    assert words in ended.err
    assert ended.err.count("\n") == 1


def test_parameters_over_depth_are_refused_with_a_remedy(command, problem, tmp_path):
    text = problem().read_text()
    head, _, rest = text.partition("[model.attention]")
    body, _, clock = rest.partition("[simulate]")
    one = "[[model]]\n[model.attention]" + body
    path = tmp_path / "depth.toml"
    path.write_text(f'{head}{one}{one}[depth]\nkind = "piecewise"\ntimes = [0.0, 1.0]\n[simulate]{clock}')
    ended = command("classify", path)
    assert ended.code == 3
    assert "constant parameters" in ended.err
