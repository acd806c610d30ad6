"""`simulate_mixture`: tokens of a mixture beside the closure of the whole and that of the components."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import expm

import attnflow as af
from attnflow._check import BadInput
from attnflow.doors.mixture import draw, mixture_defect, simulate_mixture
from attnflow.measures.mixture import Mixture
from attnflow.moments.relu import ReLU
from attnflow.transformer.feedforward import FeedForward

PAGE = Path(__file__).parents[2] / "docs" / "examples" / "mixtures.md"
MIXTURE = Mixture(
    [0.45, 0.35, 0.2],
    [
        af.Gaussian.from_moments([-1.6, 0.3], [[0.35, 0.1], [0.1, 0.2]]),
        af.Gaussian.from_moments([1.2, -0.5], [[0.25, -0.1], [-0.1, 0.4]]),
        af.Gaussian.from_moments([0.3, 1.6], [[0.2, 0.05], [0.05, 0.15]]),
    ],
)
A = np.array([[-0.9, 0.4], [-0.4, -0.8]])
MODEL = af.Transformer(
    attention=af.SoftmaxAttention(B=[[0.9, 0.2], [-0.3, 0.7]], V=[[0.8, 0.1], [0.0, 0.6]]), feedforward=af.Affine(A=A)
)


@pytest.fixture(scope="module")
def run():
    return simulate_mixture(MODEL, MIXTURE, [0.0, 0.2, 1.0], n=1000, seed=3, rtol=1e-6)


def test_the_components_follow_the_tokens_where_the_gaussian_of_the_whole_blows_up(run):
    parts, whole = run.errors["components"], run.errors["whole"]
    assert run.status == "reached_end"
    assert run.whole.status == "blow_up"
    assert not run.exact
    np.testing.assert_array_equal(parts.ts, [0.0, 0.2, 1.0])
    np.testing.assert_array_equal(whole.ts, [0.0, 0.2])
    assert parts.mean.max() < 4 / np.sqrt(1000)
    assert parts.cov.max() < 0.08
    assert parts.sliced.max() < 0.1
    assert whole.cov[1] > 0.2
    assert whole.sliced.min() > 0.2


def test_each_component_is_close_to_the_tokens_that_were_drawn_from_it(run):
    mean, cov = run.component_errors
    assert mean[:2].max() < 0.1
    assert cov[:2].max() < 0.2


def test_moments_of_the_mixture_are_those_of_its_components(run):
    start = run.mixture(0)
    np.testing.assert_allclose(run.mean[0], MIXTURE.mean)
    np.testing.assert_allclose(run.cov[0], start.cov)
    np.testing.assert_allclose(run.cov[0], run.whole.cov[0])


def test_an_affine_model_moves_the_mixture_exactly():
    found = simulate_mixture(af.Affine(A=A), MIXTURE, [1.5], n=50, rtol=1e-9)
    turn = expm(1.5 * A)
    assert found.exact
    assert "its components are exact" in found.verdict
    np.testing.assert_allclose(found.covs[0, 1], turn @ MIXTURE.components[1].cov @ turn.T, rtol=1e-7)
    np.testing.assert_allclose(found.cov[0], turn @ MIXTURE.cov @ turn.T, rtol=1e-7)
    np.testing.assert_allclose(found.whole.cov[0], found.cov[0], rtol=1e-7)


def test_every_component_gets_its_share_of_the_tokens():
    points, labels = draw(MIXTURE, 1001, seed=5)
    assert np.abs(np.bincount(labels) - 1001 * MIXTURE.weights).max() < 1
    assert points.shape == (1001, 2)
    again, _ = draw(MIXTURE, 1001, seed=5)
    np.testing.assert_array_equal(points, again)
    for j, part in enumerate(MIXTURE.components):
        own = points[labels == j]
        assert np.linalg.norm(own.mean(axis=0) - part.mean) < 5 * np.sqrt(np.trace(part.cov) / len(own))


def test_a_relu_bends_each_component_and_an_affine_layer_does_not():
    bent = mixture_defect(FeedForward(A=A, b=[0.2, 0.1], activation=ReLU()), MIXTURE)
    straight = mixture_defect(af.Affine(A=A), MIXTURE)
    assert bent.skewness_rate.min() > 0.01
    assert bent.residual.min() > 0.01
    assert straight.residual.max() < 1e-12
    assert isinstance(bent.residual, np.ndarray)


def test_a_run_becomes_a_dataset_and_a_file(run, tmp_path):
    import xarray as xr

    data = run.to_dataset()
    assert data["component_mean"].dims == ("time", "component", "dim")
    np.testing.assert_array_equal(data["components_error_cov"], run.errors["components"].cov)
    assert json.loads(data.attrs["status"]) == "reached_end"
    assert json.loads(json.dumps(run.to_dict()))["weights"] == [0.45, 0.35, 0.2]
    run.save(tmp_path / "mixture.nc")
    with xr.open_dataset(tmp_path / "mixture.nc", engine="h5netcdf") as back:
        np.testing.assert_array_equal(back["tokens"], run.tokens.tokens)
    assert "blow_up" in repr(run)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": 3.0}, "`model` must be a layer"),
        ({"start": MIXTURE.components[0]}, "`start` must be a Mixture"),
        ({"model": af.Affine(A=np.eye(3))}, "share one dimension"),
        ({"ts": [1.0, 0.5]}, "strictly increasing"),
        ({"n": 1}, "at least 2"),
        ({"seed": 0.5}, "`seed` must be a whole number"),
        ({"rtol": 0.5}, "`rtol` must lie between"),
        ({"model": af.MaskedAttention(af.SoftmaxAttention(B=1.0, V=1.0))}, "MaskedAttention was found"),
        ({"model": af.Depth.piecewise([af.Affine(A=A)], [0.0, 0.4])}, "defined up to depth 0.4"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, words):
    arguments = {"model": MODEL, "start": MIXTURE, "ts": [0.5, 1.0], "n": 100, "seed": 0, "rtol": 1e-6, **change}
    with pytest.raises(BadInput, match=words):
        simulate_mixture(arguments.pop("model"), arguments.pop("start"), arguments.pop("ts"), **arguments)


def test_the_example_of_the_docs_runs(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(compile(block, "docs/examples/mixtures.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "the closure of the whole ended with blow_up" in printed
    assert "closure of the components against" in printed
    assert (tmp_path / "mixtures.png").exists()
