"""`attnflow compare` and token problems on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xarray as xr
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
TOKENS = """
[start]
kind = "tokens"
mean = [1.0, 0.5]
cov = [[0.4, 0.2], [0.2, 0.3]]
sample = 40
[model.attention]
B = [[1.0, 0.25], [-0.5, 0.75]]
V = -1.0
masked = true
[simulate]
times = [0.0, 0.5, 1.0]
seed = 4
"""


def test_compare_prints_a_table_and_the_verdict(command, problem, tmp_path):
    ended = command(
        "compare", problem(), "--n", "50,200", "--repeats", 2, "--t1", 0.5, "--out", tmp_path / "c.nc",
        "--plot", tmp_path / "c.png",
    )  # fmt: skip
    assert ended.code == 0
    assert "trusted up to" in ended.out
    assert "n = 200: the Gaussian limit" in ended.err
    assert xr.open_dataset(tmp_path / "c.nc", engine="h5netcdf").sizes["n"] == 2
    with Image.open(tmp_path / "c.png") as image:
        assert min(image.size) > 500


def test_compare_as_json_and_strict(command, problem):
    ended = command("compare", problem(), "--n", "20", "--repeats", 1, "--tolerance", 1e-6, "--json", "--strict")
    found = json.loads(ended.out)
    assert ended.code == 5
    assert found["n"] == [20]
    assert found["trusted_until"] == {"20": None}


def test_the_example_of_the_docs_shows_the_departure(command):
    ended = command("compare", DOCS / "examples" / "blow-up-1d.toml", "--n", "200", "--repeats", 1)
    assert ended.code == 0
    assert "blows up at t = 1" in ended.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--n", "10,x"), "`--n` must list whole numbers"),
        (("--t1", 1, "--times", "0,1"), "exclude each other"),
        (("--n", "20,10"), "`n` must increase"),
        (("--plot", "/nowhere/x.png"), "does not exist"),
    ],
)
def test_bad_input_ends_with_three(command, problem, options, words):
    ended = command("compare", problem(), *options)
    assert ended.code == 3
    assert words in ended.err


def test_a_problem_of_tokens_is_simulated(command, tmp_path):
    path = tmp_path / "tokens.toml"
    path.write_text(TOKENS)
    ended = command("simulate", path, "--out", tmp_path / "t.nc", "--plot", tmp_path / "t.png", "--verify")
    assert ended.code == 0
    assert "n = 40 tokens" in ended.out
    import attnflow as af

    run = af.load(tmp_path / "t.nc")
    assert run.tokens.shape == (3, 40, 2)
    assert run.seed == 4
    again = json.loads(command("simulate", path, "--json").out)
    assert again["n"] == 40
    assert again["mean"] == run.mean.tolist()


def test_layers_replace_the_clock_of_the_file(command, problem):
    found = json.loads(command("simulate", problem(), "--layers", 3, "--step", 0.5, "--json").out)
    assert found["ts"] == [0.0, 0.5, 1.0, 1.5]
    assert found["engine"] == "residual_layers"
    assert command("simulate", problem(), "--layers", 3, "--t1", 1).code == 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sample = 40", "", "`start.sample` is the number of tokens"),
        ("masked = true", "positions = [1, 2]", "`model.attention.positions` belongs to a mask"),
        ("masked = true", 'kind = "l2"', "`model.attention.B` does not belong to kind"),
        ("masked = true", 'kind = "multihead"', "does not belong to kind"),
        ("masked = true", 'kind = "sinkhorn"\nepsilon = 0.0', "`model.attention.epsilon` must be greater than 0"),
        ("masked = true", "masked = true\npositions = [2.0, 1.0]", "`model.attention.positions` must not decrease"),
        ('kind = "tokens"', "", "`start.sample` is the number of tokens"),
        ("times = [0.0, 0.5, 1.0]", "layers = 3\nt1 = 2.0", "`simulate.layers` replaces"),
        ("times = [0.0, 0.5, 1.0]", "t1 = 1.0\nstep = 0.1", "`simulate.step` is the step of residual layers"),
    ],
)
def test_a_wrong_field_is_named(command, tmp_path, old, new, words):
    path = tmp_path / "wrong.toml"
    path.write_text(TOKENS.replace(old, new))
    ended = command("simulate", path)
    assert ended.code == 3
    assert words in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_every_kind_of_attention_can_be_written_in_a_file(command, tmp_path):
    heads = {
        "l2": "Q = [[1.0, 0.2]]\nK = [[0.3, 0.5]]\nV = -1.0\ntemperature = 2.0\nkey_bias = [0.1]",
        "sinkhorn": "B = 1.0\nV = [[-1.0, 0.0], [0.2, -1.0]]\nepsilon = 0.5",
        "sigmoid": "Q = [[1.0, 0.2]]\nK = [[0.3, 0.5]]\nV = -1.0\nbias = -1.0",
        "linear": "B = -1.0\nV = 1.0\nquery_bias = [0.1, 0.2]",
        "multihead": "heads = 2\nQ = [[1.0, 0.0], [0.2, 1.0]]\nK = [[1.0, 0.1], [0.0, 1.0]]\n"
        "V = [[1.0, 0.0], [0.0, 1.0]]\n"
        "O = [[-0.5, 0.1], [0.0, -0.5]]\noutput_bias = [0.1, 0.0]",
    }
    for kind, text in heads.items():
        path = tmp_path / f"{kind}.toml"
        path.write_text(
            f'[start]\nmean = [1.0, 0.5]\ncov = [[0.4, 0.2], [0.2, 0.3]]\n[model.attention]\nkind = "{kind}"\n{text}\n'
            "[simulate]\ntimes = [0.0, 0.3]\n"
        )
        ended = command("simulate", path, "--json")
        assert ended.code == 0, ended.err
        assert json.loads(ended.out)["exact"] is (kind != "sigmoid")
