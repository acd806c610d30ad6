"""`attnflow simulate --with-tokens`: the table, JSON, the file, the picture, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import attnflow as af

RELU = """
[start]
mean = [0.5, 0.2]
cov = [[1.0, 0.2], [0.2, 0.5]]
[model.attention]
B = [[0.3, 0.1], [-0.2, 0.2]]
V = -0.5
[model.feedforward]
kind = "relu"
A = [[0.5, 1.0], [-1.0, 0.4]]
b = [0.1, -0.2]
[simulate]
times = [0.0, 0.5, 1.0]
seed = 4
"""


@pytest.fixture
def relu(tmp_path):
    path = tmp_path / "relu.toml"
    path.write_text(RELU)
    return path


def test_tokens_beside_a_relu_layer_are_printed_drawn_and_written(command, relu, tmp_path):
    ended = command(
        "simulate", relu, "--with-tokens", 200, "--out", tmp_path / "r.nc", "--plot", tmp_path / "r.png"
    )  # fmt: skip
    assert ended.code == 0
    assert "200 tokens, relative: time" in ended.out
    with Image.open(tmp_path / "r.png") as image:
        assert image.size[1] > 1200  # taller than the overview without tokens
    assert af.load(tmp_path / "r.nc").ts.tolist() == [0.0, 0.5, 1.0]
    with xr.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as data:
        assert data["tokens_time"].to_numpy().tolist() == [0.0, 0.5, 1.0]
        assert json.loads(data.attrs["tokens"]) == {"n": 200, "seed": 4, "status": "reached_end"}
        kept = {name: data[f"tokens_{name}"].to_numpy() for name in ("bures", "sliced", "mmd")}
    again = json.loads(command("simulate", relu, "--with-tokens", 200, "--json").out)["tokens"]
    assert again["ts"] == [0.0, 0.5, 1.0]
    for name, row in kept.items():
        assert row == pytest.approx(np.array(again["distances"][name]), rel=1e-12)


def test_the_seed_draws_other_tokens_and_the_model_alone_has_none(command, problem):
    path = problem(clock="t1 = 1.0")
    one, two = (
        json.loads(command("simulate", path, "--with-tokens", 100, "--seed", s, "--json").out)["tokens"] for s in (1, 2)
    )
    assert one["distances"]["sliced"] != two["distances"]["sliced"]
    assert one["floors"] == two["floors"]
    assert len(one["ts"]) == 21
    assert "tokens" not in json.loads(command("simulate", path, "--json").out)


def test_in_other_dimensions_the_picture_has_two_rows_and_shows_what_it_was_given():
    from attnflow.report.beside import overview_beside

    rng = np.random.default_rng(0)
    ts, at, names = np.linspace(0.0, 1.0, 9), np.array([0.0, 0.4, 1.0]), ("bures", "sliced", "mmd")
    cov = np.eye(3) * (1 + ts)[:, None, None]
    cloud = rng.normal(size=(3, 40, 3)) * np.sqrt(1 + at)[:, None, None]
    rows = {name: rng.uniform(size=3) for name in names}
    floors = {name: np.full(3, 0.1 * (i + 1)) for i, name in enumerate(names)}
    figure = overview_beside(
        ts, np.ones((9, 3)), cov, at, rows, floors, titles={name: name for name in names}, cloud=cloud, n=40
    )
    moments, distances = (part.axes for part in figure.subfigs)
    for ax, name in zip(distances, names, strict=True):
        assert ax.get_title(loc="left") == name
        assert ax.lines[0].get_ydata() == pytest.approx(rows[name])
        assert ax.lines[1].get_ydata() == pytest.approx(floors[name])
    traces = [np.trace(np.cov(points.T, bias=True)) for points in cloud]
    assert moments[0].lines[-1].get_ydata() == pytest.approx(traces)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--seed", 3), "`--seed` draws the tokens of --with-tokens"),
        (("--with-tokens", 1), "`--with-tokens` must be at least 2"),
    ],
)
def test_bad_options_end_with_three(command, problem, options, words):
    ended = command("simulate", problem(), *options)
    assert ended.code == 3
    assert words in ended.err


def test_tokens_beside_tokens_are_refused(command, tmp_path):
    path = tmp_path / "tokens.toml"
    path.write_text(
        '[start]\nkind = "tokens"\ntokens = [[0.0, 1.0], [1.0, 0.5]]\n'
        "[model.attention]\nB = 1.0\nV = -1.0\n[simulate]\nt1 = 1.0\n"
    )
    ended = command("simulate", path, "--with-tokens", 10)
    assert ended.code == 3
    assert "tokens already" in ended.err
